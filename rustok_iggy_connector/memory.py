"""InMemoryConnector: the local server's core in this process. No socket, no disk, nothing left behind.

Every request goes through the same frames, the same dispatch and the same state as over a socket; only the socket is
missing. So order, offsets, groups and refusals are those of the local server.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable

from rustok_iggy_connector.client import Client
from rustok_iggy_connector.errors import ConnectionLostError, LocalProtocolError
from rustok_iggy_connector.framed_client import FramedClient
from rustok_iggy_connector.local_server.broker import Surroundings
from rustok_iggy_connector.local_server.in_process import EvictedError, InProcessServer, InProcessSession
from rustok_iggy_connector.models import ServerInfo
from rustok_iggy_connector.refusals import refusal
from rustok_iggy_connector.session_connector import SessionConnector
from rustok_iggy_connector.sessions import Session, closed
from rustok_iggy_connector.wire.codec import Refusal
from rustok_iggy_connector.wire.codes import Status
from rustok_iggy_connector.wire.commands import COMMAND_OF_REQUEST, Message
from rustok_iggy_connector.wire.commands.system import GetStats, Ping, Stats

TICK_INTERVAL = 0.5
"""Seconds between two looks at groups, as the local server does: a partition that is ready moves within a second."""
PUBLISH_CLIENTS = 2
TIMEOUT = 5.0
"""Nothing in memory takes that long; the contract wants a number."""


class MemoryServer:
    """A server that is an object. Give the same one to several connectors, and they share streams and groups."""

    def __init__(
        self,
        *,
        now: Callable[[], int] = lambda: time.time_ns() // 1000,
        monotonic: Callable[[], float] = time.monotonic,
        randomness: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._server = InProcessServer(surroundings=Surroundings(now=now, monotonic=monotonic, randomness=randomness))
        self.now = now
        self._monotonic = monotonic
        self._next_tick = monotonic() + TICK_INTERVAL
        self._clients: set[MemoryClient] = set()

    def hang_up(self) -> None:
        """End every session at once, as a cut network does. What is stored stays."""
        for client in tuple(self._clients):
            client.cut()

    def open_client(self) -> MemoryClient:
        """A session that is logged in."""
        session = self._server.open_session()
        session.log_in()
        client = MemoryClient(self, session)
        self._clients.add(client)
        return client

    def forget(self, client: MemoryClient) -> None:
        """The session is over. Idempotent."""
        self._clients.discard(client)

    def keep_time(self) -> None:
        """Called before each request: what groups do as time passes is only ever seen by a request."""
        if self._monotonic() < self._next_tick:
            return
        self._next_tick = self._monotonic() + TICK_INTERVAL
        for client in self._clients:
            client.ping()
        self._server.tick()


class MemoryClient(FramedClient):
    """A session that has no connection."""

    def __init__(self, server: MemoryServer, session: InProcessSession) -> None:
        self._server = server
        self._session = session
        self._closed = False

    @property
    def usable(self) -> bool:
        return self._session.is_open

    def cut(self) -> None:
        """End it as a broken connection does."""
        self._session.close()
        self._server.forget(self)

    def ping(self) -> None:
        """Say that this session is alive, as the published client does from a thread of its own."""
        self._session.request(Ping())

    async def request(self, request: Message, *, subject: str) -> Message | None:
        # A server would let others have their turn meanwhile; a poll loop must not starve the host's other tasks.
        await asyncio.sleep(0)
        command = COMMAND_OF_REQUEST[type(request)].name.lower()
        if self._closed:
            raise closed()
        if not self.usable:
            raise ConnectionLostError(f"the session ended before {command} of {subject} was sent")
        self._server.keep_time()
        try:
            answer = self._session.request(request)
        except LocalProtocolError as error:
            raise refusal(Status.INVALID_FORMAT, command=command, subject=subject) from error
        except EvictedError as error:
            self.cut()
            raise ConnectionLostError(f"the server ended the session at {command} of {subject}: {error}") from error
        if isinstance(answer, Refusal):
            raise refusal(answer.status, command=command, subject=subject)
        return answer

    def _now(self) -> int:
        return self._server.now()

    async def close(self) -> None:
        self._closed = True
        self.cut()


class InMemoryConnector(SessionConnector):
    """A connector to a MemoryServer, its own unless one is given. What was published stays with the server."""

    def __init__(self, server: MemoryServer | None = None, *, publish_clients: int = PUBLISH_CLIENTS) -> None:
        super().__init__(publish_clients=publish_clients, request_timeout=TIMEOUT, member_timeout=TIMEOUT)
        self._memory = server or MemoryServer()

    async def _open_client(self, timeout: float) -> Client:  # noqa: ARG002 - nothing to wait for in memory
        return self._memory.open_client()

    async def _reach(self, session: Session) -> ServerInfo:
        stats = await session.run(lambda client: client.ask(GetStats(), Stats, subject="the server"))
        version = "" if stats is None else stats.iggy_server_version
        return ServerInfo(engine="memory", version=version, address="memory")
