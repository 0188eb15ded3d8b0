"""Connect, shut down, and everything between, before and after."""

import asyncio
import time

import pytest

from rustok_iggy_connector import ConnectorClosedError, IggyConnector, TopicSpec
from tests.conformance.backends import Backend
from tests.conformance.conftest import TOPIC, request_of
from tests.waiting import until

pytestmark = pytest.mark.anyio


async def test_nothing_works_before_connect(backend: Backend) -> None:
    connector = backend.connector()
    with pytest.raises(ConnectorClosedError):
        await connector.publish(request_of("any"))
    with pytest.raises(ConnectorClosedError):
        await connector.subscribe(stream="any", topic=TOPIC)
    with pytest.raises(ConnectorClosedError):
        _ = connector.server
    with pytest.raises(ConnectorClosedError):
        _ = connector.admin
    assert not connector.statistics().connected
    await connector.shutdown()


async def test_connect_twice_is_connect_once(backend: Backend) -> None:
    connector = backend.connector()
    await asyncio.gather(connector.connect(), connector.connect())
    await connector.connect()
    assert connector.statistics().connected
    assert connector.statistics().clients == 1
    await connector.shutdown()
    assert not connector.statistics().connected
    assert connector.statistics().clients == 0


async def test_the_server_says_who_it_is(backend: Backend, connector: IggyConnector) -> None:
    server = connector.server
    assert server.engine == {"remote": "iggy-server"}.get(backend.name, backend.name)
    assert server.version.startswith("0.9.0")
    assert server.address


async def test_shutdown_is_idempotent_and_everything_is_closed_after_it(backend: Backend, stream: str) -> None:
    connector = backend.connector()
    await connector.connect()
    await connector.admin.create_group(stream=stream, topic=TOPIC, group="g")
    admin = connector.admin
    member = await connector.subscribe(stream=stream, topic=TOPIC, group="g")
    await connector.publish(request_of(stream))
    await asyncio.gather(connector.shutdown(), connector.shutdown())
    await connector.shutdown()
    for call in (
        lambda: connector.publish(request_of(stream)),
        lambda: connector.subscribe(stream=stream, topic=TOPIC),
        lambda: admin.describe_stream(stream),
        member.assignment,
        lambda: member.poll(0, offset=0, max_messages=1),
        lambda: member.commit(0, offset=0),
    ):
        with pytest.raises(ConnectorClosedError):
            await call()
    await member.leave()


async def test_shutdown_takes_its_members_out_of_their_groups(
    backend: Backend, connector: IggyConnector, stream: str, group: str
) -> None:
    async with backend.connector() as leaving:
        await leaving.subscribe(stream=stream, topic=TOPIC, group=group)
    described = await connector.admin.describe_group(stream=stream, topic=TOPIC, group=group)
    assert described is not None
    assert described.members == {}


async def test_a_connector_may_be_connected_again(backend: Backend, stream: str) -> None:
    connector = backend.connector()
    for offset in range(2):
        async with connector:
            assert (await connector.publish(request_of(stream))).offset == offset
            assert connector.statistics().messages_published == 1


async def test_shutdown_while_others_publish_ends_them_soon(backend: Backend, stream: str) -> None:
    connector = backend.connector()
    await connector.connect()
    confirmed = 0

    async def publish() -> None:
        nonlocal confirmed
        while True:
            await connector.publish(request_of(stream))
            confirmed += 1

    tasks = [asyncio.ensure_future(publish()) for _ in range(16)]

    async def many() -> bool:
        return confirmed >= 32

    await until(many)
    started = time.monotonic()
    await connector.shutdown()
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 20)
    assert time.monotonic() - started < 20
    assert {type(result) for result in results} == {ConnectorClosedError}
    async with connector:
        topic = await connector.admin.describe_topic(stream=stream, topic=TOPIC)
        assert topic is not None
        # What was under way at that moment may have been stored without its confirmation.
        assert confirmed <= topic.messages <= confirmed + 16


async def test_two_connectors_see_the_same(connector: IggyConnector, second: IggyConnector, stream: str) -> None:
    await connector.publish(request_of(stream, b"seen"))
    await second.admin.create_topic(stream=stream, spec=TopicSpec(name="more", partitions=1))
    assert await connector.admin.describe_topic(stream=stream, topic="more") is not None
    reader = await second.subscribe(stream=stream, topic=TOPIC)
    assert [message.payload for message in await reader.poll(0, offset=0, max_messages=5)] == [b"seen"]
    await reader.leave()
