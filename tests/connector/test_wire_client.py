"""Sessions of group members: deadlines, cancellation, coming back, good-byes."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from rustok_iggy_connector import (
    AuthenticationError,
    ConnectionLostError,
    ConnectorClosedError,
    IncompatibleServerError,
    RequestTimeoutError,
    ServerUnreachableError,
    wire_client,
)
from rustok_iggy_connector._sdk import Login
from rustok_iggy_connector.member_identity import MemberIdentity
from rustok_iggy_connector.wire.codes import Command
from rustok_iggy_connector.wire.commands.session import LoginReply
from rustok_iggy_connector.wire.commands.streams import CreateStream, DeleteStream, GetStream, StreamDetails
from rustok_iggy_connector.wire.commands.system import ClusterMetadata, ClusterNode, GetStats, NodeRole, Stats
from rustok_iggy_connector.wire.commands.tokens import CreateToken, CreateTokenReply, DeleteToken
from rustok_iggy_connector.wire.connection import (
    ClientConnection,
    RequestFrame,
    ServerConnection,
    Signal,
    encode_success,
)
from rustok_iggy_connector.wire_client import Conversation, WireClient
from rustok_iggy_connector.wire_login import leader_elsewhere, open_wire_client
from tests.connector.conftest import LocalServer
from tests.faults import FaultProxy, fault_proxy, http, listening, mute, newer_generation, slam, ssh
from tests.waiting import until

pytestmark = pytest.mark.anyio


async def open_to(
    server: LocalServer,
    address: str,
    *,
    timeout: float = 5.0,
    open_timeout: float = 5.0,
    who: MemberIdentity | None = None,
    login: Login | None = None,
) -> WireClient:
    return await open_wire_client(
        address=address,
        login=login or Login(username=server.username, password=server.password),
        tls=None,
        open_timeout=open_timeout,
        timeout=timeout,
        who=who or MemberIdentity(),
    )


@pytest.fixture
async def proxy(local_server: LocalServer) -> AsyncIterator[FaultProxy]:
    async with fault_proxy(local_server.address) as opened:
        yield opened


@pytest.fixture
async def client(local_server: LocalServer) -> AsyncIterator[WireClient]:
    opened = await open_to(local_server, local_server.address)
    yield opened
    await opened.close()


async def stats(client: WireClient) -> Stats:
    answer = await client.ask(GetStats(), Stats, subject="the server")
    assert answer is not None
    return answer


async def test_a_missed_deadline_ends_the_session_and_its_connection(
    local_server: LocalServer, proxy: FaultProxy
) -> None:
    client = await open_to(local_server, proxy.address, timeout=0.2)
    proxy.stall()
    with pytest.raises(RequestTimeoutError):
        await stats(client)
    assert not client.usable
    proxy.resume()
    with pytest.raises(ConnectionLostError):
        await stats(client)

    async def gone() -> bool:
        return proxy.clients == 0

    await until(gone)
    await client.close()


async def test_a_cancelled_request_leaves_the_session_in_step(local_server: LocalServer, proxy: FaultProxy) -> None:
    client = await open_to(local_server, proxy.address)
    proxy.stall()
    asked = asyncio.ensure_future(stats(client))
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    proxy.resume()
    assert await client.ask(GetStream(stream="nothing"), StreamDetails, subject="a stream") is None
    assert (await stats(client)).process_id
    await client.close()


async def test_a_cut_connection_is_lost_and_said_so(local_server: LocalServer, proxy: FaultProxy) -> None:
    client = await open_to(local_server, proxy.address)
    proxy.stall()
    asked = asyncio.ensure_future(stats(client))
    await asyncio.sleep(0)
    proxy.cut()
    with pytest.raises(ConnectionLostError):
        await asked
    assert not client.usable
    await client.close()


async def test_garbage_ends_the_session(local_server: LocalServer, proxy: FaultProxy) -> None:
    client = await open_to(local_server, proxy.address)
    proxy.corrupt_next(lambda data: b"\xff" * len(data))
    with pytest.raises(Exception, match="frame"):
        await stats(client)
    assert not client.usable
    await client.close()


async def test_closing_is_idempotent_and_final(client: WireClient) -> None:
    await client.close()
    await client.close()
    assert not client.usable
    with pytest.raises(ConnectorClosedError):
        await stats(client)


async def test_closing_ends_a_request_under_way(local_server: LocalServer, proxy: FaultProxy) -> None:
    client = await open_to(local_server, proxy.address)
    proxy.stall()
    asked = asyncio.ensure_future(stats(client))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(client.close())
    await asyncio.sleep(0)
    proxy.cut()
    await closing
    with pytest.raises(ConnectorClosedError):
        await asked


async def test_a_confirmed_good_bye_means_that_the_server_knows_it_no_longer(
    local_server: LocalServer, proxy: FaultProxy
) -> None:
    who = MemberIdentity()
    client = await open_to(local_server, proxy.address, who=who)
    assert who.is_known
    proxy.cut()
    await client.close()
    assert who.is_known
    await (await open_to(local_server, proxy.address, who=who)).close()
    assert not who.is_known


async def test_who_comes_back_goes_on_counting_its_requests(local_server: LocalServer) -> None:
    """iggy-server neither does nor answers another request under a number that it has seen."""
    who = MemberIdentity()
    first = await open_to(local_server, local_server.address, who=who)
    await first.request(CreateStream(name="counted"), subject="a stream")
    first.hang_up()
    second = await open_to(local_server, local_server.address, who=who)
    await second.request(DeleteStream(stream="counted"), subject="a stream")
    assert who.next_request == 3
    assert await second.ask(GetStream(stream="counted"), StreamDetails, subject="a stream") is None
    await second.close()


async def test_a_token_is_a_login(local_server: LocalServer, client: WireClient) -> None:
    created = await client.ask(CreateToken(name="wire", expiry=0), CreateTokenReply, subject="a token")
    assert created is not None
    other = await open_to(
        local_server, local_server.address, login=Login(username=local_server.username, token=created.token)
    )
    assert (await stats(other)).process_id
    await other.close()
    await client.request(DeleteToken(name="wire"), subject="a token")


async def test_a_wrong_password_is_refused(local_server: LocalServer) -> None:
    with pytest.raises(AuthenticationError) as caught:
        await open_to(
            local_server, local_server.address, login=Login(username=local_server.username, password="other-secret")
        )
    assert "other-secret" not in repr(caught.value)


@pytest.mark.parametrize("answer", [http, ssh, slam, mute], ids=lambda answer: answer.__name__)
async def test_a_server_of_another_kind_is_not_reached(local_server: LocalServer, answer: object) -> None:
    async with listening(answer) as address:  # type: ignore[arg-type]  # the parameters are of its type
        with pytest.raises(ServerUnreachableError):
            await open_to(local_server, address, open_timeout=0.5)


async def test_a_newer_server_is_named_as_one(local_server: LocalServer) -> None:
    async with listening(newer_generation) as address:
        with pytest.raises(IncompatibleServerError):
            await open_to(local_server, address)


async def test_nobody_listens(local_server: LocalServer) -> None:
    with pytest.raises(ServerUnreachableError):
        await open_to(local_server, "127.0.0.1:1")


async def test_a_forked_child_may_not_use_it(client: WireClient, monkeypatch: pytest.MonkeyPatch) -> None:
    own = os.getpid()
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: own + 1)
        with pytest.raises(ConnectorClosedError):
            await stats(client)
    assert (await stats(client)).process_id


def _node(port: int, *, leads: bool, ip: str = "10.0.0.1") -> ClusterNode:
    role = NodeRole.LEADER if leads else NodeRole.FOLLOWER
    return ClusterNode(name="n", ip=ip, tcp_port=port, quic_port=0, http_port=0, websocket_port=0, role=role, status=0)


def test_a_follower_is_left_for_its_leader() -> None:
    nodes = (_node(1, leads=False), _node(2, leads=True), _node(3, leads=False, ip="::1"))
    cluster = ClusterMetadata(name="c", nodes=nodes)
    assert leader_elsewhere(cluster, peer=("10.0.0.1", 1)) == "10.0.0.1:2"
    assert leader_elsewhere(cluster, peer=("10.0.0.1", 2)) is None
    over_six = ClusterMetadata(name="c", nodes=(_node(1, leads=False), _node(2, leads=True, ip="::1")))
    assert leader_elsewhere(over_six, peer=("10.0.0.1", 1)) == "[::1]:2"


def test_a_single_server_is_never_left() -> None:
    assert leader_elsewhere(ClusterMetadata(name="c", nodes=(_node(2, leads=True),)), peer=("127.0.0.1", 9)) is None
    unreachable = ClusterMetadata(name="c", nodes=(_node(0, leads=True), _node(2, leads=False)))
    assert leader_elsewhere(unreachable, peer=("127.0.0.1", 9)) is None


class _Line(asyncio.Transport):
    """A connection whose other end is this test: what is written is kept."""

    def __init__(self) -> None:
        super().__init__()
        self.server = ServerConnection()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.server.receive_data(bytes(data))

    def abort(self) -> None:
        pass

    def requests(self) -> list[RequestFrame]:
        return list(iter(self.server.next_frame, Signal.NEED_DATA))  # type: ignore[arg-type]  # the sentinel ends it


async def test_nothing_is_asked_while_something_waits_for_its_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    """iggy-server answers a ping before a store that came earlier: the replies would be taken for each other's."""
    monkeypatch.setattr(wire_client, "HEARTBEAT_INTERVAL", 0.005)
    connection, line = ClientConnection(client=1), _Line()
    talk = Conversation(connection)
    talk.connection_made(line)
    client = WireClient(talk, connection, MemberIdentity(), address="nowhere", timeout=5.0)
    storing = asyncio.ensure_future(client.request(DeleteStream(stream="first"), subject="a stream"))
    await asyncio.sleep(0)
    storing.cancel()
    second = asyncio.ensure_future(client.request(DeleteStream(stream="second"), subject="a stream"))
    client.begin(LoginReply(user_id=1, session=7, protocol_version=0, server_version=""))
    await asyncio.sleep(0.05)  # ten heartbeats
    (first,) = line.requests()
    talk.data_received(b"".join(encode_success(first.header, Command.DELETE_STREAM, None)))

    async def asked_again() -> bool:
        return not talk.is_quiet

    await until(asked_again)
    (then,) = line.requests()
    assert then.header.request == first.header.request + 1
    talk.data_received(b"".join(encode_success(then.header, Command.DELETE_STREAM, None)))
    await second
    client.hang_up()
