"""Sockets: limits, slow and malicious clients, TLS, and the published client, each beside others who notice nothing."""

import asyncio
import contextlib
import logging
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from apache_iggy import IggyClient, Partitioning, SendMessage

from rustok_iggy_connector.local_server.broker import Broker, Surroundings
from rustok_iggy_connector.local_server.connections import Limits
from rustok_iggy_connector.local_server.server import ListenError, Server
from rustok_iggy_connector.local_server.storage import MemoryStorage
from rustok_iggy_connector.wire.codes import Command, Operation, Status
from rustok_iggy_connector.wire.commands import messages, system
from rustok_iggy_connector.wire.commands.tokens import CreateToken, CreateTokenReply
from rustok_iggy_connector.wire.connection import EvictionFrame, ReplyFrame
from rustok_iggy_connector.wire.primitives import PollingStrategy, StrategyKind
from tests.local_server.clients import SINGLE, Clock
from tests.local_server.program import running
from tests.local_server.socket_client import SocketClient, send_request
from tests.waiting import until, wait_until

pytestmark = pytest.mark.anyio

TLS = Path(__file__).parent / "tls"


@contextlib.asynccontextmanager
async def serving(
    *, tls: ssl.SSLContext | None = None, monotonic: Callable[[], float] | None = None, **limits: float
) -> AsyncIterator[tuple[Server, int]]:
    """A server over memory in this loop, and its port."""

    def make_broker(server: Server) -> Broker:
        broker = Broker(MemoryStorage(), surroundings=Surroundings(schedule=server.call_soon, run_slow=server.run_slow))
        broker.ensure_root("iggy", "iggy")
        return broker

    clock = {} if monotonic is None else {"monotonic": monotonic}
    server = Server(make_broker, limits=Limits(**limits), **clock)  # type: ignore[arg-type]  # names of its fields
    address = await server.listen("127.0.0.1", 0, tls=tls)
    task = asyncio.create_task(server.serve())
    try:
        yield server, int(address.rpartition(":")[2])
    finally:
        server.stop()
        await task


async def in_thread(work: Callable[[], object]) -> object:
    """A blocking client beside the server's loop."""
    return await asyncio.wait_for(asyncio.to_thread(work), 20)


def good_client(port: int) -> None:
    """Somebody who behaves is served."""
    with SocketClient(port) as client:
        client.log_in()
        assert client.request(system.Ping()) == system.Empty()


def is_closed_by_peer(connection: socket.socket) -> bool:
    connection.settimeout(15)
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + b"x" * 300, "bytes where 256 to"),
        (bytes(48) + struct.pack("<I", 2**32 - 1) + bytes(8) + b"\x05" + bytes(195), "4294967295 bytes"),
        (bytes(48) + struct.pack("<I", 10) + bytes(8) + b"\x05" + bytes(195), "10 bytes"),
        (bytes(48) + struct.pack("<I", 256) + bytes(8) + b"\x05" + bytes(195), "client id"),
    ],
)
async def test_garbage_and_wild_lengths_end_a_connection_with_a_log_line(
    data: bytes, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    def attack(port: int) -> None:
        with SocketClient(port) as other, socket.create_connection(("127.0.0.1", port)) as connection:
            other.log_in()
            connection.sendall(data)
            assert is_closed_by_peer(connection)
            assert other.request(system.Ping()) == system.Empty()

    async with serving() as (_, port):
        await in_thread(lambda: attack(port))
    assert text in caplog.text
    assert caplog.text.count("dropped") == 1


@pytest.mark.parametrize("data", [b"", bytes(48) + struct.pack("<I", 256) + bytes(8) + b"\x05"])
async def test_half_a_header_and_silence_ends_a_connection(data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()

    def wait(port: int) -> None:
        with SocketClient(port) as other, socket.create_connection(("127.0.0.1", port)) as connection:
            other.log_in()
            connection.sendall(data)
            wait_until(lambda: sorted(bytes_of(server)) == [0, len(data)])
            clock.seconds += 1.1
            assert is_closed_by_peer(connection)
            assert other.request(system.Ping()) == system.Empty()

    async with serving(frame_timeout=1.0, monotonic=clock.monotonic) as (server, port):
        await in_thread(lambda: wait(port))
    assert caplog.text.count("dropped") == 1


def bytes_of(server: Server) -> list[int]:
    """Of each connection, what it has received of a frame."""
    return [connection._frames.buffered_bytes for connection in list(server._connections)]


async def test_a_connection_that_nobody_logs_in_to_ends(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()

    def wait(port: int) -> None:
        with SocketClient(port) as other, SocketClient(port) as stranger:
            other.log_in()
            assert stranger.request(system.Ping()) == system.Empty()
            clock.seconds += 1.1
            assert is_closed_by_peer(stranger.socket)
            assert other.request(system.Ping()) == system.Empty()

    async with serving(frame_timeout=1.0, monotonic=clock.monotonic) as (_, port):
        await in_thread(lambda: wait(port))
    assert caplog.text.count("silent and not logged in") == 1


async def test_more_connections_than_allowed_are_refused_until_one_goes(caplog: pytest.LogCaptureFixture) -> None:
    def connect(port: int) -> None:
        with SocketClient(port) as first, SocketClient(port) as second:
            first.log_in()
            second.log_in()
            with socket.create_connection(("127.0.0.1", port)) as third:
                assert is_closed_by_peer(third)
            assert first.request(system.Ping()) == system.Empty()

    async with serving(max_connections=2) as (_, port):
        await in_thread(lambda: connect(port))
        await in_thread(lambda: good_client(port))
    assert "refused: 2 are open" in caplog.text


async def test_a_large_request_passes_and_a_larger_one_than_allowed_does_not() -> None:
    def talk(port: int) -> None:
        with SocketClient(port) as client:
            client.log_in()
            client.make_topic()
            assert client.send(bytes(900_000)) == 0
            with pytest.raises(ConnectionError):
                client.send(bytes(1_100_000))

    async with serving(max_request_bytes=1_000_000) as (_, port):
        await in_thread(lambda: talk(port))


async def test_a_client_that_does_not_read_its_replies_is_not_read_from(caplog: pytest.LogCaptureFixture) -> None:
    """It asks for 400 MB without reading: the server answers up to its bound, and others go on."""
    polled = messages.PollMessages(
        consumer=SINGLE,
        stream="s",
        topic="t",
        partition_id=0,
        strategy=PollingStrategy(StrategyKind.FIRST),
        count=1,
    )

    def flood(port: int) -> None:
        with SocketClient(port) as greedy, SocketClient(port) as other:
            greedy.log_in()
            other.log_in()
            other.make_topic()
            other.send(bytes(1_000_000))
            request = greedy.frames.send(polled)
            for _ in range(400):
                greedy.socket.sendall(request)
            for _ in range(20):
                assert other.request(system.Ping()) == system.Empty()
            assert transport_buffer(server) < 20_000_000
            for _ in range(400):
                frame = greedy.receive()
                assert isinstance(frame, ReplyFrame)
                assert frame.header.size > 1_000_000

    async with serving() as (server, port):
        await in_thread(lambda: flood(port))
    assert caplog.text == ""


def transport_buffer(server: Server) -> int:
    transports = [connection._transport for connection in server._connections]
    return sum(transport.get_write_buffer_size() for transport in transports if transport is not None)


async def test_requests_held_for_all_clients_together_have_a_bound() -> None:
    """Commits stand still; three clients send; only what the bound allows is taken in, and all is served later."""
    held: list[Callable[[], None]] = []

    def pipeline(port: int, clients: list[SocketClient]) -> None:
        for client in clients:
            frame = client.frames.send(send_request(bytes(200_000)))
            client.socket.sendall(frame)

    async with serving(total_bytes=400_000) as (server, port):
        clients = [SocketClient(port) for _ in range(3)]
        for client in clients:
            await in_thread(client.log_in)
        await in_thread(clients[0].make_topic)
        server.broker.commits._schedule = held.append
        await in_thread(lambda: pipeline(port, clients))
        await until(lambda: len(held) == 1 and not server.has_room)
        assert server.dispatcher.bytes_held < 700_000
        server.broker.commits._schedule = server.call_soon
        held.pop()()
        for client in clients:
            frame = await in_thread(client.receive)
            assert isinstance(frame, ReplyFrame)
            assert frame.header.status == 0
            client.socket.close()
        assert server.dispatcher.bytes_held == 0


async def test_requests_held_for_one_client_have_a_bound_too() -> None:
    held: list[Callable[[], None]] = []

    async with serving(session_bytes=100_000) as (server, port):
        with SocketClient(port) as client:
            await in_thread(client.log_in)
            await in_thread(client.make_topic)
            server.broker.commits._schedule = held.append
            frames = b"".join(client.frames.send(send_request(bytes(30_000))) for _ in range(20))
            sending = asyncio.create_task(asyncio.to_thread(client.socket.sendall, frames))
            await until(lambda: server.dispatcher.bytes_held >= 100_000)
            await until(lambda: not next(iter(server._connections)).is_reading)
            assert server.dispatcher.bytes_held < 150_000
            server.broker.commits._schedule = server.call_soon
            held.pop()()
            await sending
            for _ in range(20):
                await in_thread(client.receive)


async def test_stopping_waits_for_what_is_under_way() -> None:
    held: list[Callable[[], None]] = []
    async with serving() as (server, port):
        client = SocketClient(port)
        await in_thread(client.log_in)
        await in_thread(client.make_topic)
        server.broker.commits._schedule = held.append
        client.socket.sendall(client.frames.send(send_request(b"x")))
        await until(lambda: bool(held))
        server.stop()
        await asyncio.sleep(0.05)  # an unfounded end would come now
        server.broker.commits._schedule = server.call_soon
        held.pop()()
        frame = await in_thread(client.receive)
        assert isinstance(frame, ReplyFrame)
        assert frame.header.status == 0
        client.socket.close()


async def test_pipelined_requests_are_answered_in_order() -> None:
    def pipeline(port: int) -> None:
        with SocketClient(port) as client:
            client.log_in()
            client.make_topic()
            requests = [client.frames.send(send_request(b"%d" % number)) for number in range(200)]
            client.socket.sendall(b"".join(requests) + client.frames.send(system.Ping()))
            replies = [client.receive() for _ in range(201)]
            sends = [reply for reply in replies[:200] if isinstance(reply, ReplyFrame)]
            offsets = [messages.SendMessagesReply.decode(reply.body).confirmations[0].base_offset for reply in sends]
            assert offsets == list(range(200))
            last = replies[200]
            assert isinstance(last, ReplyFrame)
            assert last.header.operation is Operation.NOT_REPLICATED

    async with serving() as (_, port):
        await in_thread(lambda: pipeline(port))


async def test_requests_that_arrive_byte_by_byte_are_understood() -> None:
    def trickle(port: int) -> None:
        with SocketClient(port) as client:
            client.log_in()
            for byte in client.frames.send(system.Ping()):
                client.socket.sendall(bytes([byte]))
            frame = client.receive()
            assert isinstance(frame, ReplyFrame)
            assert frame.header.status == Status.OK

    async with serving() as (_, port):
        await in_thread(lambda: trickle(port))


async def test_a_wrong_password_is_answered_with_an_eviction_and_the_right_one_let_in(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def guess(port: int) -> None:
        with SocketClient(port) as client:
            with pytest.raises(AssertionError, match="INVALID_CREDENTIALS") as caught:
                client.log_in("iggy", "s3cret-guess")
            assert isinstance(caught.value.args[0], EvictionFrame | str)
            client.log_in()

    async with serving() as (_, port):
        await in_thread(lambda: guess(port))
        await in_thread(lambda: good_client(port))
    assert "s3cret" not in caplog.text


async def test_clients_that_vanish_leave_nothing_behind() -> None:
    def vanish(port: int) -> None:
        for _ in range(20):
            client = SocketClient(port)
            client.log_in()
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.socket.sendall(client.frames.send(system.GetStats()))
            client.socket.close()

    async with serving() as (server, port):
        await in_thread(lambda: vanish(port))
        await until(lambda: not server.broker.sessions and not server._connections)
        assert server.dispatcher.bytes_held == 0


async def test_a_request_and_the_hang_up_behind_it_leave_nothing_behind() -> None:
    """The reply to a ping has no body; what came of it was once waited for."""

    def hang_up(port: int) -> None:
        with SocketClient(port) as client:
            client.log_in()
            client.socket.sendall(client.frames.send(system.Ping()))
            client.socket.shutdown(socket.SHUT_WR)
            assert isinstance(client.receive(), ReplyFrame)
            assert is_closed_by_peer(client.socket)

    async with serving() as (server, port):
        await in_thread(lambda: hang_up(port))
        await until(lambda: not server.broker.sessions and not server._connections)


async def test_tls_serves_who_trusts_it_and_nothing_in_the_clear(caplog: pytest.LogCaptureFixture) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "localhost.pem", TLS / "localhost.key")

    def talk(port: int) -> None:
        trusting = ssl.create_default_context(cafile=TLS / "authority.pem")
        with SocketClient(port, tls=trusting) as client:
            client.log_in()
            client.make_topic()
            assert client.send(bytes(500_000)) == 0
        with pytest.raises(ssl.SSLCertVerificationError):
            SocketClient(port, tls=ssl.create_default_context())
        with SocketClient(port) as plain, pytest.raises(ConnectionError):
            plain.log_in()

    caplog.set_level(logging.CRITICAL, "asyncio")
    async with serving(tls=context) as (_, port):
        await in_thread(lambda: talk(port))


async def test_an_address_in_use_is_refused_with_a_reason() -> None:
    async with serving() as (server, port):
        with pytest.raises(ListenError, match=r"[Aa]ddress"):
            await server.listen("127.0.0.1", port)


async def test_an_error_of_ours_in_a_commit_ends_the_server() -> None:
    """Better an end that is noticed, and a restart, than a server that takes messages and never answers."""

    def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        async with serving() as (server, _):
            server.call_soon(fail)
            await until(server._stopped.is_set)


async def test_an_error_of_ours_for_one_client_ends_that_client_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def talk(port: int) -> None:
        with SocketClient(port) as client, SocketClient(port) as other:
            client.log_in()
            other.log_in()
            with pytest.raises(ConnectionError):
                client.request(system.GetStats())
            assert other.request(system.Ping()) == system.Empty()

    async with serving() as (server, port):
        monkeypatch.setattr(server.broker.storage, "room", None)
        await in_thread(lambda: talk(port))


async def test_the_published_client_logs_in_with_a_token_and_publishes_over_tls(tmp_path: Path) -> None:
    certificate, key = TLS / "localhost.pem", TLS / "localhost.key"
    with running(tmp_path, "--tls-cert", str(certificate), "--tls-key", str(key)) as (program, port):
        url = (
            f"127.0.0.1:{port}?tls=true&tls_domain=localhost&tls_ca_file={TLS / 'authority.pem'}&reconnection_retries=1"
        )
        root = IggyClient.from_connection_string(f"iggy+tcp://iggy:iggy@{url}")
        await asyncio.wait_for(root.connect(), 20)
        await root.create_stream("s")
        await root.create_topic("s", "t", partitions_count=1)
        made = await root.send_binary_request(Command.CREATE_TOKEN, CreateToken(name="ci", expiry=0).encode())
        token = CreateTokenReply.decode(bytes(made)).token
        client = IggyClient.from_connection_string(f"iggy+tcp://{token}@{url}")
        await asyncio.wait_for(client.connect(), 20)
        sent = await client.send_messages("s", "t", Partitioning.partition_id(0), [SendMessage(b"x")])
        assert [place.base_offset for place in sent.confirmations] == [0]
        del root, client
        await asyncio.sleep(0.05)  # the published client needs a moment of the loop to let go of its connection
        assert program.end() == 0


async def test_a_large_frame_before_login_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    def attack(port: int) -> None:
        with SocketClient(port) as client:
            frame = client.frames.send(send_request(bytes(100_000)))
            client.socket.sendall(frame[:300])
            assert is_closed_by_peer(client.socket)

    async with serving() as (_, port):
        await in_thread(lambda: attack(port))
    assert "before login" in caplog.text


async def test_large_frames_are_read_only_when_all_of_them_has_room() -> None:
    """Two halves of a frame that together would not fit: the second waits until the first is through."""

    def begin(client: SocketClient) -> bytes:
        frame = client.frames.send(send_request(bytes(600_000)))
        client.socket.sendall(frame[:300])
        return frame[300:]

    async with serving(total_bytes=1_000_000) as (server, port):
        first, second = SocketClient(port), SocketClient(port)
        for client in (first, second):
            await in_thread(client.log_in)
        await in_thread(first.make_topic)
        rest = begin(first)
        await until(lambda: server._reserved > 600_000)
        rest_of_second = begin(second)
        await until(lambda: len(server._paused_for_room) == 1)
        assert server._reserved < 700_000
        sending = asyncio.create_task(asyncio.to_thread(second.socket.sendall, rest_of_second))
        await in_thread(lambda: first.socket.sendall(rest))
        for client in (first, second):
            frame = await in_thread(client.receive)
            assert isinstance(frame, ReplyFrame)
            assert frame.header.status == 0
            client.socket.close()
        await sending
        assert (server._reserved, server.dispatcher.bytes_held) == (0, 0)


async def test_a_frame_of_a_client_that_vanishes_gives_its_room_back() -> None:
    async with serving() as (server, port):
        client = SocketClient(port)
        await in_thread(client.log_in)
        client.socket.sendall(client.frames.send(send_request(bytes(600_000)))[:300])
        await until(lambda: server._reserved > 0)
        client.socket.close()
        await until(lambda: server._reserved == 0)
