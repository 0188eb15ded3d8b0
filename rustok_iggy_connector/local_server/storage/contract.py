"""The contract of a storage: what one commit may write, what is there after a restart, how batches are read.

What every send and poll makes is a Struct, which costs a tenth of a frozen dataclass.

A log is one life of one partition; its number is the partition's incarnation, which is never used again. So purging and
deleting are instant: a new life has a new number, and what the old one held is cleared away later.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

from msgspec import Struct

from rustok_iggy_connector.local_server.changes import Change


class StorageError(Exception):
    """A commit or a read failed; nothing of the commit is there. `full`: there is no room, later it may work."""

    def __init__(self, message: str, *, full: bool = False) -> None:
        self.full = full
        super().__init__(message)


class StorageDamagedError(StorageError):
    """What is stored cannot be read back; starting on it would lose data."""


class ConsumerKey(NamedTuple):
    """Whose offset: `kind` 1 a single consumer, 2 a group; `id` its number, or the hash of a single consumer's name."""

    kind: int
    id: int


class StoredBatch(Struct, frozen=True, kw_only=True, gc=False):
    """A batch as it stands in a log.

    `segment` is the offset at which its segment starts, `bytes_before` counts the bytes of all batches of the log
    before it since offset 0, so that sizes of any range are a subtraction. `timestamp` is microseconds since 1970.
    """

    base_offset: int
    count: int
    timestamp: int
    segment: int
    bytes_before: int
    data: bytes

    def __repr__(self) -> str:
        """Without the bytes."""
        return f"StoredBatch(base_offset={self.base_offset}, count={self.count}, size={len(self.data)})"

    @property
    def last_offset(self) -> int:
        """Offset of its last message."""
        return self.base_offset + self.count - 1

    @property
    def bytes_after(self) -> int:
        """`bytes_before` of the batch that follows."""
        return self.bytes_before + len(self.data)


class StoredSegment(Struct, frozen=True, kw_only=True, gc=False):
    """A run of batches that retention removes as a whole. `bytes_before` and `bytes_after` as in StoredBatch."""

    first_offset: int
    last_offset: int
    bytes_before: int
    bytes_after: int
    last_timestamp: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredLog:
    """A log as found at the start: its segments in order and the stored offsets.

    `next_offset` is the offset of the next message; without segments all before it was trimmed.
    """

    id: int
    next_offset: int = 0
    segments: tuple[StoredSegment, ...] = ()
    offsets: dict[ConsumerKey, int] = field(default_factory=dict)


class NewLog(Struct, frozen=True, kw_only=True):
    """A partition begins a life."""

    log_id: int


class DropLog(Struct, frozen=True, kw_only=True):
    """A life ends: its batches and offsets are gone."""

    log_id: int


class Append(Struct, frozen=True, kw_only=True):
    """One batch at the end of a log."""

    log_id: int
    batch: StoredBatch


class TrimLog(Struct, frozen=True, kw_only=True):
    """Batches before `first_offset`, the start of a segment or the next offset, are gone."""

    log_id: int
    first_offset: int


class SetOffset(Struct, frozen=True, kw_only=True):
    """A consumer's stored offset; None removes it."""

    log_id: int
    consumer: ConsumerKey
    offset: int | None


Write: TypeAlias = Change | NewLog | DropLog | Append | TrimLog | SetOffset

Done: TypeAlias = Callable[[StorageError | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Everything there is at the start."""

    rows: tuple[Change, ...] = ()
    logs: tuple[StoredLog, ...] = ()


class Storage(ABC):
    """Keeps catalog rows, batches and offsets. Used by one thread, which `done` is called back in.

    Order: writes of one commit take effect in their order and all or nothing; commits in the order they were given.
    Concurrency: one commit at a time; the next may be given when `done` of the last was called. Reads may come at any
    time and see all finished commits. Errors: StorageError, handed to `done` by commits and raised by reads.
    """

    @abstractmethod
    def load(self) -> Stored:
        """What is there. Called once, before anything else. Raises StorageDamagedError."""

    @abstractmethod
    def commit(self, writes: Sequence[Write], done: Done) -> None:
        """Write all of `writes` or nothing; `done(None)` once they would survive a power loss, else `done(error)`."""

    @abstractmethod
    def read(self, log_id: int, offset: int) -> Iterator[StoredBatch]:
        """The batches of a log in order, from the one that holds `offset` on; close the iterator when done."""

    @abstractmethod
    def first_offset_since(self, log_id: int, timestamp: int, *, first: int, last: int) -> int | None:
        """Base offset of the first batch from `first` to `last`, both inside, that is not older than `timestamp`."""

    @abstractmethod
    def room(self) -> tuple[int, int]:
        """Free and total bytes of where it stores; 0 when that means nothing."""

    @abstractmethod
    def close(self) -> None:
        """Finish the commit under way and release everything. Idempotent."""
