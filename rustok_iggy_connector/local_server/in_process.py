"""The local server without a process and without sockets: requests become frames, go through the same dispatch, and
their replies come back at once. Nothing is kept when it is closed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rustok_iggy_connector.local_server.broker import Broker, Surroundings
from rustok_iggy_connector.local_server.dispatch import Dispatcher
from rustok_iggy_connector.local_server.storage.contract import Storage
from rustok_iggy_connector.local_server.storage.memory import MemoryStorage
from rustok_iggy_connector.wire.codec import Refusal, decode_reply
from rustok_iggy_connector.wire.codes import PROTOCOL_VERSION, EvictionReason
from rustok_iggy_connector.wire.commands import COMMAND_OF_REQUEST, Message
from rustok_iggy_connector.wire.commands.session import Login
from rustok_iggy_connector.wire.connection import (
    ClientConnection,
    EvictionFrame,
    ReplyFrame,
    RequestFrame,
    ServerConnection,
)
from rustok_iggy_connector.wire.primitives import Buffer

ROOT: Final = "iggy"
"""Name and password of root: there is nobody to keep out of one's own process."""


class EvictedError(Exception):
    """The server ended the session; `reason` says why."""

    def __init__(self, reason: EvictionReason) -> None:
        self.reason = reason
        super().__init__(reason.name.lower())


class InProcessServer:
    """A server of its own, for one thread. `storage` must commit before it returns, as MemoryStorage does."""

    def __init__(self, *, storage: Storage | None = None, surroundings: Surroundings | None = None) -> None:
        self._broker = Broker(storage or MemoryStorage(), surroundings=surroundings)
        self._broker.ensure_root(ROOT, ROOT)
        self._dispatcher = Dispatcher(self._broker)
        self._last_client = 0

    def open_session(self, *, client: int | None = None) -> InProcessSession:
        """A connection that is not logged in yet, of a new client or of one that comes back."""
        self._last_client += 1
        return InProcessSession(self._broker, self._dispatcher, client=client or self._last_client)

    def tick(self) -> None:
        """Let time pass for groups and retention; call it about once a second."""
        for session in self._broker.tick():
            self._dispatcher.evict(session)

    def close(self) -> None:
        """Forget everything. Idempotent."""
        self._broker.storage.close()


class InProcessSession:
    """One connection; the Peer of its session."""

    def __init__(self, broker: Broker, dispatcher: Dispatcher, *, client: int) -> None:
        self._dispatcher = dispatcher
        self.client = client
        self._client = ClientConnection(client=client)
        self._server = ServerConnection()
        self._session = broker.open_session(self, address="in-process")

    @property
    def is_open(self) -> bool:
        """Whether requests can still be made."""
        return not self._session.closed

    def log_in(self, username: str = ROOT, password: str = ROOT) -> None:
        """Raises EvictedError when it is refused."""
        self.request(
            Login(
                protocol_version=PROTOCOL_VERSION,
                sdk_name="in-process",
                sdk_version="0",
                username=username,
                password=password,
            )
        )

    def request(self, request: Message) -> Message | Refusal | None:
        """The reply; None when there is no such thing. Raises EvictedError when the server ends the session with it.

        The session must be open.
        """
        self._server.receive_data(self._client.send(request))
        frame = self._server.next_frame()
        assert isinstance(frame, RequestFrame)
        self._dispatcher.receive(self._session, frame)
        reply = self._client.next_frame()
        if isinstance(reply, EvictionFrame):
            raise EvictedError(reply.header.reason)
        assert isinstance(reply, ReplyFrame)
        return decode_reply(COMMAND_OF_REQUEST[type(request)], reply.header, reply.body)

    def write(self, parts: Sequence[Buffer]) -> None:
        """What the server sends."""
        for part in parts:
            self._client.receive_data(part)

    def close(self) -> None:
        """End the connection, by either side; memberships go with it. Idempotent."""
        self._dispatcher.end(self._session)
