"""Topology: what the configuration wants, the plan, and applying it beside others."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustok_iggy import IggyConfig, TopologyConflictError, TopologyError
from rustok_iggy.topology import (
    ActualTopology,
    CreateStream,
    CreateTopic,
    TopologyManager,
    UpdateRetention,
    desired_topology,
    plan_topology,
    topic_of,
)
from rustok_iggy_connector import (
    AlreadyExistsError,
    Durability,
    InMemoryConnector,
    MemoryServer,
    StreamInfo,
    TopicInfo,
    TopicSpec,
)

DESIRED = desired_topology(IggyConfig())
NOTHING = ActualTopology(stream_exists=False, topics={})


def as_made(spec: TopicSpec, **changes: object) -> TopicInfo:
    info = TopicInfo(
        id=0,
        name=spec.name,
        created_at=0,
        partitions=spec.partitions,
        messages=0,
        size_bytes=0,
        durability=spec.durability,
        max_age=spec.max_age,
        max_bytes=spec.max_bytes,
        segment_bytes=spec.segment_bytes,
        current_offsets={},
    )
    return replace(info, **changes)  # type: ignore[arg-type]


MADE = ActualTopology(stream_exists=True, topics={spec.name: as_made(spec) for spec in DESIRED.topics})


def with_topic(**changes: object) -> ActualTopology:
    domain = DESIRED.topics[0]
    return replace(MADE, topics={**MADE.topics, domain.name: as_made(domain, **changes)})


def test_rustoks_topics() -> None:
    assert [(spec.name, spec.partitions) for spec in DESIRED.topics] == [("domain", 8), ("system", 1), ("dlq", 8)]
    assert [spec.max_age for spec in DESIRED.topics] == [30 * 86400, 7 * 86400, 365 * 86400]
    assert [spec.max_bytes for spec in DESIRED.topics] == [10 * 2**30, None, None]


def test_events_of_the_system_have_their_topic() -> None:
    assert (topic_of("system.started"), topic_of("order.placed")) == ("system", "domain")


def test_no_limit_is_no_limit() -> None:
    desired = desired_topology(IggyConfig(retention={"domain_max_age_days": 0, "domain_max_size_gb": 0}))
    assert (desired.topics[0].max_age, desired.topics[0].max_bytes) == (None, None)


@given(gigabytes=st.floats(0, 10_000), partitions=st.integers(1, 1000))
def test_segments_are_small_enough_for_their_topics_retention(gigabytes: float, partitions: int) -> None:
    spec = desired_topology(
        IggyConfig(retention={"domain_max_size_gb": gigabytes}, topology={"domain_partitions": partitions})
    ).topics[0]
    assert spec.segment_bytes is not None
    assert 2**20 <= spec.segment_bytes <= 2**30
    assert spec.segment_bytes.bit_count() == 1
    if spec.max_bytes is not None and spec.segment_bytes > 2**20:
        assert spec.segment_bytes * partitions * 8 <= spec.max_bytes


def test_an_empty_server_gets_all_in_order() -> None:
    plan = plan_topology(DESIRED, NOTHING)
    assert [type(step) for step in plan.steps] == [CreateStream, CreateTopic, CreateTopic, CreateTopic]
    assert not plan.conflicts


def test_what_is_there_needs_nothing() -> None:
    assert plan_topology(DESIRED, MADE).is_empty


@pytest.mark.parametrize("changes", [{"max_age": None}, {"max_age": 5.0}, {"max_bytes": 1}, {"max_bytes": None}])
def test_other_retention_is_updated(changes: dict[str, object]) -> None:
    plan = plan_topology(DESIRED, with_topic(**changes))
    assert plan.steps == (UpdateRetention(spec=DESIRED.topics[0]),)


def test_another_partition_count_is_a_conflict_and_no_step() -> None:
    plan = plan_topology(DESIRED, with_topic(partitions=4))
    assert not plan.steps
    assert "topic domain: partitions is 4, the configuration says 8" in str(plan.conflicts[0])


@pytest.mark.parametrize("durability", [Durability.REPLICATED, None])
def test_weaker_durability_than_named_is_a_conflict(durability: Durability | None) -> None:
    (conflict,) = plan_topology(DESIRED, with_topic(durability=durability)).conflicts
    assert conflict.field == "durability"


def test_naming_the_weaker_durability_accepts_it_and_the_stronger_one() -> None:
    desired = desired_topology(IggyConfig(topology={"durability": "replicated"}))
    for durability in (Durability.REPLICATED, Durability.PERSISTED, None):
        assert not plan_topology(desired, with_topic(durability=durability)).conflicts


def test_in_memory_durability_is_not_asked_for() -> None:
    desired = desired_topology(IggyConfig(mode="memory"))
    assert not plan_topology(desired, with_topic(durability=None)).conflicts


class Admin:
    """A server that keeps what it is told; another process may act at the same time."""

    def __init__(self) -> None:
        self.streams: set[str] = set()
        self.topics: dict[str, TopicInfo] = {}
        self.calls: list[str] = []
        self.faster = False
        self.forgetful = False

    async def describe_stream(self, stream: str) -> StreamInfo | None:
        return StreamInfo(id=0, name=stream, topics=tuple(self.topics)) if stream in self.streams else None

    async def describe_topic(self, *, stream: str, topic: str) -> TopicInfo | None:
        return self.topics.get(topic)

    async def create_stream(self, stream: str) -> None:
        self.calls.append("create_stream")
        self.streams.add(stream)
        if self.faster:
            raise AlreadyExistsError("there")

    async def create_topic(self, *, stream: str, spec: TopicSpec) -> None:
        self.calls.append(f"create {spec.name}")
        self.topics[spec.name] = as_made(spec)
        if self.faster:
            raise AlreadyExistsError("there")

    async def update_topic(self, *, stream: str, spec: TopicSpec) -> None:
        self.calls.append(f"update {spec.name}")
        if not self.forgetful:
            self.topics[spec.name] = as_made(spec)


def manager(admin: Admin) -> TopologyManager:
    return TopologyManager(admin, DESIRED)  # type: ignore[arg-type]


@pytest.mark.anyio
async def test_applying_twice_changes_nothing_the_second_time() -> None:
    admin = Admin()
    await manager(admin).apply()
    assert admin.calls == ["create_stream", "create domain", "create system", "create dlq"]
    assert (await manager(admin).apply()).topics.keys() == {"domain", "system", "dlq"}
    assert len(admin.calls) == 4
    assert (await manager(admin).drift()).exit_code == 0


@pytest.mark.anyio
async def test_a_faster_process_is_no_problem() -> None:
    admin = Admin()
    admin.faster = True
    assert len((await manager(admin).apply()).topics) == 3


@pytest.mark.anyio
async def test_a_conflict_is_raised_before_anything_changes() -> None:
    admin = Admin()
    await manager(admin).apply()
    admin.topics["domain"] = replace(admin.topics["domain"], partitions=4, max_age=1.0)
    admin.calls.clear()
    with pytest.raises(TopologyConflictError) as caught:
        await manager(admin).apply()
    assert (caught.value.desired, caught.value.actual) == ({"domain.partitions": 8}, {"domain.partitions": 4})
    assert admin.calls == []


@pytest.mark.anyio
async def test_a_server_that_does_not_keep_what_it_is_told_is_an_error() -> None:
    admin = Admin()
    await manager(admin).apply()
    admin.topics["domain"] = replace(admin.topics["domain"], max_age=1.0)
    admin.forgetful = True
    with pytest.raises(TopologyError, match="topic domain should keep"):
        await manager(admin).apply()


@pytest.mark.anyio
async def test_two_transports_apply_to_one_server() -> None:
    server = MemoryServer()
    desired = desired_topology(IggyConfig(mode="memory"))
    async with InMemoryConnector(server) as one, InMemoryConnector(server) as other:
        await TopologyManager(one.admin, desired).apply()
        topology = TopologyManager(other.admin, desired)
        assert (await topology.plan()).is_empty
        assert {name: info.partitions for name, info in (await topology.describe()).topics.items()} == {
            "domain": 8,
            "system": 1,
            "dlq": 8,
        }


def test_another_segment_size_is_told_and_lived_with() -> None:
    plan = plan_topology(DESIRED, with_topic(segment_bytes=2**30))
    assert [conflict.field for conflict in plan.conflicts] == ["segment_bytes"]
    assert not plan.blocking
    assert not plan_topology(DESIRED, with_topic(segment_bytes=None)).conflicts, "a server that does not say"


def test_a_dlq_of_another_size_than_its_sources_is_told_and_lived_with() -> None:
    dlq = DESIRED.topics[2]
    plan = plan_topology(DESIRED, replace(MADE, topics={**MADE.topics, dlq.name: as_made(dlq, partitions=4)}))
    assert "p mod the count of dlq" in str(plan.conflicts[0])
    assert not plan.blocking


class Kept(Admin):
    """As the configuration wants it, but for some of it."""

    def __init__(self, *, nodes: int = 1, **changes: object) -> None:
        super().__init__()
        self.streams.add(DESIRED.stream)
        self.topics.update(with_topic(**changes).topics)
        self.nodes = nodes

    async def cluster_size(self) -> int:
        return self.nodes


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("changes", "exit_code"),
    [({}, 0), ({"segment_bytes": 2**30}, 0), ({"max_age": 5.0}, 1), ({"partitions": 4, "max_age": 5.0}, 3)],
)
async def test_drift_says_what_a_command_line_exits_with(changes: dict[str, object], exit_code: int) -> None:
    drift = await manager(Kept(**changes)).drift()
    assert drift.exit_code == exit_code
    assert len(drift.differences) == len(changes)


@pytest.mark.anyio
async def test_the_replication_factor_is_the_clusters_size_as_the_server_reports_it() -> None:
    desired = replace(DESIRED, replication_factor=3)
    await TopologyManager(Kept(nodes=3), desired).apply()  # type: ignore[arg-type]  # a fake
    with pytest.raises(TopologyConflictError, match="the server reports 2 nodes"):
        await TopologyManager(Kept(nodes=2), desired).apply()  # type: ignore[arg-type]  # a fake
