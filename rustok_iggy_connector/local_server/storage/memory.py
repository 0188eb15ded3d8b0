"""A storage that forgets: for the in-process server of unit tests."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from rustok_iggy_connector.local_server.storage.contract import (
    Append,
    Done,
    DropLog,
    Storage,
    Stored,
    StoredBatch,
    TrimLog,
    Write,
)


class MemoryStorage(Storage):
    """Keeps batches in lists; a commit is done before `commit` returns. Rows and offsets live in the server's state."""

    def __init__(self) -> None:
        self._logs: dict[int, list[StoredBatch]] = {}

    def load(self) -> Stored:
        """Nothing: a memory storage starts empty."""
        return Stored()

    def commit(self, writes: Sequence[Write], done: Done) -> None:
        """Keep the batches and report at once."""
        for write in writes:
            if isinstance(write, Append):
                self._logs.setdefault(write.log_id, []).append(write.batch)
            elif isinstance(write, DropLog):
                self._logs.pop(write.log_id, None)
            elif isinstance(write, TrimLog):
                batches = self._logs.get(write.log_id, [])
                del batches[: bisect_left(batches, write.first_offset, key=_base_offset)]
        done(None)

    def read(self, log_id: int, offset: int) -> Iterator[StoredBatch]:
        """The batches from the one that holds `offset` on."""
        batches = self._logs.get(log_id, [])
        position = max(bisect_right(batches, offset, key=_base_offset) - 1, 0)
        while position < len(batches):
            yield batches[position]
            position += 1

    def first_offset_since(self, log_id: int, timestamp: int, *, first: int, last: int) -> int | None:
        """Timestamps never fall along a log, so this is a binary search."""
        batches = self._logs.get(log_id, [])
        low = bisect_left(batches, first, key=_base_offset)
        position = bisect_left(batches, timestamp, lo=low, key=_timestamp)
        if position < len(batches) and batches[position].base_offset <= last:
            return batches[position].base_offset
        return None

    def room(self) -> tuple[int, int]:
        """Memory is not counted."""
        return 0, 0

    def close(self) -> None:
        """Forget everything."""
        self._logs.clear()


def _base_offset(batch: StoredBatch) -> int:
    return batch.base_offset


def _timestamp(batch: StoredBatch) -> int:
    return batch.timestamp
