"""A Client over wire/ for members of groups: it chooses its own client id, which the wheel lets nobody do.

iggy-server knows a member by the client id in its frames and keeps members when it is restarted (docs/decisions/0006).
Whoever logs in with the id of a member is that member again; a logout with it ends the membership.

One request at a time: a server answers a ping, which it writes nowhere, before a store that came earlier and is being
written (measured on iggy-server 0.9.0-edge.5), and nothing in a reply tells two requests apart that change nothing. A
caller that is cancelled leaves its place, and the next one waits for that reply; a missed deadline ends the session.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from functools import partial

from rustok_iggy_connector._sdk import HEARTBEAT_INTERVAL, LOGOUT_TIMEOUT
from rustok_iggy_connector.alarm import Alarm
from rustok_iggy_connector.errors import (
    ConnectionLostError,
    ConnectorClosedError,
    LocalProtocolError,
    RemoteProtocolError,
    RequestTimeoutError,
)
from rustok_iggy_connector.framed_client import FramedClient
from rustok_iggy_connector.member_identity import MemberIdentity
from rustok_iggy_connector.refusals import closed_during, lost_during, refusal
from rustok_iggy_connector.wire.codec import Refusal, decode_reply
from rustok_iggy_connector.wire.codes import Command, Status
from rustok_iggy_connector.wire.commands import COMMAND_OF_REQUEST, Message, session, system
from rustok_iggy_connector.wire.connection import ClientConnection, EvictionFrame, ReplyFrame, Signal

READ_BYTES = 256 * 1024
"""Bytes read at a time, as much as asyncio asks for by itself. Without a buffer it makes room for so many at each read
and gives it back, and the kernel fills each page of it with zeros: 0.3 µs a message of a poll of 500."""


class Conversation(asyncio.BufferedProtocol):
    """One connection: requests out, each with a future for its reply."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection
        self._read = memoryview(bytearray(READ_BYTES))
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[asyncio.Future[ReplyFrame]] = deque()
        self.evicted: EvictionFrame | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None

    @property
    def is_quiet(self) -> bool:
        """Whether nothing waits for its reply."""
        return not self._waiting

    @property
    def peer(self) -> tuple[str, int]:
        """IP address and port of the server; of a connection that is gone, nothing."""
        host, port = ("", 0) if self._transport is None else self._transport.get_extra_info("peername")[:2]
        return host, port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, _: int) -> memoryview:
        return self._read

    def buffer_updated(self, nbytes: int) -> None:
        try:
            self._connection.receive_data(self._read[:nbytes])
            while not isinstance(frame := self._connection.next_frame(), Signal):
                self._take(frame)
        except RemoteProtocolError as error:
            self.hang_up(error)

    def connection_lost(self, exc: Exception | None) -> None:
        self.hang_up(exc)

    def ask(self, request: Message) -> asyncio.Future[ReplyFrame]:
        """Send it; the future gives the reply, or ConnectionResetError, or RemoteProtocolError."""
        frame = self._connection.send(request)
        if self._transport is None:
            raise ConnectionResetError
        answer: asyncio.Future[ReplyFrame] = asyncio.get_running_loop().create_future()
        self._waiting.append(answer)
        self._transport.write(frame)
        return answer

    def abandon(self, answer: asyncio.Future[ReplyFrame]) -> None:
        """Its caller was cancelled, and it with him: the reply comes all the same, and is not the next caller's."""
        if answer in self._waiting:
            self._waiting[self._waiting.index(answer)] = answer.get_loop().create_future()

    async def quiet(self) -> None:
        """Return when nothing waits for its reply any more."""
        while self._waiting:
            await asyncio.wait(tuple(self._waiting))

    def hang_up(self, cause: Exception | None = None) -> None:
        """End the connection at once, and with it every request under way."""
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()
        waiting, self._waiting = self._waiting, deque()
        for answer in waiting:
            if not answer.done():
                answer.set_exception(cause if isinstance(cause, RemoteProtocolError) else ConnectionResetError())
                answer.exception()  # taken note of: it may be that nobody waits any more

    def _take(self, frame: ReplyFrame | EvictionFrame) -> None:
        if isinstance(frame, EvictionFrame):
            self.evicted = frame
            self.hang_up()
        elif not self._waiting:
            raise RemoteProtocolError("a reply to nothing")
        elif not (answer := self._waiting.popleft()).done():
            answer.set_result(frame)


class WireClient(FramedClient):
    """A session over a connection of its own. Made by wire_login.open_wire_client()."""

    def __init__(
        self, talk: Conversation, connection: ClientConnection, who: MemberIdentity, *, address: str, timeout: float
    ) -> None:
        self._talk = talk
        self._connection = connection
        self._who = who
        self._address = address
        self._timeout = timeout
        self._process = os.getpid()
        self._closed = False
        self._heartbeat: asyncio.TimerHandle | None = None
        self._deadline = Alarm()

    @property
    def usable(self) -> bool:
        return not self._closed and self._talk.is_open

    @property
    def peer(self) -> tuple[str, int]:
        """IP address and port of the server."""
        return self._talk.peer

    def hang_up(self) -> None:
        """End the session without a good-bye; the server logs it out by itself."""
        self._stop_heartbeat()
        self._talk.hang_up()

    async def request(self, request: Message, *, subject: str) -> Message | None:
        command = COMMAND_OF_REQUEST[type(request)]
        name = command.name.lower()
        if not self._talk.is_quiet:
            await self._until_quiet(name, subject)
        answer = self._start(request, name, subject)
        self._deadline.set(answer.get_loop().time() + self._timeout, partial(_expire, answer))
        try:
            frame = await answer
        except asyncio.CancelledError:
            self._talk.abandon(answer)
            raise
        except TimeoutError:
            raise self._missed(name, subject, "it may have been done") from None
        except ConnectionResetError as error:
            if self._closed:
                raise closed_during(name, address=self._address) from None
            raise lost_during(name, address=self._address, subject=subject) from error
        finally:
            self._deadline.stop()
        return self._read(frame, command, subject)

    async def close(self) -> None:
        self._stop_heartbeat()
        was_usable, self._closed = self.usable, True
        if was_usable and os.getpid() == self._process:
            try:
                async with asyncio.timeout(LOGOUT_TIMEOUT):
                    await self._talk.quiet()
                    await self._talk.ask(session.Logout())
                self._who.is_known = False
            except (ConnectionResetError, RemoteProtocolError, TimeoutError):
                pass
            finally:
                self._talk.hang_up()

    def begin(self, reply: session.LoginReply) -> None:
        """The login was answered: go on in its session, and keep it alive."""
        self._connection.begin_session(reply.session)
        self._beat_later()

    async def _until_quiet(self, name: str, subject: str) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._talk.quiet()
        except TimeoutError:
            raise self._missed(name, subject, "it was not sent") from None

    def _missed(self, name: str, subject: str, outcome: str) -> RequestTimeoutError:
        self._talk.hang_up()
        return RequestTimeoutError(
            f"{self._address} did not answer {name} of {subject} within {self._timeout} s; {outcome}. "
            "The session was dropped; the next call opens another",
            command=name,
            timeout=self._timeout,
        )

    def _start(self, request: Message, name: str, subject: str) -> asyncio.Future[ReplyFrame]:
        if os.getpid() != self._process:
            raise ConnectorClosedError(f"this session was opened by process {self._process}: open one in this process")
        if self._closed:
            raise ConnectorClosedError("the connector was shut down")
        if not self._talk.is_open:
            raise ConnectionLostError(f"the session with {self._address} has ended; the request was not sent")
        try:
            answer = self._talk.ask(request)
        except LocalProtocolError as error:
            raise refusal(Status.INVALID_FORMAT, command=name, subject=subject) from error
        self._who.next_request = self._connection.next_request
        return answer

    def _read(self, frame: ReplyFrame, command: Command, subject: str) -> Message | None:
        reply = decode_reply(command, frame.header, frame.body)
        if not isinstance(reply, Refusal):
            return reply
        if reply.status == Status.UNAUTHENTICATED:  # another connection took this id over, or the session was dropped
            self._talk.hang_up()
            raise ConnectionLostError(f"{self._address} no longer knows the session of {subject}")
        raise refusal(reply.status, command=command.name.lower(), subject=subject)

    def _beat_later(self) -> None:
        self._heartbeat = asyncio.get_running_loop().call_later(HEARTBEAT_INTERVAL, self._beat)

    def _beat(self) -> None:
        if self.usable:
            if self._talk.is_quiet:  # else what is under way says that we are alive
                self._talk.ask(system.Ping())
            self._beat_later()

    def _stop_heartbeat(self) -> None:
        if self._heartbeat is not None:
            self._heartbeat.cancel()

    def _now(self) -> int:
        return time.time_ns() // 1000


def _expire(answer: asyncio.Future[ReplyFrame]) -> None:
    if not answer.done():
        answer.set_exception(TimeoutError())
