"""`rustok-iggy dlq`: look at dead letters. Running them again and discarding them: letter_requests.py."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import msgspec
import typer
from rich.text import Text

from rustok_iggy.cli.command import AtDesk, Shared, command
from rustok_iggy.cli.desk import Report
from rustok_iggy.cli.exits import CommandError, ExitCode
from rustok_iggy.cli.rendering import Shown, age, facts, lines_of, marked, moment, plural, section, size, table
from rustok_iggy.cli.session import Session, open_session
from rustok_iggy.cli.values import MOMENT, tenant
from rustok_iggy.cli.values import moment as read_moment
from rustok_iggy.dead_letters.letters import DeadLetterDetails, DeadLetterSummary, LetterKey
from rustok_iggy.dead_letters.queue import PAGE_LETTERS
from rustok_iggy.dead_letters.records import Cause
from rustok_iggy.dead_letters.selection import LetterSelection
from rustok_iggy.dead_letters.statistics import DeadLetterStatistics, LetterCount
from rustok_iggy.dead_letters.survey import OnRead

app = typer.Typer(no_args_is_help=True, help="Dead letters: look at them, run them again, give them up.")

MOST_SHOWN = 10
"""Rows of each table of `stats`; --json has them all."""
_PANEL = "Which letters (those that match all of these)"


def selection(
    *,
    tenants: Annotated[
        list[UUID] | None,
        typer.Option("--tenant", parser=tenant, metavar="UUID", help="Of this tenant.", rich_help_panel=_PANEL),
    ] = None,
    event_ids: Annotated[
        list[UUID] | None, typer.Option("--event", metavar="UUID", help="This event.", rich_help_panel=_PANEL)
    ] = None,
    fingerprints: Annotated[
        list[str] | None,
        typer.Option("--fingerprint", help="Failures of this kind; see stats.", rich_help_panel=_PANEL),
    ] = None,
    event_types: Annotated[
        list[str] | None, typer.Option("--type", help="Of this event type.", rich_help_panel=_PANEL)
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(parser=read_moment, metavar=MOMENT, help="Published since then.", rich_help_panel=_PANEL),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(parser=read_moment, metavar=MOMENT, help="Published before then.", rich_help_panel=_PANEL),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="All of them.", rich_help_panel=_PANEL)] = False,
) -> LetterSelection | None:
    """Return what was selected, None when nothing was said."""
    if not any((tenants, event_ids, fingerprints, event_types, since, until, everything)):
        return None
    return LetterSelection(
        tenants=tuple(tenants or ()),
        event_ids=tuple(event_ids or ()),
        fingerprints=tuple(fingerprints or ()),
        event_types=tuple(event_types or ()),
        since=since,
        until=until,
        everything=everything,
    )


def letter_key(text: Any) -> LetterKey:
    """Read `GROUP/TOPIC/PARTITION/OFFSET`, as `list` prints it."""
    if isinstance(text, LetterKey):
        return text
    try:
        group, topic, partition, offset = text.rsplit("/", 3)
        return LetterKey(group, topic, int(partition), int(offset))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not GROUP/TOPIC/PARTITION/OFFSET") from None


Selected = Annotated[LetterSelection | None, Shared(selection)]
OfGroup = Annotated[str | None, typer.Option("--group", help="Letters of one group; default: of all.")]


@command(app, "list")
async def list_letters(
    desk: AtDesk,
    *,
    selected: Selected,
    group: OfGroup = None,
    limit: Annotated[int, typer.Option(min=1, help="Letters at most.")] = PAGE_LETTERS,
    after: Annotated[
        LetterKey | None,
        typer.Option(parser=letter_key, metavar="LETTER", help="Go on behind this letter, as the last page said."),
    ] = None,
) -> None:
    """Show open dead letters, each tenant's in order."""
    async with open_session(desk) as session:
        with desk.progress("reading the journal") as report:
            page = await session.dead_letters.list(
                group=group, selection=selected, limit=limit, after=after, progress=_reading(report)
            )
    following = None if page.next is None else _place(page.next)
    data = {"letters": [letter_data(each) for each in page.letters], "next": following}
    if not page.letters:
        desk.show(data, marked("ok", "no open dead letters" + ("" if selected is None else " match")))
        return
    desk.show(data, *_by_tenant(page.letters))
    if following is not None:
        desk.note(f"there are more: --after {following}")


@command(app, "show")
async def show(
    desk: AtDesk,
    *,
    event: Annotated[UUID, typer.Argument(metavar="EVENT_ID", help="Id of the event.")],
    group: OfGroup = None,
    payload: Annotated[bool, typer.Option("--payload", help="Show the event's content as well.")] = False,
) -> None:
    """Show everything kept of an event's letters: error, stack, and with --payload the event."""
    async with open_session(desk) as session:
        manager = session.dead_letters
        page = await manager.list(group=group, selection=LetterSelection(event_ids=(event,)))
        found = [await manager.show(letter) for letter in page.letters]
    if not found:
        raise CommandError(
            f"event {event} has no open dead letter; rustok-iggy trace {event} says what became of it",
            code=ExitCode.NOT_FOUND,
        )
    data = [_details_data(session, each, payload=payload) for each in found]
    desk.show(data, *(part for each in found for part in _details(session, each, payload=payload)))


@command(app, "stats")
async def stats(desk: AtDesk, *, group: OfGroup = None) -> None:
    """Count open letters: by group, kind of failure, event type, tenant and cause."""
    async with open_session(desk) as session:
        with desk.progress("reading the journal") as report:
            found = await session.dead_letters.stats(group=group, progress=_reading(report))
    desk.show(_stats_data(found), *_stats(found))


@command(app, "export")
async def export(
    desk: AtDesk,
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write; an existing file is replaced.")],
    selected: Selected,
    group: OfGroup = None,
) -> None:
    """Write letters to a file as JSON lines, the events themselves included: guard it as you guard them."""
    if file.exists():
        desk.confirm(f"Replace {file}?")
    async with open_session(desk) as session:
        with desk.progress("letters") as report:
            done = await session.dead_letters.export(
                file, group=group, selection=selected, progress=lambda each: report(each.letters, None)
            )
    data = {"file": str(file), "letters": done.letters, "bytes": done.written_bytes}
    desk.show(data, marked("ok", f"{plural(done.letters, 'letter')}, {size(done.written_bytes)}, in {file}"))


def _by_tenant(letters: Iterable[DeadLetterSummary]) -> list[Shown]:
    """Return a table for each tenant of each group: its letters run in that order."""
    of_tenant: dict[tuple[str, UUID | None], list[DeadLetterSummary]] = {}
    for each in letters:
        of_tenant.setdefault((each.key.group, each.tenant_id), []).append(each)
    return [
        section(f"{group}, {'tenant unknown' if owner is None else f'tenant {owner}'}", _letters(found))
        for (group, owner), found in of_tenant.items()
    ]


def _letters(letters: Sequence[DeadLetterSummary]) -> Shown:
    """Return them as a table that mostly fits 80 columns: redrives stand there where there were any."""
    if not any(each.redrives for each in letters):
        rows = [(each.event_id, each.event_type, _why(each), age(each.age)) for each in letters]
        return table(("=event", "type", "why", ">age"), rows)
    counted = [(each.event_id, each.event_type, _why(each), each.redrives, age(each.age)) for each in letters]
    return table(("=event", "type", "why", ">redrives", ">age"), counted)


def _why(letter: DeadLetterSummary) -> str:
    """Of one that waits behind another the error is the other's, which stands above it."""
    if letter.cause is Cause.SEQUENCE:
        return str(letter.cause)
    return letter.error_type if letter.cause is Cause.FAILED else f"{letter.cause}: {letter.error_type}"


def letter_data(letter: DeadLetterSummary) -> dict[str, object]:
    """Return a letter as JSON has it."""
    return {
        "group": letter.key.group,
        "topic": letter.key.topic,
        "partition": letter.key.partition_id,
        "offset": letter.key.offset,
        "event_id": letter.event_id,
        "tenant_id": letter.tenant_id,
        "event_type": letter.event_type,
        "cause": letter.cause,
        "parks": letter.parks,
        "error_type": letter.error_type,
        "fingerprint": letter.fingerprint,
        "stored_at": letter.stored_at,
        "first_failed_at": letter.first_failed_at,
        "last_failed_at": letter.last_failed_at,
        "age": letter.age,
        "redrives": letter.redrives,
    }


def _reading(report: Report) -> OnRead:
    return lambda each: report(each.partition_id, each.partitions)


def _place(key: LetterKey) -> str:
    return f"{key.group}/{key.topic}/{key.partition_id}/{key.offset}"


def _details(session: Session, found: DeadLetterDetails, *, payload: bool) -> list[Shown]:
    letter = found.letter
    lines: list[Shown] = [
        section(
            _place(letter.key),
            facts(
                {
                    "event": letter.event_id,
                    "type": f"{letter.event_type} version {letter.schema_version}" if letter.event_type else None,
                    "tenant": letter.tenant_id,
                    "cause": letter.cause,
                    "tenant is parked by it": letter.parks,
                    "handler": found.handler,
                    "published": letter.stored_at,
                    "failed": f"{moment(letter.first_failed_at)}, {plural(found.attempts, 'attempt')}",
                    "redrives": letter.redrives,
                    "last failed": letter.last_failed_at,
                    "fingerprint": letter.fingerprint,
                    "trace": found.trace_id,
                    "payload": size(found.payload_bytes),
                }
            ),
        ),
        section(f"{letter.error_type}: {found.message}", Text(lines_of(found.stack) or "no stack was kept")),
    ]
    if payload:
        content = session.originals.as_json(found.envelope)
        shown = "cannot be decoded" if content is None else msgspec.json.format(content, indent=2).decode()
        lines.append(section("content", Text(lines_of(shown))))
    return lines


def _details_data(session: Session, found: DeadLetterDetails, *, payload: bool) -> dict[str, object]:
    data = {
        **letter_data(found.letter),
        "schema_version": found.letter.schema_version,
        "handler": found.handler,
        "attempts": found.attempts,
        "message": found.message,
        "stack": found.stack,
        "trace_id": found.trace_id,
        "payload_bytes": found.payload_bytes,
    }
    if payload:
        data["envelope"] = msgspec.Raw(session.originals.as_json(found.envelope) or b"null")
    return data


def _stats(found: DeadLetterStatistics) -> list[Shown]:
    if not found.letters and not found.open_requests:
        return [marked("ok", "no open dead letters"), *map(_expired, found.letters_expired)]
    oldest = "" if found.oldest_age is None else f", the oldest {age(found.oldest_age)} old"
    parked = f"; {plural(found.parked_tenants, 'tenant')} parked" if found.parked_tenants else ""
    kinds = {f"{key}  {found.error_types.get(key, '')}": count for key, count in found.fingerprints.items()}
    lines: list[Shown] = [
        marked("warning", f"{plural(found.letters, 'open letter')}{oldest}{parked}"),
        *map(_expired, found.letters_expired),
        _counts("by group", found.groups),
        _counts("by kind of failure", kinds),
        _counts("by event type", found.event_types),
        _counts("by tenant", found.tenants),
        _counts("by cause", found.causes),
    ]
    if found.open_requests:
        rows = [
            (each.id, each.action, each.group, each.requested_by, each.requested_at, each.waiting_in)
            for each in found.open_requests
        ]
        lines.append(
            section("requests under way", table(("request", "wants", "group", "by", "at", ">partitions left"), rows))
        )
    return lines


def _expired(where: str) -> Shown:
    return marked("problem", f"letters are lost: retention removed records of {where} that were still needed")


def _counts(title: str, counts: Mapping[Any, LetterCount]) -> Shown:
    rows = [(each.letters, age(each.oldest_age), name) for name, each in list(counts.items())[:MOST_SHOWN]]
    left = len(counts) - len(rows)
    shown = f"{title} (the first {MOST_SHOWN}, {left} more)" if left > 0 else title
    return section(shown, table((">letters", ">oldest", ""), rows))


def _stats_data(found: DeadLetterStatistics) -> dict[str, object]:
    return {
        "letters": found.letters,
        "oldest_age": found.oldest_age,
        "parked_tenants": found.parked_tenants,
        "letters_expired": found.letters_expired,
        "groups": _rows("group", found.groups),
        "fingerprints": [
            {**row, "error_type": found.error_types.get(str(row["fingerprint"]))}
            for row in _rows("fingerprint", found.fingerprints)
        ],
        "event_types": _rows("event_type", found.event_types),
        "tenants": _rows("tenant_id", found.tenants),
        "causes": _rows("cause", found.causes),
        "open_requests": [
            {
                "id": each.id,
                "group": each.group,
                "action": each.action,
                "requested_at": each.requested_at,
                "requested_by": each.requested_by,
                "reason": each.reason,
                "partitions_left": each.waiting_in,
            }
            for each in found.open_requests
        ],
    }


def _rows(name: str, counts: Mapping[Any, LetterCount]) -> list[dict[str, object]]:
    return [{name: key, "letters": each.letters, "oldest_age": each.oldest_age} for key, each in counts.items()]
