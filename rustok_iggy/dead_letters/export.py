"""Dead letters as JSON lines: one object a letter, with everything needed to build its message again.

    {"format": 1, "group", "topic", "partition", "offset", "tenant_id", "event_id", "event_type", "schema_version",
     "cause", "handler", "attempts", "redrives", "stored_at", "first_failed_at", "last_failed_at", "error_type",
     "fingerprint", "message", "stack", "trace_id",
     "headers": {name: base64}, "payload": base64, "envelope": the decoded envelope as JSON, or null}

Headers and payload are those of the original message byte for byte; its message id is the event id. Times are RFC 3339
in UTC. The lines hold the events themselves: guard the file as you guard the events.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from rustok_iggy.dead_letters.letters import DeadLetterDetails
from rustok_iggy.dead_letters.records import Cause
from rustok_iggy.errors import DeadLetterError

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportProgress:
    """What an export has written so far."""

    letters: int
    written_bytes: int


class ExportedLetter(Struct, frozen=True, kw_only=True):
    """One line of an export. msgspec writes bytes as base64, and reads them back."""

    format: int = FORMAT
    group: str
    topic: str
    partition: int
    offset: int
    tenant_id: UUID | None
    event_id: UUID | None
    event_type: str | None
    schema_version: int | None
    cause: Cause
    handler: str
    attempts: int
    redrives: int
    stored_at: datetime
    first_failed_at: datetime
    last_failed_at: datetime
    error_type: str
    fingerprint: str
    message: str
    stack: str
    trace_id: str | None
    headers: dict[str, bytes]
    payload: bytes
    envelope: Raw

    def __repr__(self) -> str:
        return f"ExportedLetter(group={self.group!r}, topic={self.topic!r}, offset={self.offset})"


def encode_line(details: DeadLetterDetails, *, envelope: bytes | None) -> bytes:
    """Return a letter as one line, its end included. `envelope`: the event's envelope in JSON, None if unreadable."""
    letter = details.letter
    line = ExportedLetter(
        group=letter.key.group,
        topic=letter.key.topic,
        partition=letter.key.partition_id,
        offset=letter.key.offset,
        tenant_id=letter.tenant_id,
        event_id=letter.event_id,
        event_type=letter.event_type,
        schema_version=letter.schema_version,
        cause=letter.cause,
        handler=details.handler,
        attempts=details.attempts,
        redrives=letter.redrives,
        stored_at=letter.stored_at,
        first_failed_at=letter.first_failed_at,
        last_failed_at=letter.last_failed_at,
        error_type=letter.error_type,
        fingerprint=letter.fingerprint,
        message=details.message,
        stack=details.stack,
        trace_id=details.trace_id,
        headers=dict(details.headers),
        payload=details.payload,
        envelope=Raw(b"null" if envelope is None else envelope),
    )
    return msgspec.json.encode(line) + b"\n"


class ExportFile:
    """A file under way; see open_export."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._file = file
        self._letters = 0
        self._bytes = 0

    @property
    def progress(self) -> ExportProgress:
        """What was written so far."""
        return ExportProgress(letters=self._letters, written_bytes=self._bytes)

    async def write(self, line: bytes) -> None:
        """Write one line. Raises DeadLetterError when the disk is full or fails."""
        with _translated(self._path):
            await asyncio.to_thread(self._file.write, line)
        self._letters += 1
        self._bytes += len(line)

    def finish(self) -> None:
        """Bring everything to disk."""
        with _translated(self._path):
            self._file.flush()
            os.fsync(self._file.fileno())


@asynccontextmanager
async def open_export(path: Path) -> AsyncIterator[ExportFile]:
    """Write a file that appears whole or not at all: beside its place under another name, renamed when it is on disk.

    Readable by its owner only, since it holds events. A file of that name is replaced at the end. Raises
    DeadLetterError when the disk is full or the place cannot be written to.
    """
    with _translated(path):
        descriptor, name = await asyncio.to_thread(tempfile.mkstemp, prefix=f".{path.name}.", dir=path.parent)
    try:
        file = os.fdopen(descriptor, "wb")
        try:
            export = ExportFile(path, file)
            yield export
            await asyncio.to_thread(export.finish)
        finally:
            with suppress(OSError):  # a full disk was reported by what came before
                file.close()
        with _translated(path):
            await asyncio.to_thread(os.replace, name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)  # noqa: PTH108 - at once, also when this task was cancelled
        raise


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DeadLetterError(
            f"cannot write {path}: {error.strerror or type(error).__name__}; nothing was left there"
        ) from error
