"""A group's offsets, stored from outside while nobody reads in it."""

import pytest

from rustok_iggy_connector import CommittedOffset, IggyConnector, InvalidRequestError, NotAssignedError, NotFoundError
from tests.conformance.conftest import TOPIC, batch_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def place(connector: IggyConnector, stream: str, group: str) -> dict[str, str]:
    """A group on a topic whose partitions 1 and 2 hold the offsets 0 to 4."""
    for partition in (1, 2):
        await connector.publish_batch(batch_of(stream, [b"x"] * 5, partition=partition))
    return {"stream": stream, "topic": TOPIC, "group": group}


async def test_they_are_stored_moved_back_and_deleted(connector: IggyConnector, place: dict[str, str]) -> None:
    await connector.admin.store_group_offsets(**place, offsets={1: 4, 2: 3})
    assert await connector.admin.committed_offsets(**place) == {
        1: CommittedOffset(committed=4, current=4),
        2: (CommittedOffset(committed=3, current=4)),
    }
    await connector.admin.store_group_offsets(**place, offsets={1: 0, 2: None, 3: None})
    assert await connector.admin.committed_offsets(**place) == {1: CommittedOffset(committed=0, current=4)}


async def test_what_is_to_be_said_before_is_said_while_the_partitions_are_ours(
    connector: IggyConnector, second: IggyConnector, place: dict[str, str]
) -> None:
    generations: list[int] = []

    async def refuse(generation: int) -> None:
        found = await second.admin.describe_group(**place)
        assert found is not None
        assert [len(owned) for owned in found.members.values()] == [4]
        generations.append(generation)
        raise LookupError

    with pytest.raises(LookupError):
        await connector.admin.store_group_offsets(**place, offsets={1: 4}, before=refuse)
    assert await connector.admin.committed_offsets(**place) == {}
    member = await second.subscribe(**place)
    assert (await member.assignment()).generation > generations[0]
    await member.leave()


async def test_nobody_is_left_in_the_group(
    connector: IggyConnector, second: IggyConnector, place: dict[str, str]
) -> None:
    await connector.admin.store_group_offsets(**place, offsets={1: 4})
    described = await second.admin.describe_group(**place)
    assert described is not None
    assert not described.members
    member = await second.subscribe(**place)
    assert len((await member.assignment()).partitions) == 4
    assert await member.committed(1) == CommittedOffset(committed=4, current=4)
    await member.leave()


async def test_a_group_with_a_member_is_left_alone(
    connector: IggyConnector, second: IggyConnector, place: dict[str, str]
) -> None:
    member = await second.subscribe(**place)
    before = await member.assignment()
    with pytest.raises(NotAssignedError, match="has 1 members: stop them"):
        await connector.admin.store_group_offsets(**place, offsets={1: 4})
    assert await member.assignment() == before
    assert await member.committed(1) is None
    await member.leave()


async def test_after_a_refusal_too_nobody_is_left_in_the_group(connector: IggyConnector, place: dict[str, str]) -> None:
    with pytest.raises(InvalidRequestError):
        await connector.admin.store_group_offsets(**place, offsets={1: 99})
    with pytest.raises(NotAssignedError, match=r"partitions \[77\]"):
        await connector.admin.store_group_offsets(**place, offsets={77: 0})
    await connector.admin.store_group_offsets(**place, offsets={1: 2})
    assert await connector.admin.committed_offsets(**place) == {1: CommittedOffset(committed=2, current=4)}


async def test_what_does_not_exist_is_said(connector: IggyConnector, place: dict[str, str]) -> None:
    with pytest.raises(NotFoundError):
        await connector.admin.store_group_offsets(**{**place, "group": "nobody"}, offsets={1: 0})


async def test_groups_are_listed_by_name(connector: IggyConnector, place: dict[str, str]) -> None:
    await connector.admin.create_group(stream=place["stream"], topic=TOPIC, group="another")
    assert await connector.admin.list_groups(stream=place["stream"], topic=TOPIC) == ("another", "readers")
    assert await connector.admin.list_groups(stream=place["stream"], topic="nothing") == ()
    assert await connector.admin.list_groups(stream="nothing", topic=TOPIC) == ()


async def test_a_single_server_is_a_cluster_of_one(connector: IggyConnector) -> None:
    assert await connector.admin.cluster_size() == 1
