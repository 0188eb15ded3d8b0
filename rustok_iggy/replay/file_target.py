"""Writes a replay to a file of JSON lines, each event exactly once: a run that was cut short cuts the file back to its
checkpoint and goes on there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from pathlib import Path
from typing import BinaryIO

from msgspec.structs import replace

from rustok_iggy.errors import ReplayError
from rustok_iggy.replay.checkpoint import Checkpoint
from rustok_iggy.replay.durable_file import sync_directory
from rustok_iggy.replay.options import FileTarget
from rustok_iggy.replay.replay_run import Found, ReplayRun
from rustok_iggy.serialization import EventSerializer


async def replay_to_file(run: ReplayRun, target: FileTarget, serializer: EventSerializer) -> Checkpoint:
    """Write what is left of the plan; return the state at its end. Raises ReplayError, connector errors.

    However it ends, what is written and what the checkpoint says agree, unless the disk failed: then the checkpoint
    before that stands.
    """
    with _opened(run, target.path) as file:
        lines = Lines(run, file, serializer)
        try:
            async with aclosing(run.found()) as found:
                async for each in found:
                    delay = 0.0 if each.decoded is None else run.pace.delay(run.clock())
                    if delay > 0:
                        await run.log_reader.sleep(delay)
                    lines.add(each)
                    if run.is_report_due:
                        run.report(lines.synced())
        finally:
            if not lines.is_broken:
                run.save(lines.synced())
        return replace(run.state, finished=True)


class Lines:
    """The file so far. An event is written and counted in one step, without an await between."""

    def __init__(self, run: ReplayRun, file: BinaryIO, serializer: EventSerializer) -> None:
        self._file = file
        self._path = file.name
        self._serializer = serializer
        self._state = run.state
        self._next_offsets = dict(run.state.next_offsets)
        self._handled = run.state.handled
        self._unreadable = run.state.unreadable
        self._bytes = run.state.file_bytes
        self.is_broken = False
        """A write failed: nobody knows how much of it is there."""

    def add(self, found: Found) -> None:
        """Write an event, if it is one that is wanted. Raises ReplayError."""
        if found.decoded is not None:
            line = self._serializer.encode(found.decoded.envelope) + b"\n"
            with self._disk():
                self._file.write(line)
            self._bytes += len(line)
            self._handled += 1
        self._unreadable += found.is_unreadable
        self._next_offsets[found.partition_id] = found.message.offset + 1

    def synced(self) -> Checkpoint:
        """Bring the file to disk; return the state that is then true. Raises ReplayError."""
        with self._disk():
            self._file.flush()
            os.fsync(self._file.fileno())
        return replace(
            self._state,
            next_offsets=dict(self._next_offsets),
            handled=self._handled,
            unreadable=self._unreadable,
            file_bytes=self._bytes,
        )

    @contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.is_broken = True
            raise ReplayError(f"{self._path} cannot be written: {error}") from error


@contextmanager
def _opened(run: ReplayRun, path: Path) -> Iterator[BinaryIO]:
    """Open the file, cut back to its checkpoint; a new run begins with an empty one and a checkpoint that says so."""
    expected = run.state.file_bytes
    try:
        exists = path.exists()
        size = path.stat().st_size if exists else 0
        if size and not run.is_resumed:
            raise ReplayError(f"{path} exists already; remove it, or resume the replay that wrote it")
        if size < expected:
            raise ReplayError(f"{path} has {size} bytes, its checkpoint says {expected}: it was changed since")
        file = path.open("r+b" if exists else "xb")
        file.truncate(expected)
        file.seek(expected)
        sync_directory(path.parent)
    except OSError as error:
        raise ReplayError(f"{path} cannot be opened: {error}") from error
    try:
        run.save(run.state)
        yield file
    finally:
        try:
            file.close()
        except OSError as error:
            raise ReplayError(f"{path} cannot be written: {error}") from error
