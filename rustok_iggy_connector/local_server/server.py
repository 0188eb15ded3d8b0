"""The local server around its connections: the port, the room they share, timers, and how it starts and stops."""

from __future__ import annotations

import asyncio
import logging
import signal
import ssl
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from rustok_iggy_connector.local_server.broker import Broker
from rustok_iggy_connector.local_server.client_warnings import ClientWarnings
from rustok_iggy_connector.local_server.connections import Connection, Limits
from rustok_iggy_connector.local_server.dispatch import Dispatcher
from rustok_iggy_connector.local_server.slow_work import SlowWork

logger = logging.getLogger("rustok_iggy_connector.local_server")

TICK_INTERVAL: Final = 0.5
"""Seconds between two looks at groups and silent members: a partition that is ready moves within one second."""

CLOSE_TIMEOUT: Final = 2.0
"""Seconds that clients have to read their last replies when the server stops."""

CLOSE_INTERVAL: Final = 0.01
"""Seconds between two looks at what a stop waits for."""


class ListenError(Exception):
    """The address cannot be listened on; the text says why."""


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
        self.warnings = ClientWarnings(write=logger.warning, monotonic=monotonic)
        self._loop = asyncio.get_running_loop()
        # One thread: logins that hash a password queue behind each other and never take the second core as well.
        self._hashing = ThreadPoolExecutor(1, thread_name_prefix="local-server-login")
        self.run_slow = SlowWork(self._hash).submit
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

    def _hash(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
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
                self.warnings.warn("member %s of a group dropped: it was silent for too long", session.address)
                self.dispatcher.evict(session)
            self.warnings.tick()
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
