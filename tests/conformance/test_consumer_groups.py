"""ConsumerGroupManager: looking at groups, moving their offsets, forgetting them."""

from datetime import UTC, datetime

import pytest

from rustok_iggy.consumer_groups import (
    ConsumerGroup,
    ConsumerGroupManager,
    PartitionProgress,
    pins,
    stopped_committing,
)
from rustok_iggy.errors import ConsumerError, NotAssignedError, NotFoundError
from rustok_iggy_connector import CommittedOffset, IggyConnector
from tests.conformance.conftest import TOPIC, batch_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def manager(connector: IggyConnector, stream: str, group: str) -> ConsumerGroupManager:
    """Of a stream whose partitions 1 and 2 hold the offsets 0 to 4; the group has committed 2 of partition 1."""
    for partition in (1, 2):
        await connector.publish_batch(batch_of(stream, [b"x"] * 5, partition=partition))
    await connector.admin.store_group_offsets(stream=stream, topic=TOPIC, group=group, offsets={1: 2})
    return ConsumerGroupManager(connector, stream=stream)


def committed(group: ConsumerGroup) -> list[int | None]:
    return [part.committed for part in group.partitions]


async def test_a_group_is_shown_with_lag_offsets_and_owners(
    manager: ConsumerGroupManager, second: IggyConnector, stream: str, group: str
) -> None:
    member = await second.subscribe(stream=stream, topic=TOPIC, group=group)
    await member.assignment()
    (found,) = await manager.list(topic=TOPIC)
    await member.leave()
    assert (found.group, found.lag, committed(found)) == ("readers", 7, [None, 2, None, None])
    assert [part.lag for part in found.partitions] == [0, 2, 5, 0]
    assert {part.member for part in found.partitions} == set(found.members)
    assert len(found.members) == 1


@pytest.mark.parametrize(
    ("to", "after", "again", "skipped"),
    [
        ("earliest", [None, None, None, None], 3, 0),
        ("latest", [None, 4, 4, None], 0, 7),
        (1, [None, 0, 0, None], 2, 1),
        (99, [None, 4, 4, None], 0, 7),
        (datetime(2020, 1, 1, tzinfo=UTC), [None, None, None, None], 3, 0),
        (datetime(2100, 1, 1, tzinfo=UTC), [None, 4, 4, None], 0, 7),
    ],
)
async def test_a_reset_does_what_its_plan_says(
    manager: ConsumerGroupManager, group: str, to: object, after: list[int | None], again: int, skipped: int
) -> None:
    before = await manager.describe(topic=TOPIC, group=group)
    plan = await manager.plan_reset(topic=TOPIC, group=group, to=to)  # type: ignore[arg-type]  # of a table
    assert (plan.again, plan.skipped) == (again, skipped)
    assert committed(await manager.describe(topic=TOPIC, group=group)) == committed(before)
    assert committed(await manager.reset(plan)) == after
    assert committed(await manager.reset(plan)) == after, "a reset that was cut goes on"
    assert (await manager.describe(topic=TOPIC, group=group)).id == before.id


async def test_a_group_in_use_is_neither_reset_nor_forgotten(
    manager: ConsumerGroupManager, second: IggyConnector, stream: str, group: str
) -> None:
    member = await second.subscribe(stream=stream, topic=TOPIC, group=group)
    before = await member.assignment()
    plan = await manager.plan_reset(topic=TOPIC, group=group, to="latest")
    assert plan.members == 1
    with pytest.raises(NotAssignedError, match="stop them"):
        await manager.reset(plan)
    with pytest.raises(ConsumerError, match="stop them"):
        await manager.forget(topic=TOPIC, group=group)
    assert await member.assignment() == before
    await member.leave()


async def test_a_plan_that_is_out_of_date_is_refused(
    manager: ConsumerGroupManager, connector: IggyConnector, stream: str, group: str
) -> None:
    plan = await manager.plan_reset(topic=TOPIC, group=group, to="latest")
    await connector.admin.store_group_offsets(stream=stream, topic=TOPIC, group=group, offsets={1: 3})
    with pytest.raises(ConsumerError, match=r"partitions \[1\] since the plan"):
        await manager.reset(plan)


async def test_a_forgotten_group_is_gone_with_its_offsets(
    manager: ConsumerGroupManager, connector: IggyConnector, stream: str, group: str
) -> None:
    assert committed(await manager.forget(topic=TOPIC, group=group)) == [None, 2, None, None]
    assert await manager.list(topic=TOPIC) == ()
    with pytest.raises(NotFoundError, match="has no group readers"):
        await manager.describe(topic=TOPIC, group=group)
    await connector.admin.create_group(stream=stream, topic=TOPIC, group=group)
    assert committed(await manager.describe(topic=TOPIC, group=group)) == [None] * 4


async def test_the_lowest_stored_offset_is_named(
    manager: ConsumerGroupManager, connector: IggyConnector, stream: str
) -> None:
    place = {"stream": stream, "topic": TOPIC, "consumer": "pin-a"}
    await connector.admin.store_reader_offset(**place, partition_id=1, offset=0)
    await connector.admin.store_reader_offset(**place, partition_id=2, offset=3)
    found = await manager.pins(topic=TOPIC, readers=["pin-a", "pin-b"])
    assert [(pin.partition_id, pin.holder, pin.committed, pin.behind) for pin in found] == [
        (1, "reader pin-a", 0, 4),
        (2, "reader pin-a", 3, 1),
    ]
    (without,) = await manager.pins(topic=TOPIC)
    assert (without.holder, without.behind) == ("group readers", 2)


@pytest.mark.parametrize("to", [-1, "yesterday", datetime(2026, 1, 1)])  # noqa: DTZ001  # a time without a zone
async def test_nonsense_is_refused(manager: ConsumerGroupManager, group: str, to: object) -> None:
    with pytest.raises(ConsumerError):
        await manager.plan_reset(topic=TOPIC, group=group, to=to)  # type: ignore[arg-type]  # what is tested


def looked_at(*progress: tuple[int | None, int | None]) -> ConsumerGroup:
    parts = [
        PartitionProgress(partition_id=number, committed=done, current=last, member=None)
        for number, (done, last) in enumerate(progress)
    ]
    return ConsumerGroup(topic=TOPIC, group="readers", id=0, members=(), partitions=tuple(parts))


async def test_a_group_that_stopped_committing_is_told_from_an_idle_and_a_working_one() -> None:
    before = looked_at((3, 9), (9, 9), (3, 9), (None, 9), (9, 9))
    after = looked_at((3, 12), (9, 9), (4, 12), (None, 9), (9, 12))
    assert stopped_committing(before, after) == (0, 3)


async def test_of_two_at_the_same_offset_the_first_by_name_is_named() -> None:
    groups = [looked_at((3, 9)), looked_at((None, 9))]
    (pin,) = pins(groups, {("a", 0): CommittedOffset(committed=3, current=9)})
    assert pin.holder == "group readers"
