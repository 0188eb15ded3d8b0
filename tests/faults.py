"""A network between client and server that fails on demand, and servers that are none."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from enum import Enum

from rustok_iggy_connector.wire.codes import EvictionReason
from rustok_iggy_connector.wire.connection import RequestFrame, ServerConnection, encode_eviction

CHUNK_BYTES = 64 * 1024
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Cut(Enum):
    """When a connection is reset around one request on it."""

    BEFORE_REQUEST = "before the server has the request"
    BEFORE_REPLY = "after the server has answered, before the client has the reply"


Judge = Callable[[RequestFrame], Cut | None]


class Tap:
    """Reads along on one connection, which has one request under way at a time, and says when to cut it."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._requests = ServerConnection()
        self.cut: Cut | None = None

    def read(self, data: bytes) -> None:
        """Take in what the client sent."""
        self._requests.receive_data(data)
        while isinstance(frame := self._requests.next_frame(), RequestFrame):
            self.cut = self.cut or self._judge(frame)


class FaultProxy:
    """Carries bytes between clients and one server. All faults apply to connections that are open and to new ones.

    `clients` have not hung up; `from_clients` is all that they sent; `delay`, in seconds, is added to every chunk from
    the server. `judge`, when there is one, is shown every request, and says which to cut a connection at.
    """

    def __init__(self, target: str, *, judge: Judge | None = None) -> None:
        self.target = target
        self._judge = judge
        self.delay = 0.0
        self.connections = 0
        self.clients = 0
        self.from_clients = bytearray()
        self._flow = asyncio.Event()
        self._flow.set()
        self._corrupt: Callable[[bytes], bytes] | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._refusing = False
        self.address = ""

    def cut(self) -> None:
        """Reset every open connection."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    def refuse(self) -> None:
        """Reset what is open, and every new connection."""
        self._refusing = True
        self.cut()

    def accept(self) -> None:
        """Take connections again."""
        self._refusing = False

    def stall(self) -> None:
        """Stop carrying bytes, either way; nothing is lost."""
        self._flow.clear()

    def resume(self) -> None:
        self._flow.set()

    def corrupt_next(self, change: Callable[[bytes], bytes]) -> None:
        """Change the next chunk from the server."""
        self._corrupt = change

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        host, _, port = self.target.rpartition(":")
        try:
            server_reader, server_writer = await asyncio.open_connection(host.strip("[]"), int(port))
        except OSError:
            writer.transport.abort()
            return
        self.connections += 1
        self.clients += 1
        self._writers |= {writer, server_writer}
        tap = None if self._judge is None else Tap(self._judge)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, server_writer, tap, from_server=False))
                group.create_task(self._carry(server_reader, writer, tap, from_server=True))
        except* ConnectionAbortedError:
            for end in (writer, server_writer):
                end.transport.abort()
        finally:
            for end in (writer, server_writer):
                self._writers.discard(end)
                end.close()

    async def _carry(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, tap: Tap | None, *, from_server: bool
    ) -> None:
        try:
            await self._carry_all(source, sink, tap, from_server=from_server)
        finally:
            self.clients -= not from_server

    async def _carry_all(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, tap: Tap | None, *, from_server: bool
    ) -> None:
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            while data := await source.read(CHUNK_BYTES):
                await self._flow.wait()
                if tap is not None and not from_server:
                    tap.read(data)
                if tap is not None and tap.cut is (Cut.BEFORE_REPLY if from_server else Cut.BEFORE_REQUEST):
                    raise ConnectionAbortedError
                if from_server:
                    await asyncio.sleep(self.delay)
                    if self._corrupt is not None:
                        data, self._corrupt = self._corrupt(data), None
                else:
                    self.from_clients += data
                sink.write(data)
                await sink.drain()
            with contextlib.suppress(OSError):  # it has hung up itself meanwhile
                sink.write_eof()


@asynccontextmanager
async def fault_proxy(target: str, *, judge: Judge | None = None) -> AsyncIterator[FaultProxy]:
    """A proxy on a free port in front of `target` (host:port)."""
    proxy = FaultProxy(target, judge=judge)
    async with listening(proxy.serve) as address:
        proxy.address = address
        yield proxy


@asynccontextmanager
async def listening(answer: Answer) -> AsyncIterator[str]:
    """A server on a free port that treats every connection so; its address."""
    tasks: set[asyncio.Task[None]] = set()

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            writer.transport.abort()

    def start(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(run(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(start, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    try:
        yield f"{host}:{port}"
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()


async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads everything, answers nothing."""
    while await reader.read(CHUNK_BYTES):
        pass
    writer.close()


async def http(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A web server."""
    await reader.read(CHUNK_BYTES)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
    writer.close()


async def ssh(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Speaks first."""
    writer.write(b"SSH-2.0-OpenSSH_9.6\r\n")
    await reader.read(CHUNK_BYTES)
    writer.write(b"Protocol mismatch.\r\n")
    writer.close()


async def slam(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Hangs up at once."""
    writer.close()


async def older_generation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An Iggy server up to 0.8: length, code, body in; status, length, body out."""
    while True:
        length = int.from_bytes(await reader.readexactly(4), "little")
        request = await reader.readexactly(max(length, 4))
        if request == b"\x01\x00\x00\x00":
            writer.write(bytes(8))


async def some(reader: asyncio.StreamReader) -> bytes:
    """What comes next; EOFError at the end, where reading on would keep the loop from everything else."""
    if data := await reader.read(CHUNK_BYTES):
        return data
    raise EOFError


async def newer_generation(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that answers every login with the versions it takes, as iggy-server does to strangers."""
    connection = ServerConnection()
    while not isinstance(frame := connection.next_frame(), RequestFrame):
        connection.receive_data(await some(reader))
    reason = EvictionReason.INCOMPATIBLE_PROTOCOL
    writer.write(encode_eviction(frame.header, reason, lowest=12 << 10, highest=12 << 10))
    await writer.drain()
    writer.close()
