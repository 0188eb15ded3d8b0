"""Counters of consuming, and what all partitions of a member share."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from rustok_iggy.config import ConsumerConfig
from rustok_iggy.consumer.breaker import CircuitBreaker
from rustok_iggy.consumer.delivery import EnvelopeReader, Router
from rustok_iggy.consumer.slots import Slots
from rustok_iggy.consumer.subscription import OnGap, OnUndecodable, OnUnknown, Ordering
from rustok_iggy.durations import Durations
from rustok_iggy.tracing.contract import Tracing

LONGEST_WATCH_INTERVAL = 1.0
WATCH_SHARE = 0.1


@dataclass(slots=True, kw_only=True)
class ConsumerStatistics:
    """Messages since the start: of one group on one topic, or of all together.

    polled = handled + filtered + duplicates + letters + what is in flight or given up. `retried` counts attempts after
    the first. A letter that is redriven is no new event: it counts in `redriven`, or `redrives_failed` each time.
    """

    polled: int = 0
    handled: int = 0
    filtered: int = 0
    duplicates: int = 0
    letters: int = 0
    """Events kept as dead letters: written here, or found in the journal when they came again."""
    letters_without_tenant: int = 0
    """Those among them that hold back nobody, because they could not be read: order is not kept there."""
    redriven: int = 0
    redrives_failed: int = 0
    discarded: int = 0
    retried: int = 0
    timed_out: int = 0
    failed: int = 0
    commits: int = 0
    gaps: int = 0
    rebalances: int = 0
    """Times the server dealt the group's partitions anew, or took the membership away, as this member saw it."""
    lost_partitions: int = 0
    abandoned_lanes: int = 0
    """Lanes that still waited when their partition was handed over; their events run at the new owner."""


@dataclass(frozen=True, slots=True)
class GroupCounters:
    """What is counted of one group on one topic, over all runs."""

    events: ConsumerStatistics = field(default_factory=ConsumerStatistics)
    handler_seconds: Durations = field(default_factory=Durations)


@dataclass(slots=True)
class Pauses:
    """What of a group is paused: all of it, or some tenants. Outlives rebalances and runs."""

    everything: bool = False
    tenants: set[UUID] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class GroupLedger:
    """What of the groups outlives a run: what is paused, by group, and what was counted, by group and topic."""

    pauses: defaultdict[str, Pauses] = field(default_factory=lambda: defaultdict(Pauses))
    counters: defaultdict[tuple[str, str], GroupCounters] = field(default_factory=lambda: defaultdict(GroupCounters))


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionServices:
    """What every partition of a member uses.

    `chance` gives 0…1, for jitter; `now` µs since 1970 UTC.
    """

    group: str
    topic: str
    on_gap: OnGap
    reader: EnvelopeReader
    router: Router
    config: ConsumerConfig
    statistics: ConsumerStatistics
    clock: Callable[[], float]
    chance: Callable[[], float]
    slots: Slots[Any]
    handler_seconds: Durations = field(default_factory=Durations)
    tracing: Tracing | None = None
    now: Callable[[], int] = lambda: time.time_ns() // 1000
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    pauses: Pauses = field(default_factory=Pauses)
    ordering: Ordering = Ordering.TENANT
    deduplicate: bool = True
    undecodable: OnUndecodable = OnUndecodable.DEAD_LETTER
    unknown: OnUnknown = OnUnknown.DEAD_LETTER
    replay: str | None = None
    """What `context.replay` says."""

    @property
    def watch_interval(self) -> float:
        """Seconds between two looks at running handlers: a limit is kept to within a tenth of it, or a second."""
        limits = [limit for limit in (*self.router.timeouts, self.config.slow_handler_after) if limit]
        return min(LONGEST_WATCH_INTERVAL, min(limits) * WATCH_SHARE)
