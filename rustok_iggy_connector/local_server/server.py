"""The local server's sockets: connections, limits, timers, and how it starts and stops.

Slow or malicious clients end with a log line and nothing else: a frame of a wrong kind or size is refused before room
is made for it, a frame that stops half-way times out, a client that does not read its replies is not read from, and the
requests held for all clients together have a bound.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from rustok_iggy_connector.errors import RemoteProtocolError
from rustok_iggy_connector.local_server.broker import Broker
from rustok_iggy_connector.local_server.dispatch import Dispatcher
from rustok_iggy_connector.local_server.sessions import Session
from rustok_iggy_connector.wire.connection import MAX_REQUEST_BYTES, RequestFrame, ServerConnection
from rustok_iggy_connector.wire.primitives import Buffer

logger = logging.getLogger("rustok_iggy_connector.local_server")

TICK_INTERVAL: Final = 0.5
"""Seconds between two looks at groups and silent members: a partition that is ready moves within one second."""

CLOSE_TIMEOUT: Final = 2.0
"""Seconds that clients have to read their last replies when the server stops."""

CLOSE_INTERVAL: Final = 0.01
"""Seconds between two looks at what a stop waits for."""


class ListenError(Exception):
    """The address cannot be listened on; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client, and all of them together, may take."""

    max_connections: int = 1000
    """Descriptors: many systems allow a process 1024 without asking, and a worker of a host needs about five."""
    max_request_bytes: int = MAX_REQUEST_BYTES
    """The largest frame."""
    session_bytes: int = 8 << 20
    """Requests received from one client and not answered; beyond that nothing more is read from it. One may be larger
    alone."""
    total_bytes: int = 256 << 20
    """The same for all clients together: four of the largest frames."""
    unreserved_bytes: int = 256 << 10
    """A frame larger than this is read on only once its whole size has room in `total_bytes`; smaller ones of all
    connections together have about as much again."""
    login_bytes: int = 64 << 10
    """The largest frame before login, which needs about 300 bytes: who is not known gets no room."""
    reply_bytes: int = 1 << 20
    """Replies that a client has not read yet; beyond that its next requests wait."""
    frame_timeout: float = 30.0
    """Seconds without a byte in the middle of a frame after which the client is dropped; also for the first frame."""
    drain_timeout: float = 30.0
    """Seconds that a stop waits for requests under way; the connector waits 45 before it kills."""


class Connection(asyncio.Protocol):
    """One client's socket; the Peer of its session."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._frames = ServerConnection(max_request_bytes=server.limits.max_request_bytes)
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._reads = True
        self._writes = True
        self._reserved = 0
        self._last_byte = server.monotonic()
        self._greeted = False

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername") or ("unknown", 0)
        address = f"{peer[0]}:{peer[1]}"
        if not self._server.admit(self):
            logger.warning("connection from %s refused: %d are open", address, self._server.limits.max_connections)
            transport.abort()
            return
        transport.set_write_buffer_limits(high=self._server.limits.reply_bytes)
        self._session = self._server.broker.open_session(self, address=address)

    def data_received(self, data: bytes) -> None:
        self._last_byte = self._server.monotonic()
        self._frames.receive_data(data)
        self.proceed()

    def connection_lost(self, _: Exception | None) -> None:
        if self._session is not None:
            self._server.dispatcher.end(self._session)
        self._release()
        self._server.forget(self)

    def pause_writing(self) -> None:
        self._writes = False
        self._balance()

    def resume_writing(self) -> None:
        self._writes = True
        self.proceed()

    # What the session calls

    def write(self, parts: Sequence[Buffer]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.writelines(parts)
        self._server.answered()
        if not self._reads:
            self._server.call_soon(self.proceed)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    # What the server calls

    @property
    def session(self) -> Session | None:
        """The session, None for a connection that was refused."""
        return self._session

    @property
    def is_reading(self) -> bool:
        """Whether more may come from the client."""
        return self._reads

    def proceed(self) -> None:
        """Take frames as long as there is room for them."""
        session = self._session
        if session is None:
            return
        try:
            while self._has_room(session) and isinstance(frame := self._frames.next_frame(), RequestFrame):
                self._greeted = True
                self._release()
                self._server.dispatcher.receive(session, frame)
        except RemoteProtocolError as error:
            self.drop(str(error))
            return
        self._reserve(session)
        self._balance()

    def drop_if_stuck(self, now: float) -> None:
        """End a connection that stopped in the middle of a frame, or never sent one."""
        waits_for_bytes = self._frames.buffered_bytes > 0 or not self._greeted
        if self._reads and waits_for_bytes and now - self._last_byte > self._server.limits.frame_timeout:
            self.drop("nothing came in the middle of a frame" if self._greeted else "nothing was sent")

    def drop(self, reason: str) -> None:
        """End the connection at once."""
        if self._transport is not None and self._session is not None:
            logger.warning("connection from %s dropped: %s", self._session.address, reason)
            self._transport.abort()

    @property
    def _is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def _has_room(self, session: Session) -> bool:
        if not self._is_open or not self._writes or self._server.is_stopping:
            return False
        # Room that was reserved for the frame under way is this frame's, however full it is elsewhere.
        return self._reserved > 0 or (self._server.has_room and session.bytes_held < self._server.limits.session_bytes)

    def _reserve(self, session: Session) -> None:
        """Have room for all of a large frame before the rest of it is read."""
        size, limits = self._frames.pending_frame_bytes, self._server.limits
        if size > limits.login_bytes and session.user_id is None:
            self.drop(f"a frame of {size} bytes before login")
        elif size > limits.unreserved_bytes and not self._reserved and self._server.reserve(size):
            self._reserved = size

    def _release(self) -> None:
        if self._reserved:
            reserved, self._reserved = self._reserved, 0
            self._server.release(reserved)

    def _balance(self) -> None:
        """Read from the socket exactly while there is room."""
        session, transport = self._session, self._transport
        if session is None or transport is None or not self._is_open:
            return
        unreserved = self._frames.pending_frame_bytes > self._server.limits.unreserved_bytes and not self._reserved
        reads = self._has_room(session) and not unreserved
        if reads and not self._reads:
            self._last_byte = self._server.monotonic()
            transport.resume_reading()
        elif self._reads and not reads:
            transport.pause_reading()
        self._reads = reads
        if not reads and (unreserved or not self._server.has_room):
            self._server.wait_for_room(self)


class Server:
    """Serves a broker on an address until stopped. The broker's `schedule` and `run_slow` come from here."""

    def __init__(
        self,
        make_broker: Callable[[Server], Broker],
        *,
        limits: Limits | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.limits = limits or Limits()
        self.monotonic = monotonic
        self._loop = asyncio.get_running_loop()
        # One thread: logins that hash a password queue behind each other and never take the second core as well.
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="local-server-login")
        self._connections: set[Connection] = set()
        self._stopped = asyncio.Event()
        self._listener: asyncio.Server | None = None
        self._paused_for_room: set[Connection] = set()
        self._reserved = 0
        self._failure: Exception | None = None
        self.broker = make_broker(self)
        self.dispatcher = Dispatcher(self.broker)

    def call_soon(self, call: Callable[[], None]) -> None:
        """Runs after what the sockets have ready, so that one commit takes the requests of many clients."""
        self._loop.call_soon(call)

    def deliver(self, call: Callable[[], None]) -> None:
        """From another thread into this one. A loop that is closed has nobody left to tell."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)

    def run_slow(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """Run `work` in the hashing thread and `then` here, unless the work failed, which is reported."""

        def done(future: asyncio.Future[Any]) -> None:
            if not future.cancelled():
                then(future.result())

        self._loop.run_in_executor(self._hashing, work).add_done_callback(done)

    async def listen(self, host: str, port: int, *, tls: ssl.SSLContext | None = None) -> str:
        """Open the port; gives the address with the real port. Raises ListenError."""
        try:
            self._listener = await self._loop.create_server(
                partial(Connection, self),
                host,
                port,
                ssl=tls,
                ssl_handshake_timeout=self.limits.frame_timeout if tls else None,
                backlog=512,
            )
        except OSError as error:
            raise ListenError(error.strerror or str(error)) from error
        address = self._listener.sockets[0].getsockname()
        return f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"

    def stop(self) -> None:
        """Have `serve` drain and return. Idempotent; may be called by a signal handler."""
        self._stopped.set()

    def stop_on_signals(self) -> None:
        """SIGTERM and SIGINT stop it."""
        for number in (signal.SIGTERM, signal.SIGINT):
            try:
                self._loop.add_signal_handler(number, self.stop)
            except NotImplementedError:  # Windows' loops have none; a plain handler runs between two of its turns.
                signal.signal(number, lambda *_: self.deliver(self.stop))

    async def serve(self) -> None:
        """Until stopped; then answer what is under way, close everything and return.

        An error in our own code outside of any connection leaves a commit that nobody finishes, so it ends the server
        and is raised here: what is stored is right, and the next start goes on from it.
        """
        handler = self._loop.get_exception_handler()
        self._loop.set_exception_handler(self._on_error)
        ticking = asyncio.create_task(self._tick())
        stopping = asyncio.create_task(self._stopped.wait())
        try:
            await asyncio.wait((ticking, stopping), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (ticking, stopping):
                task.cancel()
            results = await asyncio.gather(ticking, stopping, return_exceptions=True)
            await self._close()
            self._loop.set_exception_handler(handler)
        failure = next((result for result in results if isinstance(result, Exception)), self._failure)
        if failure is not None:
            raise failure

    # What connections use

    @property
    def has_room(self) -> bool:
        """Whether the requests held for all clients leave room for one more."""
        return self.dispatcher.bytes_held + self._reserved < self.limits.total_bytes

    @property
    def is_stopping(self) -> bool:
        """Whether nothing more is taken in."""
        return self._stopped.is_set()

    def reserve(self, size: int) -> bool:
        """Set room aside for a frame of this size, if there is so much; one alone always fits."""
        taken = self.dispatcher.bytes_held + self._reserved
        if taken and taken + size > self.limits.total_bytes:
            return False
        self._reserved += size
        return True

    def release(self, size: int) -> None:
        """Give back what was reserved."""
        self._reserved -= size
        self.answered()

    def admit(self, connection: Connection) -> bool:
        """Whether one more connection may be open."""
        if len(self._connections) >= self.limits.max_connections or self._stopped.is_set():
            return False
        self._connections.add(connection)
        return True

    def forget(self, connection: Connection) -> None:
        """The connection is gone."""
        self._connections.discard(connection)

    def answered(self) -> None:
        """A request has been answered: others may find room now."""
        if self._paused_for_room and self.has_room:
            paused, self._paused_for_room = self._paused_for_room, set()
            for connection in paused:
                self.call_soon(connection.proceed)

    def wait_for_room(self, connection: Connection) -> None:
        """Have the connection proceed when others have been answered."""
        self._paused_for_room.add(connection)

    # Inside

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_INTERVAL)
            for session in self.broker.tick():
                logger.warning("member %s of a consumer group dropped: it was silent for too long", session.address)
                self.dispatcher.evict(session)
            now = self.monotonic()
            for connection in list(self._connections):
                connection.drop_if_stuck(now)

    def _on_error(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        logger.error("%s", context.get("message"), exc_info=error)
        if isinstance(error, Exception) and "handle" in context:
            self._failure = error
            self.stop()

    async def _close(self) -> None:
        if self._listener is not None:
            self._listener.close()
        self._stopped.set()
        await self._until(self._is_answered, self.limits.drain_timeout)
        for connection in list(self._connections):
            connection.close()
        await self._until(lambda: not self._connections, CLOSE_TIMEOUT)
        for connection in list(self._connections):
            connection.drop("it did not read its replies before the server stopped")
        # Members that went with their connections have changed their groups.
        await self._until(lambda: self.broker.commits.is_idle, CLOSE_TIMEOUT)
        self._hashing.shutdown(wait=False, cancel_futures=True)

    def _is_answered(self) -> bool:
        return self.broker.commits.is_idle and not any(session.under_way for session in self.broker.sessions.values())

    async def _until(self, condition: Callable[[], bool], timeout: float) -> None:
        give_up = self._loop.time() + timeout
        # Looks instead of being told: an event would have to be set at every reply of a server's life.
        while self._failure is None and not condition() and self._loop.time() < give_up:  # noqa: ASYNC110
            await asyncio.sleep(CLOSE_INTERVAL)


async def run_server(
    make_broker: Callable[[Server], Broker],
    host: str,
    port: int,
    *,
    ready: Callable[[Server, str], None],
    tls: ssl.SSLContext | None = None,
) -> None:
    """Serve until a signal or `Server.stop`; `ready` is told the address. Closes the broker's storage at the end."""
    server = Server(make_broker)
    try:
        address = await server.listen(host, port, tls=tls)
        server.stop_on_signals()
        ready(server, address)
        await server.serve()
    finally:
        server.broker.storage.close()
