"""The seam to a server: one session, five calls. Everything above it is the same for every way of reaching one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TypeVar

from rustok_iggy_connector.errors import RemoteProtocolError
from rustok_iggy_connector.models import PolledMessages, PublishBatch
from rustok_iggy_connector.wire.commands import Message
from rustok_iggy_connector.wire.primitives import Consumer, PollingStrategy

ReplyT = TypeVar("ReplyT", bound=Message)


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
    async def request(self, request: Message, *, subject: str) -> Message | None:
        """Send any request of wire.commands but logins and sends; its reply, None when there is no such thing.

        `subject` is what errors say the request was about.
        """

    @abstractmethod
    async def send(self, batch: PublishBatch, *, subject: str) -> int:
        """Store the messages in order, all or none; the offset of the first."""

    @abstractmethod
    async def poll(self, request: PollRequest, *, subject: str) -> PolledMessages:
        """Messages in ascending order of offset."""

    @abstractmethod
    async def close(self) -> None:
        """Log out and release everything. Idempotent, has a deadline of its own, raises nothing of the server's."""

    async def ask(self, request: Message, reply: type[ReplyT], *, subject: str) -> ReplyT | None:
        """The same, for a request whose reply has this type."""
        answer = await self.request(request, subject=subject)
        if answer is not None and not isinstance(answer, reply):
            raise RemoteProtocolError(f"{type(answer).__name__} in answer to {type(request).__name__}")
        return answer
