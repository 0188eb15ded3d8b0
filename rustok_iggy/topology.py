"""Streams and topics: what the configuration wants, what the server has, and the steps from one to the other.

Desired state and plan are pure; TopologyManager asks and acts. Nothing here deletes anything or changes the partition
count of a topic: which partition holds a tenant's events follows from that count.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from rustok_iggy.config import IggyConfig
from rustok_iggy.errors import TopologyConflictError, TopologyError
from rustok_iggy_connector import (
    AlreadyExistsError,
    ConnectorMode,
    Durability,
    PermissionDeniedError,
    TopicInfo,
    TopicSpec,
    TopologyAdmin,
    get_logger,
)

log = get_logger(__name__)

SECONDS_PER_DAY = 86_400.0
BYTES_PER_GB = 2**30
SYSTEM_PREFIX = "system."
"""Events whose type starts so go to the system topic, all others to domain."""
SMALLEST_SEGMENT_BYTES = 2**20
LARGEST_SEGMENT_BYTES = 2**30
"""What the server takes; it removes whole closed segments only."""
SMALL_TOPIC_SEGMENT_BYTES = 2**24
"""For topics without a size limit: few events a day must still close a segment before they can expire."""
SEGMENTS_PER_PARTITION = 8
"""Retention by size is exact to one segment: an eighth of a partition's share."""
MAX_ROUNDS = 3
"""Plan and apply again when another process acts at the same time; it needs one more round, never three."""


class Topic(StrEnum):
    """The topics of the stream (RusToK's names)."""

    DOMAIN = "domain"
    SYSTEM = "system"
    DLQ = "dlq"


def topic_of(event_type: str) -> Topic:
    """Return the topic that events of a type are published to."""
    return Topic.SYSTEM if event_type.startswith(SYSTEM_PREFIX) else Topic.DOMAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class DesiredTopology:
    """One stream and its topics. `check_durability` is off where nothing outlives the process anyway."""

    stream: str
    topics: tuple[TopicSpec, ...]
    check_durability: bool = True
    replication_factor: int = 1

    def partitions(self, topic: str) -> int:
        """Return the partition count of a topic."""
        return next(spec.partitions for spec in self.topics if spec.name == topic)


@dataclass(frozen=True, slots=True, kw_only=True)
class ActualTopology:
    """What the server has of it: topic name → description."""

    stream_exists: bool
    topics: Mapping[str, TopicInfo]


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateStream:
    """A step: the stream is missing."""

    stream: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateTopic:
    """A step: a topic is missing."""

    spec: TopicSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateRetention:
    """A step: a topic keeps its messages for another time or size than configured."""

    spec: TopicSpec


Step = CreateStream | CreateTopic | UpdateRetention

_RIGHTS: Mapping[type[Step], str] = {
    CreateStream: "manage_streams",
    CreateTopic: "manage_topics on the stream",
    UpdateRetention: "manage_topic on the topic",
}
"""What each step needs (iggy-server, core/metadata/src/permissioner/permissioner_rules)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A difference that no step removes, because the server cannot change it in place.

    Events would go wrong or get lost over a `blocking` one, so apply() refuses it; others are only told by drift().
    """

    topic: str
    field: str
    desired: object
    actual: object
    advice: str
    blocking: bool = True

    def __str__(self) -> str:
        return (
            f"topic {self.topic}: {self.field} is {self.actual}, the configuration says {self.desired}; {self.advice}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TopologyPlan:
    """Steps in the order they are to be taken, and what stands against the plan."""

    steps: tuple[Step, ...]
    conflicts: tuple[Conflict, ...]

    @property
    def is_empty(self) -> bool:
        return not self.steps and not self.conflicts

    @property
    def blocking(self) -> tuple[Conflict, ...]:
        """Conflicts that apply() refuses."""
        return tuple(conflict for conflict in self.conflicts if conflict.blocking)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """Every difference in words: those that apply() removes, those it refuses, those that have to be lived with."""

    removable: tuple[str, ...]
    refused: tuple[str, ...]
    fixed: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """As `rustok-iggy topology drift`: 0 nothing to do, 1 apply() removes it, 3 somebody has to decide.

        What is fixed at creation and does no harm (`fixed`) does not count: nothing could ever make it go away.
        """
        return 3 if self.refused else 1 if self.removable else 0

    @property
    def differences(self) -> tuple[str, ...]:
        return (*self.removable, *self.refused, *self.fixed)


def desired_topology(config: IggyConfig) -> DesiredTopology:
    """Return what the configuration wants."""
    topology, retention = config.topology, config.retention
    # Dead letters of a partition go to the partition of the same number.
    most = max(topology.domain_partitions, topology.system_partitions)
    rows = (
        (Topic.DOMAIN, topology.domain_partitions, retention.domain_max_age_days, retention.domain_max_size_gb),
        (Topic.SYSTEM, topology.system_partitions, retention.system_max_age_days, 0.0),
        (Topic.DLQ, most, retention.dlq_max_age_days, 0.0),
    )
    return DesiredTopology(
        stream=topology.stream_name,
        replication_factor=topology.replication_factor,
        check_durability=config.connector.mode is not ConnectorMode.MEMORY,
        topics=tuple(
            TopicSpec(
                name=name,
                partitions=partitions,
                durability=topology.durability,
                max_age=days * SECONDS_PER_DAY or None,
                max_bytes=round(gigabytes * BYTES_PER_GB) or None,
                segment_bytes=_segment_bytes(round(gigabytes * BYTES_PER_GB), partitions),
            )
            for name, partitions, days, gigabytes in rows
        ),
    )


def plan_topology(desired: DesiredTopology, actual: ActualTopology) -> TopologyPlan:
    """Compare. The plan is empty when nothing differs."""
    steps: list[Step] = [] if actual.stream_exists else [CreateStream(stream=desired.stream)]
    conflicts: list[Conflict] = []
    for spec in desired.topics:
        found = actual.topics.get(spec.name)
        if found is None:
            steps.append(CreateTopic(spec=spec))
            continue
        conflicts += _conflicts(spec, found, check_durability=desired.check_durability)
        if (spec.max_age, spec.max_bytes) != (found.max_age, found.max_bytes):
            steps.append(UpdateRetention(spec=spec))
    return TopologyPlan(steps=tuple(steps), conflicts=tuple(conflicts))


def _conflicts(spec: TopicSpec, found: TopicInfo, *, check_durability: bool) -> Iterator[Conflict]:
    if spec.partitions != found.partitions:
        yield _partition_conflict(spec, found)
    # Replicated where persisted is named would lose acknowledged events; stronger than named is fine.
    if check_durability and spec.durability is Durability.PERSISTED and found.durability is not Durability.PERSISTED:
        yield Conflict(
            topic=spec.name,
            field="durability",
            desired=spec.durability,
            actual=found.durability or "not stated by the server",
            advice="it is fixed at creation: name topology.durability: replicated to accept that acknowledged events"
            " can be lost, or move to a new stream",
        )
    if found.segment_bytes not in {None, spec.segment_bytes}:
        yield Conflict(
            topic=spec.name,
            field="segment_bytes",
            desired=spec.segment_bytes,
            actual=found.segment_bytes,
            advice="it is fixed at creation, and retention is exact to one segment: nothing is lost, events may stay"
            " longer than configured",
            blocking=False,
        )


def _partition_conflict(spec: TopicSpec, found: TopicInfo) -> Conflict:
    # Letters stand in partition (source partition mod partitions of dlq): fewer only share, none is misplaced.
    if spec.name == Topic.DLQ:
        return Conflict(
            topic=spec.name,
            field="partitions",
            desired=spec.partitions,
            actual=found.partitions,
            advice="letters of source partition p stand in partition p mod the count of dlq, so several share one;"
            " that is slower and otherwise harmless",
            blocking=False,
        )
    return Conflict(
        topic=spec.name,
        field="partitions",
        desired=spec.partitions,
        actual=found.partitions,
        advice="with another count a tenant's events go to another partition and its order is lost: set the configured"
        " count to the server's, or move the events to a new stream",
    )


def _segment_bytes(max_bytes: int, partitions: int) -> int:
    if not max_bytes:
        return SMALL_TOPIC_SEGMENT_BYTES
    share = max_bytes // partitions // SEGMENTS_PER_PARTITION
    # Rounded down to a power of two: the server wants a multiple of its block size.
    rounded = 1 << max(share, 1).bit_length() - 1
    return min(max(rounded, SMALLEST_SEGMENT_BYTES), LARGEST_SEGMENT_BYTES)


class TopologyManager:
    """Asks the server what it has, and makes it what the configuration wants."""

    def __init__(self, admin: TopologyAdmin, desired: DesiredTopology) -> None:
        self._admin = admin
        self.desired = desired

    async def describe(self) -> ActualTopology:
        """Return what the server has. Raises what TopologyAdmin raises."""
        stream = self.desired.stream
        topics = {}
        for spec in self.desired.topics:
            topic = await self._admin.describe_topic(stream=stream, topic=spec.name)
            if topic is not None:
                topics[spec.name] = topic
        # Asked only when something is missing: who may read a stream may read every event in it.
        complete = len(topics) == len(self.desired.topics)
        exists = complete or await self._admin.describe_stream(stream) is not None
        return ActualTopology(stream_exists=exists, topics=topics)

    async def plan(self) -> TopologyPlan:
        """Return what apply() would do, changing nothing."""
        return plan_topology(self.desired, await self.describe())

    async def drift(self) -> Drift:
        """Return every difference in words, changing nothing."""
        plan = await self.plan()
        return Drift(
            removable=tuple(map(_in_words, plan.steps)),
            refused=tuple(map(str, plan.blocking)),
            fixed=tuple(str(conflict) for conflict in plan.conflicts if not conflict.blocking),
        )

    async def apply(self) -> ActualTopology:
        """Take every step that is missing; return what the server has then.

        Idempotent, and safe when several processes do it at once. Raises TopologyConflictError, before anything is
        changed, when a difference cannot be removed; TopologyError when the server does not keep what it was told.
        """
        for _ in range(MAX_ROUNDS):
            actual = await self.describe()
            plan = plan_topology(self.desired, actual)
            _refuse(plan.blocking)
            if not plan.steps:
                await self._check_replication()
                return actual
            for step in plan.steps:
                await self._take(step)
        raise TopologyError(f"the server does not keep: {'; '.join((await self.drift()).removable)}")

    async def _check_replication(self) -> None:
        wanted = self.desired.replication_factor
        if wanted == 1:
            return
        nodes = await self._admin.cluster_size()
        if wanted != nodes:
            raise TopologyConflictError(
                f"topology.replication_factor is {wanted}, the server reports {nodes} nodes and keeps every topic on"
                " all of them: set it to that number, or to 1 to leave it to the server",
                desired={"replication_factor": wanted},
                actual={"replication_factor": nodes},
            )

    async def _take(self, step: Step) -> None:
        stream = self.desired.stream
        try:
            match step:
                case CreateStream():
                    await self._admin.create_stream(stream)
                case CreateTopic(spec=spec):
                    await self._admin.create_topic(stream=stream, spec=spec)
                case UpdateRetention(spec=spec):
                    await self._admin.update_topic(stream=stream, spec=spec)
        except PermissionDeniedError as error:
            raise PermissionDeniedError(
                f"{_in_words(step)}, and this user may not change that: {error}; let a user with {_RIGHTS[type(step)]}"
                " apply the topology once, then this one needs none of it",
                status=error.status,
                name=error.name,
                command=error.command,
            ) from error
        except AlreadyExistsError:
            return  # another process was faster; the next round compares what it made
        log.info("topology_changed", stream=stream, because=_in_words(step))


def _refuse(conflicts: Iterable[Conflict]) -> None:
    found = tuple(conflicts)
    if found:
        raise TopologyConflictError(
            "; ".join(map(str, found)),
            desired={f"{each.topic}.{each.field}": each.desired for each in found},
            actual={f"{each.topic}.{each.field}": each.actual for each in found},
        )


def _in_words(step: Step) -> str:
    match step:
        case CreateStream(stream=stream):
            return f"stream {stream} is missing"
        case CreateTopic(spec=spec):
            return f"topic {spec.name} is missing"
        case UpdateRetention(spec=spec):
            age = f"events for {spec.max_age / SECONDS_PER_DAY:g} days" if spec.max_age else "events for ever"
            size = f"{spec.max_bytes / BYTES_PER_GB:g} GiB" if spec.max_bytes else "any size"
            return f"topic {spec.name} should keep {age} and {size}"
