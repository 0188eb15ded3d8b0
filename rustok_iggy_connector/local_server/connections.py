"""One client's socket: frames in as long as there is room for them, replies out, limits in between.

Slow or malicious clients end with a log line at most and nothing else: a frame of a wrong kind or size is refused
before room is made for it, a frame that stops half-way times out, a client that does not read its replies is not read
from, and the requests held for all clients together have a bound.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from rustok_iggy_connector.errors import RemoteProtocolError
from rustok_iggy_connector.local_server.broker import Broker
from rustok_iggy_connector.local_server.client_warnings import ClientWarnings
from rustok_iggy_connector.local_server.dispatch import Dispatcher
from rustok_iggy_connector.local_server.sessions import Session
from rustok_iggy_connector.wire.connection import MAX_REQUEST_BYTES, RequestFrame, ServerConnection
from rustok_iggy_connector.wire.primitives import Buffer


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one client, and all of them together, may take."""

    max_connections: int = 1000
    """Descriptors: many systems allow a process 1024 without asking, and a worker of a host needs about seven."""
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
    """Seconds without a byte in the middle of a frame after which the client is dropped; also before its login."""
    drain_timeout: float = 30.0
    """Seconds that a stop waits for requests under way; the connector waits 45 before it kills."""


class Host(Protocol):
    """What connections need of their server."""

    limits: Limits
    broker: Broker
    dispatcher: Dispatcher
    monotonic: Callable[[], float]
    warnings: ClientWarnings

    @property
    def has_room(self) -> bool:
        """Whether the requests held for all clients leave room for one more."""

    @property
    def is_stopping(self) -> bool:
        """Whether nothing more is taken in."""

    def call_soon(self, call: Callable[[], None]) -> None:
        """Runs after what the sockets have ready."""

    def admit(self, connection: Connection) -> bool:
        """Whether one more connection may be open."""

    def forget(self, connection: Connection) -> None:
        """The connection is gone."""

    def answered(self) -> None:
        """A request has been answered: others may find room now."""

    def wait_for_room(self, connection: Connection) -> None:
        """Have the connection proceed when others have been answered."""

    def reserve(self, size: int) -> bool:
        """Set room aside for a frame of this size, if there is so much; one alone always fits."""

    def release(self, size: int) -> None:
        """Give back what was reserved."""


class Connection(asyncio.Protocol):
    """One client's socket; the Peer of its session."""

    def __init__(self, server: Host) -> None:
        self._server = server
        self._frames = ServerConnection(max_request_bytes=server.limits.max_request_bytes)
        self._transport: asyncio.Transport | None = None
        self._session: Session | None = None
        self._reads = True
        self._writes = True
        self._reserved = 0
        self._last_byte = server.monotonic()

    # What asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername") or ("unknown", 0)
        address = f"{peer[0]}:{peer[1]}"
        if not self._server.admit(self):
            if not self._server.is_stopping:
                most = self._server.limits.max_connections
                self._server.warnings.warn("connection from %s refused: %d are open", address, most)
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
            # Not writelines: from Python 3.12 on an empty last part stays in its buffer, which then never counts as
            # written and keeps the socket open, and what it cannot write at once does not call pause_writing.
            self._transport.write(b"".join(parts))
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
                self._release()
                self._server.dispatcher.receive(session, frame)
        except RemoteProtocolError as error:
            self.drop(str(error))
            return
        self._reserve(session)
        self._balance()

    def drop_if_stuck(self, now: float) -> None:
        """End a connection that stopped in the middle of a frame, or that nobody logs in to."""
        if not self._reads or now - self._last_byte <= self._server.limits.frame_timeout:
            return
        session = self._session
        if self._frames.buffered_bytes:
            self.drop("nothing came in the middle of a frame")
        elif session is not None and session.user_id is None and session.is_idle:
            self.drop("it was silent and not logged in")

    def drop(self, reason: str) -> None:
        """End the connection at once."""
        if self._transport is not None and self._session is not None:
            self._server.warnings.warn("connection from %s dropped: %s", self._session.address, reason)
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
