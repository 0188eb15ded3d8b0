"""Consumer groups: who owns what, and whose commits count."""

from collections.abc import Sequence

import pytest

from rustok_iggy_connector import (
    CommittedOffset,
    ConnectorClosedError,
    IggyConnector,
    InvalidRequestError,
    MessageSubscriber,
    NotAssignedError,
    NotFoundError,
)
from tests.conformance.conftest import PARTITIONS, TOPIC, batch_of, request_of
from tests.waiting import until

pytestmark = pytest.mark.anyio
ALL = tuple(range(PARTITIONS))


async def join(connector: IggyConnector, stream: str, group: str) -> MessageSubscriber:
    return await connector.subscribe(stream=stream, topic=TOPIC, group=group)


async def settled(members: Sequence[MessageSubscriber]) -> list[tuple[int, ...]]:
    """What each owns once every partition has one owner and they agree on the generation."""
    owned: list[tuple[int, ...]] = []

    async def agreed() -> bool:
        assignments = [await member.assignment() for member in members]
        owned[:] = [assignment.partitions for assignment in assignments]
        same = len({assignment.generation for assignment in assignments}) == 1
        return same and sorted(partition for part in owned for partition in part) == list(ALL)

    await until(agreed)
    return owned


async def test_a_member_alone_owns_everything(connector: IggyConnector, stream: str, group: str) -> None:
    member = await join(connector, stream, group)
    assignment = await member.assignment()
    assert assignment.is_member
    assert assignment.partitions == ALL
    described = await connector.admin.describe_group(stream=stream, topic=TOPIC, group=group)
    assert described is not None
    assert list(described.members.values()) == [ALL]
    await member.leave()


async def test_two_members_share_and_the_one_that_stays_gets_all_back(
    connector: IggyConnector, second: IggyConnector, stream: str, group: str
) -> None:
    first = await join(connector, stream, group)
    generation = (await first.assignment()).generation
    other = await join(second, stream, group)
    assert sorted(map(len, await settled([first, other]))) == [2, 2]
    shared = await first.assignment()
    assert shared.generation > generation
    await other.leave()
    assert await settled([first]) == [ALL]
    assert (await first.assignment()).generation > shared.generation
    await first.leave()


async def test_three_members_share_four_partitions(
    connector: IggyConnector, second: IggyConnector, stream: str, group: str
) -> None:
    members = [await join(opened, stream, group) for opened in (connector, second, connector)]
    assert sorted(map(len, await settled(members))) == [1, 1, 2]
    await members.pop(0).leave()
    assert sorted(map(len, await settled(members))) == [2, 2]
    for member in members:
        await member.leave()


async def test_more_members_than_partitions_leave_some_without(
    connector: IggyConnector, stream: str, group: str
) -> None:
    members = [await join(connector, stream, group) for _ in range(PARTITIONS + 1)]
    assert sorted(map(len, await settled(members))) == [0, 1, 1, 1, 1]
    (idle,) = [member for member in members if not (await member.assignment()).partitions]
    assert (await idle.assignment()).is_member
    assert await idle.lag() == {}
    for member in members:
        await member.leave()


async def test_what_was_polled_is_finished_by_its_owner_before_it_moves(
    connector: IggyConnector, second: IggyConnector, stream: str, group: str
) -> None:
    for partition in ALL:
        await connector.publish_batch(batch_of(stream, [b"0", b"1"], partition=partition))
    first = await join(connector, stream, group)
    for partition in ALL:
        assert len(await first.poll(partition, offset=0, max_messages=10)) == 2
    other = await join(second, stream, group)
    assert (await other.assignment()).partitions == ()
    for partition in ALL:
        await first.commit(partition, offset=1)
    assert sorted(map(len, await settled([first, other]))) == [2, 2]
    for member in (first, other):
        for partition in (await member.assignment()).partitions:
            assert await member.committed(partition) == CommittedOffset(committed=1, current=1)
    await first.leave()
    await other.leave()


async def test_only_the_owner_may_commit(
    connector: IggyConnector, second: IggyConnector, stream: str, group: str
) -> None:
    for partition in ALL:
        await connector.publish(request_of(stream, partition=partition))
    first = await join(connector, stream, group)
    other = await join(second, stream, group)
    mine, theirs = await settled([first, other])
    for partition in theirs:
        with pytest.raises(NotAssignedError):
            await first.commit(partition, offset=0)
        assert list(await first.poll(partition, offset=0, max_messages=1)) == []
        assert await first.committed(partition) is None
    for partition in mine:
        await first.commit(partition, offset=0)
        await first.commit(partition, offset=0)
        assert await other.committed(partition) == CommittedOffset(committed=0, current=0)
    await first.leave()
    await other.leave()


async def test_a_commit_follows_the_rules_of_offsets(connector: IggyConnector, stream: str, group: str) -> None:
    await connector.publish_batch(batch_of(stream, [b"0", b"1", b"2"]))
    member = await join(connector, stream, group)
    assert await member.committed(0) is None
    assert await member.lag() == {0: 3, 1: 0, 2: 0, 3: 0}
    await member.commit(0, offset=2)
    assert await member.lag() == {0: 0, 1: 0, 2: 0, 3: 0}
    for partition, offset in ((0, 3), (1, 0), (0, -1)):
        with pytest.raises(InvalidRequestError):
            await member.commit(partition, offset=offset)
    with pytest.raises(NotFoundError):
        await member.commit(PARTITIONS, offset=0)
    assert await member.committed(0) == CommittedOffset(committed=2, current=2)
    await member.leave()


async def test_offsets_stay_when_all_members_have_left(connector: IggyConnector, stream: str, group: str) -> None:
    await connector.publish_batch(batch_of(stream, [b"0", b"1"], partition=3))
    member = await join(connector, stream, group)
    await member.commit(3, offset=0)
    await member.leave()
    admin = connector.admin
    stored = await admin.committed_offsets(stream=stream, topic=TOPIC, group=group)
    assert stored == {3: CommittedOffset(committed=0, current=1)}
    member = await join(connector, stream, group)
    assert await member.committed(3) == CommittedOffset(committed=0, current=1)
    await member.leave()


async def test_groups_do_not_know_of_each_other(connector: IggyConnector, stream: str, group: str) -> None:
    await connector.publish(request_of(stream))
    await connector.admin.create_group(stream=stream, topic=TOPIC, group="others")
    first, other = await join(connector, stream, group), await join(connector, stream, "others")
    assert (await first.assignment()).partitions == (await other.assignment()).partitions == ALL
    await first.commit(0, offset=0)
    assert await other.committed(0) is None
    await first.leave()
    await other.leave()


async def test_looking_around_is_not_reading(
    connector: IggyConnector, second: IggyConnector, stream: str, group: str
) -> None:
    """first_offset_since(), peek() and lag() are no progress of the group: partitions move to a new member at once."""
    for partition in ALL:
        await connector.publish(request_of(stream, partition=partition))
    first = await join(connector, stream, group)
    for partition in ALL:
        assert await first.first_offset_since(partition, timestamp=0) == 0
        assert len(await first.peek(partition, offset=0, max_messages=10)) == 1
    await first.lag()
    other = await join(second, stream, group)
    assert sorted(map(len, await settled([first, other]))) == [2, 2]
    await first.leave()
    await other.leave()


async def test_a_group_that_is_created_again_has_a_higher_id(connector: IggyConnector, stream: str, group: str) -> None:
    admin = connector.admin
    before = await admin.describe_group(stream=stream, topic=TOPIC, group=group)
    await admin.create_group(stream=stream, topic=TOPIC, group="younger")
    await admin.delete_group(stream=stream, topic=TOPIC, group=group)
    await admin.create_group(stream=stream, topic=TOPIC, group=group)
    after = await admin.describe_group(stream=stream, topic=TOPIC, group=group)
    assert before is not None
    assert after is not None
    assert after.id > before.id
    assert await admin.committed_offsets(stream=stream, topic=TOPIC, group=group) == {}


async def test_a_member_of_a_deleted_group_is_told(connector: IggyConnector, stream: str, group: str) -> None:
    await connector.publish(request_of(stream))
    member = await join(connector, stream, group)
    await connector.admin.delete_group(stream=stream, topic=TOPIC, group=group)
    with pytest.raises((NotFoundError, NotAssignedError)):
        await member.commit(0, offset=0)
    with pytest.raises(NotFoundError):
        await member.assignment()
    await member.leave()


async def test_a_missing_group_cannot_be_joined(connector: IggyConnector, stream: str) -> None:
    with pytest.raises(NotFoundError):
        await join(connector, stream, "nobody")
    with pytest.raises(InvalidRequestError):
        await join(connector, stream, "42")


async def test_a_member_that_left_is_closed(connector: IggyConnector, stream: str, group: str) -> None:
    member = await join(connector, stream, group)
    await member.leave()
    await member.leave()
    for call in (member.assignment(), member.poll(0, offset=0, max_messages=1), member.lag()):
        with pytest.raises(ConnectorClosedError):
            await call
    described = await connector.admin.describe_group(stream=stream, topic=TOPIC, group=group)
    assert described is not None
    assert described.members == {}
