"""One partition's log: where batches go, what a poll gets, which offsets may be stored, what retention removes.

A write is planned, then committed by the storage, then applied: only then polls see it. Plans of one commit build upon
each other; `forget_plans` after a commit that failed makes the log as it was.

Rules that clients can see, from iggy-server (core/partitions/src): `First` starts at offset 0, and a poll below the
first retained offset gives the first retained; `Last` starts `count` before the end; `Next` is the stored offset + 1;
a start past the end gives nothing. An offset may be stored up to the last message, none in an empty partition, and may
go back. Segments close when they reach their size; retention removes closed ones only, oldest first, and none with a
message that some stored offset still has before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from rustok_iggy_connector.local_server.recent import RecentBatches, Tail
from rustok_iggy_connector.local_server.refusal import Refusal
from rustok_iggy_connector.local_server.storage.contract import (
    Append,
    ConsumerKey,
    SetOffset,
    Storage,
    StoredBatch,
    StoredLog,
    StoredSegment,
    TrimLog,
)
from rustok_iggy_connector.wire.batch import Batch
from rustok_iggy_connector.wire.codes import Status
from rustok_iggy_connector.wire.primitives import PollingStrategy, StrategyKind

POLL_BYTES: Final = 64 << 20
"""A poll reply ends with the batch that reaches this size, which is that of the largest request. The protocol bounds
polls by their count only, and 1000 messages of 64 MB are more than any memory: the next poll gets the rest."""

LogWrite: TypeAlias = Append | SetOffset | TrimLog


class _End(NamedTuple):
    """Where a log ends: the next message's offset, the last timestamp, its open segment, and the bytes before each."""

    next_offset: int
    timestamp: int
    segment: int
    segment_bytes_before: int
    bytes_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Polled:
    """What a poll found: whole batches as stored and slices, `count` messages up to `last_offset`."""

    parts: list[bytes] = field(repr=False)
    count: int
    last_offset: int


class PartitionLog:
    """One life of a partition. One owner; only `poll` reads from the storage. Time is microseconds since 1970."""

    def __init__(self, stored: StoredLog, *, storage: Storage, recent: RecentBatches, segment_size: int) -> None:
        self.id = stored.id
        self.offsets = dict(stored.offsets)
        self._storage = storage
        self._recent = recent
        self._segment_size = segment_size
        self._segments = list(stored.segments)
        self._tail = Tail()
        self._end = _end_of(stored)
        self._planned_end = self._end

    # What there is

    @property
    def next_offset(self) -> int:
        """Offset of the next message."""
        return self._end.next_offset

    @property
    def current_offset(self) -> int:
        """Offset of the last message; 0 also when there never was one."""
        return max(self._end.next_offset - 1, 0)

    @property
    def first_offset(self) -> int:
        """Offset of the first retained message; the next offset when there is none."""
        return self._segments[0].first_offset if self._segments else self._end.next_offset

    @property
    def messages_count(self) -> int:
        """Retained messages."""
        return self._end.next_offset - self.first_offset

    @property
    def size_bytes(self) -> int:
        """Bytes of the retained batches."""
        return self._segments[-1].bytes_after - self._segments[0].bytes_before if self._segments else 0

    @property
    def segments_count(self) -> int:
        """Closed segments and the one that grows, which may be empty."""
        return self._closed_count() + 1

    # Plans

    def plan_append(self, batch: Batch, *, partition_id: int, now: int) -> Append:
        """Give the batch the next offsets. Refuses one without messages (3)."""
        count = batch.header.count
        if not count:
            raise Refusal(Status.INVALID_COMMAND)
        end = self._planned_end
        timestamp = max(now, end.timestamp)
        data = batch.stamped(partition_id=partition_id, base_offset=end.next_offset, base_timestamp=timestamp)
        opens = end.bytes_after - end.segment_bytes_before >= self._segment_size or end.next_offset == end.segment
        segment = end.next_offset if opens else end.segment
        stored = StoredBatch(
            base_offset=end.next_offset,
            count=count,
            timestamp=timestamp,
            segment=segment,
            bytes_before=end.bytes_after,
            data=data,
        )
        segment_bytes_before = end.bytes_after if opens else end.segment_bytes_before
        self._planned_end = _End(end.next_offset + count, timestamp, segment, segment_bytes_before, stored.bytes_after)
        return Append(log_id=self.id, batch=stored)

    def plan_offset(self, consumer: ConsumerKey, offset: int) -> SetOffset:
        """Refuses an offset past the last message, and any in an empty partition (4100)."""
        is_empty = self.messages_count == 0 and self.current_offset == 0
        if is_empty or offset > self.current_offset:
            raise Refusal(Status.INVALID_OFFSET)
        return SetOffset(log_id=self.id, consumer=consumer, offset=offset)

    def plan_offset_removal(self, consumer: ConsumerKey) -> SetOffset:
        """Refuses when none is stored (3021)."""
        if consumer not in self.offsets:
            raise Refusal(Status.CONSUMER_OFFSET_NOT_FOUND)
        return SetOffset(log_id=self.id, consumer=consumer, offset=None)

    def plan_retention(self, *, now: int, expiry: int | None, max_bytes: int | None) -> TrimLog | None:
        """Remove what is older than `expiry` microseconds, and the oldest while closed segments have over `max_bytes`.

        None means no limit. None comes back when there is nothing to remove.
        """
        closed = self._segments[: self._closed_count()]
        expired = 0
        while expiry is not None and expired < len(closed) and closed[expired].last_timestamp + expiry <= now:
            expired += 1
        oversized = 0
        if max_bytes is not None:
            resident = sum(_size(segment) for segment in closed)
            while oversized < len(closed) and resident > max_bytes:
                resident -= _size(closed[oversized])
                oversized += 1
        return self._trim(max(expired, oversized))

    def plan_segments_removal(self, count: int) -> TrimLog | None:
        """Remove the oldest `count` closed segments, those that the barrier of stored offsets lets go."""
        return self._trim(min(count, self._closed_count()))

    def forget_plans(self) -> None:
        """The commit failed: nothing of what was planned has happened."""
        self._planned_end = self._end

    def apply(self, write: LogWrite) -> None:
        """The commit is done: from now on polls see the write."""
        if isinstance(write, Append):
            self._apply_append(write.batch)
        elif isinstance(write, TrimLog):
            self._segments = [segment for segment in self._segments if segment.first_offset >= write.first_offset]
        elif write.offset is None:
            self.offsets.pop(write.consumer, None)
        else:
            self.offsets[write.consumer] = write.offset

    # Polls

    def start_of(self, strategy: PollingStrategy, *, count: int, consumer: ConsumerKey) -> int:
        """The offset at which such a poll starts."""
        match strategy.kind:
            case StrategyKind.OFFSET:
                return strategy.value
            case StrategyKind.FIRST:
                return 0
            case StrategyKind.LAST:
                return max(self.current_offset - (count - 1), 0)
            case StrategyKind.NEXT:
                stored = self.offsets.get(consumer)
                return 0 if stored is None else stored + 1
            case StrategyKind.TIMESTAMP:
                return self._first_since(strategy.value)

    def poll(self, start: int, *, count: int, max_bytes: int = POLL_BYTES) -> Polled | None:
        """Up to `count` messages from `start` on; None when there are none. Raises StorageError."""
        start = max(start, self.first_offset)
        if start >= self.next_offset or count < 1:
            return None
        parts: list[bytes] = []
        missing, size = count, 0
        for batch in self._batches_from(start, most=count):
            if batch.base_offset >= start and batch.count <= missing:
                part, taken = batch.data, batch.count
            else:
                first = max(start, batch.base_offset)
                taken = min(batch.last_offset - first + 1, missing)
                part = self._recent.parsed(self.id, batch).sliced(from_offset=first, max_messages=taken)
            parts.append(part)
            missing -= taken
            size += len(part)
            if not missing or size >= max_bytes:
                break
        found = count - missing
        return Polled(parts=parts, count=found, last_offset=start + found - 1)

    # Inside

    def _batches_from(self, start: int, *, most: int) -> Iterable[StoredBatch]:
        """The batches from the one that holds `start` on; more than `most` are not asked for."""
        position = self._tail.find(start)
        return self._stored_from(start) if position is None else self._tail.run(position, most)

    def _stored_from(self, start: int) -> Iterator[StoredBatch]:
        """A commit may be on disk before it is applied here: what is not applied is not visible."""
        for batch in self._storage.read(self.id, start):
            if batch.base_offset >= self.next_offset:
                return
            yield batch

    def _first_since(self, timestamp: int) -> int:
        oldest = self._tail.first
        if oldest is not None and oldest.timestamp < timestamp:
            position = self._tail.first_since(timestamp)
            found = None if position is None else self._tail.at(position)
            return self.next_offset if found is None else found.base_offset
        offset = self._storage.first_offset_since(
            self.id, timestamp, first=self.first_offset, last=self.next_offset - 1
        )
        return self.next_offset if offset is None else offset

    def _closed_count(self) -> int:
        if not self._segments:
            return 0
        last_is_closed = _size(self._segments[-1]) >= self._segment_size
        return len(self._segments) - (not last_is_closed)

    def _trim(self, count: int) -> TrimLog | None:
        barrier = min(self.offsets.values(), default=None)
        if barrier is not None:
            allowed = 0
            while allowed < count and self._segments[allowed].last_offset <= barrier:
                allowed += 1
            count = allowed
        return TrimLog(log_id=self.id, first_offset=self._segments[count - 1].last_offset + 1) if count else None

    def _apply_append(self, batch: StoredBatch) -> None:
        open_segment = (
            self._segments[-1] if self._segments and self._segments[-1].first_offset == batch.segment else None
        )
        grown = StoredSegment(
            first_offset=batch.segment,
            last_offset=batch.last_offset,
            bytes_before=open_segment.bytes_before if open_segment else batch.bytes_before,
            bytes_after=batch.bytes_after,
            last_timestamp=batch.timestamp,
        )
        if open_segment:
            self._segments[-1] = grown
        else:
            self._segments.append(grown)
        self._end = _End(
            batch.last_offset + 1, batch.timestamp, grown.first_offset, grown.bytes_before, grown.bytes_after
        )
        self._recent.add(self._tail, batch)


def _size(segment: StoredSegment) -> int:
    return segment.bytes_after - segment.bytes_before


def _end_of(stored: StoredLog) -> _End:
    if not stored.segments:
        return _End(stored.next_offset, 0, stored.next_offset, 0, 0)
    last = stored.segments[-1]
    return _End(stored.next_offset, last.last_timestamp, last.first_offset, last.bytes_before, last.bytes_after)
