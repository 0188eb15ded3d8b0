"""What the processes of a chaos run note, each in a file of its own that outlives it.

One line is one write: a killed process loses none that it made. (Only a loss of power would, and nobody pulls the plug
of the machine that runs this.) Times are µs since 1970 UTC by the machine's clock, as the server on it stamps messages.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Generic, Self, TypeVar

import msgspec
from msgspec import Struct

T = TypeVar("T", bound=Struct)


class What(StrEnum):
    """What a member says of a delivery."""

    BEGAN = "began"
    HANDLED = "handled"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Noted(Struct, frozen=True, kw_only=True):
    """One step of one delivery, as its handler saw it. `redrive`: 0, or the attempt of a letter that runs again."""

    at: int
    process: int
    what: What
    tenant: int
    number: int
    partition: int
    offset: int
    group_id: int
    generation: int
    redrive: int = 0

    @property
    def event(self) -> tuple[int, int]:
        return self.tenant, self.number


class Confirmed(Struct, frozen=True, kw_only=True):
    """An event that the server confirmed."""

    at: int
    tenant: int
    number: int
    partition: int
    offset: int

    @property
    def event(self) -> tuple[int, int]:
        return self.tenant, self.number


class History(Generic[T]):
    """A file that is appended to."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def note(self, *entries: T) -> None:
        os.write(self._file, b"".join(msgspec.json.encode(entry) + b"\n" for entry in entries))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        os.close(self._file)


def now() -> int:
    return time.time_ns() // 1000


def read_history(directory: Path, prefix: str, kind: type[T]) -> Iterator[T]:
    """Everything that processes of one kind noted, process by process. A line cut by a kill is no note."""
    decoder = msgspec.json.Decoder(kind)
    for path in sorted(directory.glob(f"{prefix}*.jsonl")):
        yield from (decoder.decode(line) for line in path.read_bytes().split(b"\n")[:-1])
