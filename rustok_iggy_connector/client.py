"""The seam to a server: one session, five calls. Everything above it is the same for every way of reaching one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self, TypeVar

from rustok_iggy_connector.models import PublishBatch, ReceivedMessage
from rustok_iggy_connector.wire.codes import Command
from rustok_iggy_connector.wire.commands import COMMAND_OF_REQUEST, Message
from rustok_iggy_connector.wire.primitives import Consumer, PollingStrategy


class Reply(Protocol):
    """A reply class of wire.commands."""

    @classmethod
    def decode(cls, data: bytes) -> Self: ...


ReplyT = TypeVar("ReplyT", bound=Reply)


@dataclass(frozen=True, slots=True, kw_only=True)
class PollRequest:
    """Messages of one partition, at most `count`; nothing is committed."""

    consumer: Consumer
    stream: str
    topic: str
    partition_id: int
    strategy: PollingStrategy
    count: int


class Client(ABC):
    """One session: one connection, one login, one request at a time; the caller sees to the last.

    Every call has the deadline that the session was opened with. A session that missed one, or whose connection went,
    is no longer `usable` and answers every call with ConnectionLostError. Cancelling a call does not take it back.

    All calls raise the server's refusals as errors (refusals.py), ConnectionLostError, RequestTimeoutError, and
    ConnectorClosedError after close() or in a forked child.
    """

    @property
    @abstractmethod
    def usable(self) -> bool: ...

    @abstractmethod
    async def request(self, command: Command, body: bytes, *, subject: str) -> bytes:
        """Send a command (wire.commands encodes its body); the reply's body without the result section.

        `subject` is what errors say the request was about.
        """

    @abstractmethod
    async def send(self, batch: PublishBatch, *, subject: str) -> int:
        """Store the messages in order, all or none; the offset of the first."""

    @abstractmethod
    async def poll(self, request: PollRequest, *, subject: str) -> Sequence[ReceivedMessage]:
        """Messages in ascending order of offset."""

    @abstractmethod
    async def close(self) -> None:
        """Log out and release everything. Idempotent, has a deadline of its own, raises nothing of the server's."""

    async def ask(self, request: Message, reply: type[ReplyT], *, subject: str) -> ReplyT | None:
        """Send a request of wire.commands; its decoded reply, None when the server answers with nothing."""
        body = await self.request(COMMAND_OF_REQUEST[type(request)], request.encode(), subject=subject)
        return reply.decode(body) if body else None

    async def tell(self, request: Message, *, subject: str) -> None:
        """Send a request whose reply says no more than that it was done."""
        await self.request(COMMAND_OF_REQUEST[type(request)], request.encode(), subject=subject)
