"""Makes a plan: pins the bounds to offsets, reads the range once, and counts what is wanted of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TypedDict
from uuid import UUID

import msgspec
from msgspec import UNSET

from rustok_iggy.catalog import EventCatalog
from rustok_iggy.consumer.deduplication import Deduplication
from rustok_iggy.consumer.delivery import EnvelopeReader
from rustok_iggy.consumer.subscription import EventTypes
from rustok_iggy.errors import ReplayError
from rustok_iggy.moments import microseconds
from rustok_iggy.replay.log_identity import KnownMessage
from rustok_iggy.replay.log_reader import LogReader, RangeReader
from rustok_iggy.replay.plan import MAX_COPY_RANGES, MAX_COUNTS, EventCount, PartitionRange, ReplayPlan
from rustok_iggy.replay.predicate import Choose, Predicate
from rustok_iggy.replay.selection import UNREADABLE, Selection
from rustok_iggy.serialization import OpenedEnvelope
from rustok_iggy_connector import ReceivedMessage, TopicInfo

MAX_TYPE_LENGTH = 128
"""Of an event type in a plan: no catalogue takes a longer one, a damaged message might hold one."""

Bound = Mapping[int, int] | datetime | None
"""Offsets by partition, a time (when the server stored the message), or none."""


class ReplaySelection(TypedDict, total=False):
    """What to replay; all of it when left out."""

    start: Bound
    """The first of them: offset by partition, or time of storing. A partition that is not named has no bound."""
    end: Bound
    """Where to end, itself left out: offset by partition, or time of storing; default: what is there now."""
    tenants: Iterable[UUID] | None
    event_types: EventTypes | None
    """Classes or names."""
    predicate: Choose | str | None
    """Takes an envelope and says whether it is wanted, or `module:function`, which finds such a function. A plan can
    only be saved with one that can be imported by its name."""


def empty_plan(
    selection: ReplaySelection, *, catalog: EventCatalog, stream: str, topic: str, created_at: datetime
) -> ReplayPlan:
    """Return a plan of no messages that says what is wanted. Raises ReplayError, UnknownEventTypeError, TypeError."""
    unknown = sorted(selection.keys() - ReplaySelection.__annotations__.keys())
    if unknown:
        raise TypeError(f"plan_replay() takes no {', '.join(unknown)}")
    problems = [*_bound_problems("start", selection.get("start")), *_bound_problems("end", selection.get("end"))]
    if problems:
        raise ReplayError("; ".join(problems))
    tenants, types, chosen = (selection.get("tenants"), selection.get("event_types"), selection.get("predicate"))
    return ReplayPlan(
        stream=stream,
        topic=topic,
        created_at=created_at,
        partitions=(),
        tenants=None if tenants is None else tuple(sorted(set(tenants))),
        event_types=None if types is None else tuple(sorted({_type_name(each, catalog) for each in types})),
        predicate=None if chosen is None else Predicate(chosen),
        events=0,
        event_bytes=0,
    )


async def fill(
    plan: ReplayPlan, selection: ReplaySelection, *, log_reader: LogReader, described: TopicInfo, reader: EnvelopeReader
) -> ReplayPlan:
    """Pin the bounds and count what is wanted within them. Raises ReplayError, connector errors."""
    for bound in (selection.get("start"), selection.get("end")):
        if isinstance(bound, Mapping) and any(not 0 <= each < described.partitions for each in bound):
            raise ReplayError(f"topic {plan.topic} has partitions 0 to {described.partitions - 1}, not {sorted(bound)}")
    census, ranges = Census(), []
    chosen = Selection(plan, reader)
    for partition_id in range(described.partitions):
        start, end = await _pinned(log_reader, described, partition_id, selection)
        census.begin_partition()
        messages = RangeReader(log_reader, topic=plan.topic, partition_id=partition_id, start=start, end=end)
        first, last = await _counted(messages, chosen, census)
        ranges.append(
            PartitionRange(
                partition_id=partition_id,
                start=start,
                end=end,
                copies=tuple(census.copies),
                first=UNSET if first is None else KnownMessage.of(first),
                last=UNSET if last is None else KnownMessage.of(last),
            )
        )
    return msgspec.structs.replace(
        plan,
        partitions=tuple(ranges),
        events=census.events,
        event_bytes=census.event_bytes,
        unreadable=census.unreadable,
        uncounted=census.uncounted,
        counts=tuple(census.counts()),
    )


class Census:
    """Counts what a plan chooses, in bounded memory."""

    def __init__(self, *, max_counts: int = MAX_COUNTS, max_copy_ranges: int = MAX_COPY_RANGES) -> None:
        self.events = 0
        self.event_bytes = 0
        self.unreadable = 0
        self.uncounted = 0
        self.copies: list[tuple[int, int]] = []
        self._named = 0
        self._max_counts = max_counts
        self._max_copy_ranges = max_copy_ranges
        self._counted: Counter[tuple[UUID, str]] = Counter()
        self._known = Deduplication()

    def begin_partition(self) -> None:
        """Copies stand in the partition of their original: forget what the last one had."""
        self.copies, self._known = [], Deduplication()

    def is_copy(self, message_id: int, offset: int) -> bool:
        """Whether a message came before; then it is noted. Raises ReplayError when there are too many to be named."""
        if self._known.is_new(message_id):
            return False
        if self.copies and self.copies[-1][1] == offset:
            self.copies[-1] = self.copies[-1][0], offset + 1
            return True
        self._named += 1
        if self._named > self._max_copy_ranges:
            raise ReplayError(f"more than {self._max_copy_ranges} runs of copies in the range: plan smaller ranges")
        self.copies.append((offset, offset + 1))
        return True

    def count(self, opened: OpenedEnvelope, size: int) -> None:
        """An event that is wanted, of `size` bytes."""
        self.events += 1
        self.event_bytes += size
        pair = opened.tenant_id, opened.event_type[:MAX_TYPE_LENGTH]
        if pair in self._counted or len(self._counted) < self._max_counts:
            self._counted[pair] += 1
        else:
            self.uncounted += 1

    def counts(self) -> Iterator[EventCount]:
        """Yield what was counted one by one, by tenant and type."""
        for (tenant_id, event_type), events in sorted(self._counted.items()):
            yield EventCount(tenant_id=tenant_id, event_type=event_type, events=events)


async def _counted(
    messages: RangeReader, chosen: Selection, census: Census
) -> tuple[ReceivedMessage | None, ReceivedMessage | None]:
    """Read a range, count what is wanted of it, and return its first and last message."""
    first: ReceivedMessage | None = None
    last: ReceivedMessage | None = None
    while (message := await messages.next()) is not None:
        first, last = first or message, message
        if census.is_copy(message.id, message.offset):
            continue
        try:
            opened = chosen.choose(messages.partition_id, message)
        except UNREADABLE:
            census.unreadable += 1
            continue
        if opened is not None:
            census.count(opened, len(message.payload))
    return first, last


async def _pinned(
    log_reader: LogReader, described: TopicInfo, partition_id: int, selection: ReplaySelection
) -> tuple[int, int]:
    """Return the offset of the first message, and the one after the last."""
    current = described.current_offsets.get(partition_id)
    oldest = await log_reader.poll(partition_id, offset=0, max_messages=1)
    if current is None or not oldest:
        return 0, 0
    first, after = oldest[0].offset, current + 1
    end = min(after, await _offset(log_reader, partition_id, selection.get("end"), otherwise=after, late=after))
    wanted = await _offset(log_reader, partition_id, selection.get("start"), otherwise=first, late=after)
    if wanted >= end:
        return end, end
    if wanted < first:
        raise ReplayError(
            f"topic {described.name}, partition {partition_id}: offset {wanted} was removed by retention; what is left"
            f" begins at {first}"
        )
    return wanted, end


async def _offset(log_reader: LogReader, partition_id: int, bound: Bound, *, otherwise: int, late: int) -> int:
    if isinstance(bound, datetime):
        found = await log_reader.subscriber.first_offset_since(partition_id, timestamp=microseconds(bound))
        return late if found is None else found
    return otherwise if bound is None else bound.get(partition_id, otherwise)


def _bound_problems(name: str, bound: object) -> Iterator[str]:
    if isinstance(bound, datetime):
        if bound.tzinfo is None:
            yield f"{name}: a datetime needs a time zone"
    elif isinstance(bound, Mapping):
        if any(type(part) is not int or part < 0 for pair in bound.items() for part in pair):
            yield f"{name}: must map partition ids to offsets, neither of them negative"
    elif bound is not None:
        yield f"{name}: must be a time, or offsets by partition such as {{0: 120}}, not {type(bound).__name__}"


def _type_name(event_type: type[msgspec.Struct] | str, catalog: EventCatalog) -> str:
    spec = catalog.by_type(event_type) if isinstance(event_type, str) else catalog.by_class(event_type)
    return spec.event_type
