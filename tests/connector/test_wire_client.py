"""Sessions of group members: deadlines, cancellation, coming back, good-byes."""

import asyncio
import os
from collections.abc import AsyncIterator

import pytest

from rustok_iggy_connector import (
    ConnectorClosedError,
    IncompatibleServerError,
    ServerUnreachableError,
    wire_client,
)
from rustok_iggy_connector._sdk import Login
from rustok_iggy_connector.member_identity import MemberIdentity
from rustok_iggy_connector.wire.codes import Command
from rustok_iggy_connector.wire.commands.session import LoginReply
from rustok_iggy_connector.wire.commands.streams import CreateStream, DeleteStream, GetStream, StreamDetails
from rustok_iggy_connector.wire.commands.system import ClusterMetadata, ClusterNode, NodeRole
from rustok_iggy_connector.wire.connection import (
    ClientConnection,
    RequestFrame,
    ServerConnection,
    Signal,
    encode_success,
)
from rustok_iggy_connector.wire_client import Conversation, WireClient
from rustok_iggy_connector.wire_login import leader_elsewhere, open_wire_client
from tests.connector.conftest import LocalServer, stats
from tests.faults import FaultProxy, http, listening, mute, newer_generation, slam, ssh
from tests.waiting import until

pytestmark = pytest.mark.anyio


async def open_to(
    server: LocalServer,
    address: str,
    *,
    open_timeout: float = 5.0,
    who: MemberIdentity | None = None,
) -> WireClient:
    return await open_wire_client(
        address=address,
        login=Login(username=server.username, password=server.password),
        tls=None,
        open_timeout=open_timeout,
        timeout=5.0,
        who=who or MemberIdentity(),
    )


@pytest.fixture
async def client(local_server: LocalServer) -> AsyncIterator[WireClient]:
    opened = await open_to(local_server, local_server.address)
    yield opened
    await opened.close()


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


def receive(talk: Conversation, data: bytes) -> None:
    talk.get_buffer(-1)[: len(data)] = data
    talk.buffer_updated(len(data))


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
    receive(talk, b"".join(encode_success(first.header, Command.DELETE_STREAM, None)))

    async def asked_again() -> bool:
        return not talk.is_quiet

    await until(asked_again)
    (then,) = line.requests()
    assert then.header.request == first.header.request + 1
    receive(talk, b"".join(encode_success(then.header, Command.DELETE_STREAM, None)))
    await second
    client.hang_up()
