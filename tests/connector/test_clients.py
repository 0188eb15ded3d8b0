"""What every client of the seam does: deadlines, cancellation, cut connections, garbage, good-byes. One suite."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest

from rustok_iggy_connector import (
    AuthenticationError,
    ConnectionLostError,
    ConnectorClosedError,
    RemoteConnector,
    RequestTimeoutError,
)
from rustok_iggy_connector._sdk import Login, open_client
from rustok_iggy_connector.client import Client
from rustok_iggy_connector.errors import ConnectorError
from rustok_iggy_connector.member_identity import MemberIdentity
from rustok_iggy_connector.wire.commands.streams import GetStream, StreamDetails
from rustok_iggy_connector.wire.commands.tokens import CreateToken, CreateTokenReply, DeleteToken
from rustok_iggy_connector.wire_login import open_wire_client
from tests.connector.conftest import LocalServer, stats
from tests.faults import FaultProxy
from tests.waiting import until

pytestmark = pytest.mark.anyio

OpenTo = Callable[..., Awaitable[Client]]


async def open_member(**to: object) -> Client:
    return await open_wire_client(who=MemberIdentity(), **to)


@pytest.fixture(params=[open_client, open_member], ids=["sdk", "wire"])
def open_to(request: pytest.FixtureRequest, local_server: LocalServer) -> OpenTo:
    """Opens a client to an address."""
    login = Login(username=local_server.username, password=local_server.password)
    return partial(request.param, login=login, tls=None, open_timeout=5.0, timeout=5.0)


@pytest.fixture
async def client(local_server: LocalServer, open_to: OpenTo) -> AsyncIterator[Client]:
    opened = await open_to(address=local_server.address)
    yield opened
    await opened.close()


async def test_a_missed_deadline_ends_the_session_and_its_connection(open_to: OpenTo, proxy: FaultProxy) -> None:
    client = await open_to(address=proxy.address, timeout=0.2)
    proxy.stall()
    with pytest.raises(RequestTimeoutError, match=r"get_stats of the server within 0\.2 s") as caught:
        await stats(client)
    assert (caught.value.command, caught.value.timeout) == ("get_stats", 0.2)
    assert not client.usable
    proxy.resume()
    with pytest.raises(ConnectionLostError, match="not sent"):
        await stats(client)
    await until(lambda: proxy.clients == 0)
    await client.close()


async def test_a_cancelled_request_leaves_the_session_in_step(open_to: OpenTo, proxy: FaultProxy) -> None:
    """The answer nobody waits for is not taken for the answer to the next request."""
    client = await open_to(address=proxy.address)
    for _ in range(5):
        proxy.stall()
        doomed = asyncio.ensure_future(client.ask(GetStream(stream="no such"), StreamDetails, subject="s"))
        await asyncio.sleep(0.005)
        doomed.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doomed
        proxy.resume()
        assert (await stats(client)).iggy_server_version
    assert client.usable
    await client.close()


async def test_a_cut_connection_is_lost_and_said_so(open_to: OpenTo, proxy: FaultProxy) -> None:
    client = await open_to(address=proxy.address)
    proxy.stall()
    asked = asyncio.ensure_future(stats(client))
    await asyncio.sleep(0)
    proxy.cut()
    with pytest.raises(ConnectionLostError):
        await asked
    assert not client.usable
    await client.close()


async def test_garbage_ends_the_session(open_to: OpenTo, proxy: FaultProxy) -> None:
    client = await open_to(address=proxy.address, timeout=0.5)  # the wheel says nothing of it
    proxy.corrupt_next(lambda data: b"\xff" * len(data))
    with pytest.raises(ConnectorError):
        await stats(client)
    assert not client.usable
    await client.close()


async def test_closing_is_idempotent_and_final(client: Client) -> None:
    await client.close()
    await client.close()
    assert not client.usable
    with pytest.raises(ConnectorClosedError):
        await stats(client)


async def test_a_token_is_a_login(local_server: LocalServer, client: Client) -> None:
    created = await client.ask(CreateToken(name="made", expiry=0), CreateTokenReply, subject="a token")
    assert created is not None
    config = local_server.config(username="ignored", password=None, token=created.token)
    async with RemoteConnector(config) as connector:
        assert connector.statistics().connected
    await client.request(DeleteToken(name="made"), subject="a token")


async def test_a_wrong_password_is_refused(local_server: LocalServer, open_to: OpenTo) -> None:
    login = Login(username=local_server.username, password="other-secret")
    with pytest.raises(AuthenticationError) as caught:
        await open_to(address=local_server.address, login=login)
    assert "other-secret" not in repr(caught.value)
