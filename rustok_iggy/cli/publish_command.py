"""`rustok-iggy publish`: JSON lines into the log."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from rustok_iggy.cli.command import AtDesk, command
from rustok_iggy.cli.event_lines import EventLines, LineError
from rustok_iggy.cli.exits import CommandError, ExitCode
from rustok_iggy.cli.publish_progress import Source, open_source
from rustok_iggy.cli.rendering import marked, plural
from rustok_iggy.cli.session import open_session
from rustok_iggy.config import LARGEST_EVENT_BYTES
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import RustokIggyError
from rustok_iggy.iggy_transport import IggyTransport

BATCH_LINES = 500
"""Published together: twenty of them are below the queue's bound, and each costs one write of the progress."""
BATCH_BYTES = 1024 * 1024
"""The same in bytes, so that large events do not gather in memory."""
Batch = list[tuple[int, bytes]]


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "publish")(publish)


async def publish(
    desk: AtDesk,
    *,
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="JSON lines; without it or for -: standard input.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Read and check every line, publish nothing.")] = False,
) -> None:
    """Publish events from JSON lines, each tenant's in order; cut short, a second run goes on where it was.

    A line is {"tenant_id": …, "event_type": …, "data": {…}}, or a whole envelope. How far a file got is kept in
    FILE.progress until all of it is published.
    """
    source = open_source(None if file is None or str(file) == "-" else file, sys.stdin.buffer)
    size = None if source.path is None or file is None else file.stat().st_size
    with source.stream if source.path is not None else nullcontext():
        lines = EventLines(desk.catalog(), run=source.progress.run)
        if dry_run:
            count = sum(1 for batch in _batches(source) for _ in _envelopes(lines, batch))
            desk.show({"checked": count, "published": 0}, marked("ok", f"{plural(count, 'line')} can be published"))
            return
        if source.is_resumed:
            desk.note(f"going on behind line {source.progress.lines:,}")
        begin = source.progress.lines
        published = 0
        async with open_session(desk) as session:
            drift = await session.topology.drift()
            if drift.removable:
                desk.confirm(f"{'; '.join(drift.removable)}. Apply the topology first?")
            async with session.transport as transport:
                source.save()
                with desk.progress("publishing", is_size=True) as report:
                    for batch in _batches(source):
                        published += await _publish(transport, source, lines, batch)
                        report(source.progress.read_bytes, size)
    data = {"published": published, "lines": source.progress.lines - begin, "resumed_behind_line": begin}
    desk.show(data, marked("ok", f"{plural(published, 'event')} published and confirmed"))
    source.finish()  # whoever was not told that all is published runs it again


async def _publish(transport: IggyTransport, source: Source, lines: EventLines, batch: Batch) -> int:
    """Publish a batch; of one with a wrong line what stands before it. Raises CommandError with the line."""
    envelopes: list[tuple[int, EventEnvelope]] = []
    wrong: CommandError | None = None
    try:
        for numbered in _envelopes(lines, batch):
            envelopes.append(numbered)  # noqa: PERF402 - what came before a wrong line is kept
    except CommandError as error:
        wrong = error
    results = await transport.publish_batch([envelope for _, envelope in envelopes])
    if not results.all_confirmed:
        index = next(index for index, result in enumerate(results) if result.error is not None)
        raise _failed(envelopes[index][0], results[index].error, source)
    if wrong is None:
        source.confirmed([line for _, line in batch])
        return len(envelopes)
    before = envelopes[-1][0] if envelopes else source.progress.lines
    source.confirmed([line for number, line in batch if number <= before])
    raise CommandError(
        f"{wrong}. Published before it: {plural(before, 'line')}; correct it, then run this again", code=wrong.code
    )


def _envelopes(lines: EventLines, batch: Batch) -> Iterator[tuple[int, EventEnvelope]]:
    for number, line in batch:
        if not line.strip():
            continue
        try:
            yield number, lines.envelope(line, number=number)
        except LineError as error:
            raise CommandError(f"line {number}: {error}", code=ExitCode.REFUSED) from None


def _batches(source: Source) -> Iterator[Batch]:
    batch: Batch = []
    held = 0
    for number, line in source.lines(limit=LARGEST_EVENT_BYTES):
        batch.append((number, line))
        held += len(line)
        if len(batch) == BATCH_LINES or held >= BATCH_BYTES:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _failed(number: int, error: Exception | None, source: Source) -> CommandError:
    code = ExitCode.UNREACHABLE if isinstance(error, RustokIggyError) and error.retryable else ExitCode.REFUSED
    again = "" if source.path is None else "; run this again to go on: what is published twice has the same event id"
    return CommandError(
        f"line {number}: {str(error).removesuffix('.')} – the lines before it are confirmed{again}", code=code
    )
