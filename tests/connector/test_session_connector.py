"""How publishes are spread over sessions, and what is refused before anything is sent."""

import uuid
from collections.abc import AsyncIterator

import pytest

from rustok_iggy_connector import (
    ConnectorClosedError,
    InvalidRequestError,
    LimitExceededError,
    OutgoingMessage,
    PublishBatch,
    PublishRequest,
    ServerInfo,
    ServerUnreachableError,
)
from rustok_iggy_connector.client import Client
from rustok_iggy_connector.session_connector import CUT_OFF_FOR, MAX_BATCH_BYTES, SessionConnector, headers_bytes
from rustok_iggy_connector.sessions import Session
from rustok_iggy_connector.wire.fields import Field, encode_fields
from tests.connector.fakes import FakeClient, Opener

pytestmark = pytest.mark.anyio


class FakeConnector(SessionConnector):
    def __init__(self, opener: Opener) -> None:
        self.now = 100.0
        super().__init__(publish_clients=3, request_timeout=1, member_timeout=2, clock=lambda: self.now)
        self._opener = opener

    async def _open_client(self, timeout: float) -> Client:
        return await self._opener(timeout)

    async def _reach(self, session: Session) -> ServerInfo:
        return ServerInfo(engine="fake", version="0", address="nowhere")


@pytest.fixture
def opener() -> Opener:
    return Opener()


@pytest.fixture
async def connector(opener: Opener) -> AsyncIterator[FakeConnector]:
    async with FakeConnector(opener) as opened:
        yield opened


def request_for(partition: int, topic: str = "t") -> PublishRequest:
    return PublishRequest(stream="s", topic=topic, partition_id=partition, payload=b"x", event_id=uuid.uuid4())


def routes(clients: list[FakeClient]) -> list[set[tuple[str, int]]]:
    return [{(batch.topic, batch.partition_id) for batch in client.sent} for client in clients]


async def test_a_partition_stays_with_its_session_and_neighbours_are_apart(
    connector: FakeConnector, opener: Opener
) -> None:
    for _ in range(3):
        for topic in ("a", "b"):
            for partition in range(9):
                await connector.publish(request_for(partition, topic))
    found = routes(opener.clients)
    assert [len(route) for route in found] == [6, 6, 6]
    assert len(set.union(*found)) == 18
    for topic in ("a", "b"):
        for partition in range(8):
            assert not any({(topic, partition), (topic, partition + 1)} <= route for route in found)


async def test_publishers_are_opened_when_they_are_needed(connector: FakeConnector, opener: Opener) -> None:
    assert opener.attempts == 0
    await connector.publish(request_for(0))
    assert opener.attempts == 1


def batch_of(*sizes: int, headers: dict[str, bytes] | None = None) -> PublishBatch:
    messages = [OutgoingMessage(id=uuid.uuid4(), payload=bytes(size), headers=headers) for size in sizes]
    return PublishBatch(stream="s", topic="t", partition_id=0, messages=messages)


async def test_a_batch_is_held_to_what_fits_one_frame(connector: FakeConnector) -> None:
    most = MAX_BATCH_BYTES - 256 - 2 * 48
    await connector.publish_batch(batch_of(most // 2, most // 2))
    with pytest.raises(LimitExceededError, match="split"):
        await connector.publish_batch(batch_of(most // 2, most // 2 + 1))
    with pytest.raises(LimitExceededError):
        await connector.publish_batch(batch_of(most // 2, most // 2, headers={"k": b"v"}))


def test_headers_are_counted_as_they_are_on_the_wire() -> None:
    headers = {"key": b"value", "k" * 255: b"v" * 255}
    fields = [Field(name.encode(), value) for name, value in headers.items()]
    assert headers_bytes(headers) == len(encode_fields(fields))


async def test_nothing_is_sent_of_what_is_refused(connector: FakeConnector, opener: Opener) -> None:
    for batch in (batch_of(), PublishBatch(stream="1", topic="t", partition_id=0, messages=batch_of(1).messages)):
        with pytest.raises(InvalidRequestError):
            await connector.publish_batch(batch)
    assert opener.attempts == 0


async def test_a_shut_down_connector_remembers_no_route(connector: FakeConnector) -> None:
    await connector.publish(request_for(0))
    await connector.shutdown()
    for partition in (0, 1):
        with pytest.raises(ConnectorClosedError):
            await connector.publish(request_for(partition))


async def nobody_there() -> None:
    raise ServerUnreachableError("nobody there")


async def test_a_server_that_is_reached_in_vain_is_not_connected_until_any_session_is_answered(
    connector: FakeConnector, opener: Opener
) -> None:
    await connector.publish(request_for(0))
    opener.before = nobody_there
    with pytest.raises(ServerUnreachableError):
        await connector.publish(request_for(1))
    assert not connector.statistics().connected
    await connector.publish(request_for(0))  # over a session that is still there
    assert connector.statistics().connected


async def test_who_does_not_try_again_is_not_cut_off_for_ever(connector: FakeConnector, opener: Opener) -> None:
    opener.before = nobody_there
    with pytest.raises(ServerUnreachableError):
        await connector.publish(request_for(1))
    connector.now += CUT_OFF_FOR - 1
    assert not connector.statistics().connected
    connector.now += 1
    assert connector.statistics().connected
