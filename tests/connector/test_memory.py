"""The server that is an object: shared, cut, and with a clock that tests move."""

import asyncio
import uuid

import pytest

from rustok_iggy_connector import (
    ConnectionLostError,
    InMemoryConnector,
    MemoryServer,
    MessageSubscriber,
    NotAssignedError,
    PublishRequest,
    TopicSpec,
)
from tests.local_server.clients import Clock

pytestmark = pytest.mark.anyio
HAND_OVER_TIMEOUT = 30.0
SILENCE_TIMEOUT = 36.0


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> MemoryServer:
    return MemoryServer(now=clock.now, monotonic=clock.monotonic)


def message(partition: int = 0) -> PublishRequest:
    return PublishRequest(stream="s", topic="t", partition_id=partition, payload=b"x", event_id=uuid.uuid4())


async def prepare(connector: InMemoryConnector, *, partitions: int = 2) -> None:
    await connector.admin.create_stream("s")
    await connector.admin.create_topic(stream="s", spec=TopicSpec(name="t", partitions=partitions))
    await connector.admin.create_group(stream="s", topic="t", group="g")


async def join(connector: InMemoryConnector) -> MessageSubscriber:
    return await connector.subscribe(stream="s", topic="t", group="g")


async def test_each_connector_has_a_server_of_its_own_unless_given_one(server: MemoryServer) -> None:
    async with InMemoryConnector() as alone, InMemoryConnector(server) as one, InMemoryConnector(server) as two:
        await one.admin.create_stream("s")
        assert await two.admin.describe_stream("s") is not None
        assert await alone.admin.describe_stream("s") is None


async def test_time_is_the_clocks(server: MemoryServer, clock: Clock) -> None:
    async with InMemoryConnector(server) as connector:
        await prepare(connector)
        await connector.publish(message())
        reader = await connector.subscribe(stream="s", topic="t")
        (stored,) = await reader.poll(0, offset=0, max_messages=1)
        assert stored.timestamp == clock.now()


async def test_a_partition_that_nobody_finishes_moves_after_thirty_seconds(server: MemoryServer, clock: Clock) -> None:
    async with InMemoryConnector(server) as one, InMemoryConnector(server) as two:
        await prepare(one)
        for partition in (0, 1):
            await one.publish(message(partition))
        owner = await join(one)
        for partition in (0, 1):
            assert len(await owner.poll(partition, offset=0, max_messages=10)) == 1
        newcomer = await join(two)
        clock.seconds += HAND_OVER_TIMEOUT - 1
        assert (await newcomer.assignment()).partitions == ()
        clock.seconds += 2
        await newcomer.assignment()
        given = (await newcomer.assignment()).partitions
        assert len(given) == 1
        with pytest.raises(NotAssignedError):
            await owner.commit(given[0], offset=0)


async def test_a_member_that_says_nothing_for_long_stays_a_member(server: MemoryServer, clock: Clock) -> None:
    """Over a network the client says that it is alive by itself."""
    async with InMemoryConnector(server) as connector:
        await prepare(connector)
        member = await join(connector)
        before = await member.assignment()
        clock.seconds += 10 * SILENCE_TIMEOUT
        assert await member.assignment() == before


async def test_hanging_up_cuts_everybody_and_keeps_what_was_stored(server: MemoryServer) -> None:
    async with InMemoryConnector(server) as connector:
        await prepare(connector)
        await connector.publish(message())
        member = await join(connector)
        server.hang_up()
        assert connector.statistics().clients == 0
        with pytest.raises((ConnectionLostError, NotAssignedError)):
            await member.poll(0, offset=0, max_messages=1)
        assert (await member.assignment()).is_member
        assert len(await member.poll(0, offset=0, max_messages=1)) == 1
        assert (await connector.publish(message())).offset == 1


async def test_others_get_their_turn_beside_a_loop_that_polls(server: MemoryServer) -> None:
    async with InMemoryConnector(server) as connector:
        await prepare(connector)
        reader = await connector.subscribe(stream="s", topic="t")
        turns = 0

        async def other() -> None:
            nonlocal turns
            while True:
                turns += 1
                await asyncio.sleep(0)

        task = asyncio.ensure_future(other())
        for _ in range(50):
            await reader.poll(0, offset=0, max_messages=1)
        task.cancel()
        assert turns >= 50
