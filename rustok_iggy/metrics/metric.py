"""What a metric is: one row of catalog.py, and how its values are read from what a transport knows of itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from operator import attrgetter
from typing import NamedTuple

from rustok_iggy.backpressure import BackpressureState
from rustok_iggy.consumer.group_statistics import GroupStatistics
from rustok_iggy.durations import DurationsTaken
from rustok_iggy.health import HealthReport, HealthStatus
from rustok_iggy.transport_statistics import TransportStatistics

PREFIX = "rustok_iggy_"


class Kind(StrEnum):
    """Prometheus' kinds."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Scope(StrEnum):
    """What one value is about: the root of its source, and the labels that follow."""

    TRANSPORT = "transport"
    """`source` is a path in TransportStatistics."""
    OBSERVED = "observed"
    """`source` is a path in Observed."""
    HEALTH = "health"
    """`source` is a path in HealthReport."""
    GROUP = "group"
    """`source` is a path in GroupStatistics: one value for each group and topic this process consumes."""
    PARTITION = "partition"
    """As GROUP; the value maps partitions to numbers."""
    COMPONENT = "component"
    """`source` maps parts of the transport to their health."""


LABELS: dict[Scope, tuple[str, ...]] = {
    Scope.TRANSPORT: (),
    Scope.OBSERVED: (),
    Scope.HEALTH: (),
    Scope.GROUP: ("group", "topic"),
    Scope.PARTITION: ("group", "topic", "partition"),
    Scope.COMPONENT: ("component",),
}

LEVELS: dict[object, int] = {
    HealthStatus.HEALTHY: 0,
    HealthStatus.DEGRADED: 1,
    HealthStatus.UNHEALTHY: 2,
    BackpressureState.NORMAL: 0,
    BackpressureState.WARNING: 1,
    BackpressureState.CRITICAL: 2,
}
"""States as numbers, so that an alert can say `> 1`."""


class Across(StrEnum):
    """What the values of several processes are together, as PromQL calls it."""

    SUM = "sum"
    MAX = "max"
    MIN = "min"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One row. With `sources` instead of `source`, the label `by` tells its values apart."""

    name: str
    kind: Kind
    help: str
    scope: Scope
    source: str = ""
    unit: str = ""
    across: Across = Across.SUM
    by: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def full_name(self) -> str:
        """As Prometheus shows it."""
        unit = f"_{self.unit}" if self.unit and not self.name.endswith(self.unit) else ""
        return f"{PREFIX}{self.name}{unit}{'_total' if self.kind is Kind.COUNTER else ''}"

    @property
    def labels(self) -> tuple[str, ...]:
        """Its labels behind `transport`, in the order of a sample's values."""
        return (*LABELS[self.scope], *((self.by,) if self.by else ()))


class Observed(NamedTuple):
    """What a transport knew of itself, `age` seconds ago."""

    statistics: TransportStatistics
    health: HealthReport
    age: float = 0.0


class Sample(NamedTuple):
    """One value of a metric; `labels` in the order of Metric.labels."""

    labels: tuple[str, ...]
    value: float | DurationsTaken


def samples(metric: Metric, observed: Observed) -> Iterator[Sample]:
    """Return a metric's values. Decides only."""
    for value, source in (metric.sources or {"": metric.source}).items():
        read = attrgetter(source)
        by = (value,) if metric.by else ()
        for labels, root in _roots(metric.scope, observed):
            found = read(root)
            if isinstance(found, Mapping):
                yield from (Sample((*labels, str(key), *by), _number(each)) for key, each in found.items())
            else:
                yield Sample((*labels, *by), _number(found))


def _roots(scope: Scope, observed: Observed) -> Iterable[tuple[tuple[str, ...], object]]:
    if scope is Scope.TRANSPORT:
        return [((), observed.statistics)]
    if scope is Scope.OBSERVED:
        return [((), observed)]
    if scope in {Scope.HEALTH, Scope.COMPONENT}:
        return [((), observed.health)]
    groups: tuple[GroupStatistics, ...] = observed.statistics.groups
    return [((each.group, each.topic), each) for each in groups]


def _number(found: object) -> float | DurationsTaken:
    if isinstance(found, DurationsTaken):
        return found
    if isinstance(found, int | float):
        return float(found)
    return LEVELS[getattr(found, "status", found)]
