"""What one process knows of a group on a topic: its counters, and how its partitions stand. Reads only.

Everything comes from memory, and costs microseconds for each partition.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

from rustok_iggy.consumer.partition import PartitionConsumer
from rustok_iggy.consumer.statistics import ConsumerStatistics, PartitionServices
from rustok_iggy.dead_letters.journal import Journal
from rustok_iggy.durations import DurationsTaken
from rustok_iggy.moments import MICROSECONDS_PER_SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStanding:
    """How things stand now in the partitions of a group that this process has. Ages in seconds.

    `running` counts handlers, `stuck` those of them that are over `stuck_after`; `ahead` maps a partition to the
    messages begun above its committed offset. `letters` are open dead letters, `oldest_letter_age` counts from the
    first failure of the oldest; `letters_waiting` are still to be written, and
    `letters_refused` never can be. `unreachable_journals` are partitions whose dead-letter topic does not answer.
    """

    is_assigned: bool = False
    ahead: Mapping[int, int] = field(default_factory=dict)
    running: int = 0
    stuck: int = 0
    is_breaker_open: bool = False
    parked_tenants: int = 0
    letters: int = 0
    oldest_letter_age: float = 0.0
    letters_waiting: int = 0
    letters_refused: int = 0
    letters_expired: int = 0
    unreachable_journals: int = 0
    open_requests: int = 0

    @property
    def partitions(self) -> int:
        """How many partitions this process has."""
        return len(self.ahead)


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupStatistics:
    """One group on one topic, as this process sees it. `events` counts since the start, over all runs.

    `lag` is the whole group's, by partition, as the server last said; empty before it did.
    """

    group: str
    topic: str
    events: ConsumerStatistics
    handler_seconds: DurationsTaken
    is_paused: bool = False
    standing: GroupStanding = GroupStanding()
    lag: Mapping[int, int] = field(default_factory=dict)


def total(counted: Iterable[ConsumerStatistics]) -> ConsumerStatistics:
    """Add up counters."""
    added = ConsumerStatistics()
    for each in counted:
        for name in COUNTERS:
            setattr(added, name, getattr(added, name) + getattr(each, name))
    return added


COUNTERS = tuple(each.name for each in fields(ConsumerStatistics))


def standing(
    services: PartitionServices, consumers: Iterable[PartitionConsumer], *, is_assigned: bool
) -> GroupStanding:
    """Return how things stand in `consumers`, the partitions of one member."""
    consumers = tuple(consumers)
    journals = [consumer.journal.journal for consumer in consumers]
    parkings = [consumer.letters.parking for consumer in consumers]
    now = services.clock()
    return GroupStanding(
        is_assigned=is_assigned,
        ahead={consumer.partition_id: consumer.commits.watermark.ahead for consumer in consumers},
        running=sum(consumer.runner.handling.count for consumer in consumers),
        stuck=sum(1 for consumer in consumers for _ in consumer.runner.stuck(now)),
        is_breaker_open=services.breaker.is_open,
        parked_tenants=sum(len(journal.parked_tenants) for journal in journals),
        letters=sum(journal.open_count for journal in journals),
        oldest_letter_age=max((oldest_age(journal, now=services.now()) for journal in journals), default=0.0),
        letters_waiting=sum(parking.waiting for parking in parkings),
        letters_refused=sum(len(parking.refused) for parking in parkings),
        letters_expired=sum(consumer.journal.letters_expired for consumer in consumers),
        unreachable_journals=sum(consumer.journal.trouble is not None for consumer in consumers),
        open_requests=sum(len(journal.requests) for journal in journals),
    )


def oldest_age(journal: Journal, *, now: int) -> float:
    """Return seconds since the first failure of the oldest open letter; 0 without any. `now` in µs since 1970 UTC."""
    oldest = journal.oldest_failure
    return 0.0 if oldest is None else max(0, now - oldest) / MICROSECONDS_PER_SECOND
