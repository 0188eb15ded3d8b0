"""The newest batches of all logs in memory, so that consumers who keep up never touch the disk."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict, deque
from typing import Final

from rustok_iggy_connector.local_server.storage.contract import StoredBatch
from rustok_iggy_connector.wire.batch import Batch

RECENT_BYTES: Final = 64 << 20
"""Room for the newest batches of all logs together: one batch of the largest size, or a second of full speed."""

BATCH_OVERHEAD_BYTES: Final = 256
"""What a batch costs in memory besides its bytes; counted, so that many small batches are bounded too."""

PARSED_MESSAGES: Final = 200_000
"""Messages of batches whose layout is remembered for polls that start or end inside; about 40 bytes each."""

_COMPACT_AT: Final = 1024
"""Forgotten places at the front of a tail that are worth moving the rest."""


class Tail:
    """The newest batches of one log, without a gap. Filled and emptied by RecentBatches."""

    def __init__(self) -> None:
        self._batches: list[StoredBatch] = []
        self._head = 0

    @property
    def first(self) -> StoredBatch | None:
        """The oldest batch that is still here."""
        return self._batches[self._head] if self._head < len(self._batches) else None

    def find(self, offset: int) -> int | None:
        """Position of the batch that holds `offset`; None when that is older than what is here."""
        position = bisect_right(self._batches, offset, lo=self._head, key=_base_offset) - 1
        return None if position < self._head else position

    def first_since(self, timestamp: int) -> int | None:
        """Position of the first batch that is not older than `timestamp`."""
        position = bisect_left(self._batches, timestamp, lo=self._head, key=_timestamp)
        return position if position < len(self._batches) else None

    def at(self, position: int) -> StoredBatch | None:
        """The batch there, None past the end."""
        return self._batches[position] if position < len(self._batches) else None

    def run(self, position: int, most: int) -> list[StoredBatch]:
        """Up to `most` batches from there on."""
        return self._batches[position : position + most]

    def append(self, batch: StoredBatch) -> None:
        self._batches.append(batch)

    def pop(self) -> None:
        """Forget the oldest batch; nothing happens when it was cleared before."""
        if self._head >= len(self._batches):
            return
        self._head += 1
        if self._head >= _COMPACT_AT and self._head * 2 >= len(self._batches):
            del self._batches[: self._head]
            self._head = 0
        elif self._head == len(self._batches):
            self._batches.clear()
            self._head = 0


class RecentBatches:
    """Shares RECENT_BYTES among all tails: the oldest batch of all makes room for the newest."""

    def __init__(self, *, limit: int = RECENT_BYTES) -> None:
        self._limit = limit
        self._bytes = 0
        self._order: deque[tuple[Tail, int]] = deque()
        self._parsed: OrderedDict[tuple[int, int], Batch] = OrderedDict()
        self._parsed_messages = 0

    def add(self, tail: Tail, batch: StoredBatch) -> None:
        """Put the batch at the end of its log's tail and forget others where room is needed."""
        size = len(batch.data) + BATCH_OVERHEAD_BYTES
        tail.append(batch)
        self._order.append((tail, size))
        self._bytes += size
        while self._bytes > self._limit and len(self._order) > 1:
            oldest, freed = self._order.popleft()
            oldest.pop()
            self._bytes -= freed

    def parsed(self, log_id: int, batch: StoredBatch) -> Batch:
        """The batch's layout; remembered, since the next poll goes on where this one stops."""
        key = (log_id, batch.base_offset)
        found = self._parsed.get(key)
        if found is None:
            found = self._parsed[key] = Batch.parse(batch.data, verify=False)
            self._parsed_messages += batch.count
            while self._parsed_messages > PARSED_MESSAGES and len(self._parsed) > 1:
                _, forgotten = self._parsed.popitem(last=False)
                self._parsed_messages -= forgotten.header.count
        else:
            self._parsed.move_to_end(key)
        return found


def _base_offset(batch: StoredBatch) -> int:
    return batch.base_offset


def _timestamp(batch: StoredBatch) -> int:
    return batch.timestamp
