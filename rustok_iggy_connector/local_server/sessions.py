"""Who is connected: one session a connection, from its opening to its end."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rustok_iggy_connector.wire.connection import RequestFrame
from rustok_iggy_connector.wire.primitives import Buffer


class Peer(Protocol):
    """The other end of a session."""

    def write(self, parts: Sequence[Buffer]) -> None:
        """Send one frame, its parts one after the other. Does nothing once the connection is gone."""

    def close(self) -> None:
        """End the connection after what was written. Idempotent."""


@dataclass(slots=True, kw_only=True, eq=False)
class Session:
    """One connection. `id` counts connections from 1; `number` counts logins, 0 before the first; `client` is the id
    that the client made up for its login.

    `waiting` holds requests that must wait for earlier ones, `under_way` counts those that started and are not
    answered, `bytes_held` the bytes of both.
    """

    id: int
    address: str
    peer: Peer = field(repr=False)
    last_heard: float
    user_id: int | None = None
    number: int = 0
    client: int = 0
    waiting: deque[RequestFrame] = field(default_factory=deque, repr=False)
    under_way: int = 0
    sends_only: bool = False
    draining: bool = False
    bytes_held: int = 0
    closed: bool = False

    @property
    def is_idle(self) -> bool:
        """Whether every request was answered."""
        return not self.under_way and not self.waiting
