"""What every connector does once there is a way to open sessions: a pool to publish, one to administer, one each to
read.
"""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from zlib import crc32

from rustok_iggy_connector.administration import SessionAdmin
from rustok_iggy_connector.client import Client
from rustok_iggy_connector.connector import IggyConnector, MessageSubscriber, TopologyAdmin
from rustok_iggy_connector.errors import ConnectorClosedError, InvalidRequestError, LimitExceededError
from rustok_iggy_connector.framed_client import HEADER_OVERHEAD_BYTES
from rustok_iggy_connector.member_identity import MemberIdentity
from rustok_iggy_connector.models import (
    BatchConfirmation,
    ConnectorStatistics,
    OutgoingMessage,
    PublishBatch,
    PublishConfirmation,
    PublishRequest,
    ServerInfo,
)
from rustok_iggy_connector.names import check_names, partition_of
from rustok_iggy_connector.roll_call import RollCall
from rustok_iggy_connector.sessions import Counters, Session, closed
from rustok_iggy_connector.subscriber import GroupMember, PlainReader, SessionSubscriber

MAX_BATCH_BYTES = 64 << 20
"""Largest batch a server takes; it hangs up on a larger one without a word."""
BATCH_HEADER_BYTES = 256
MESSAGE_OVERHEAD_BYTES = 48
"""Frame of each message in a batch (wire.batch)."""
REMEMBERED_ROUTES = 4096
"""Partitions whose session need not be chosen again: four topics of the largest size."""
SHUTDOWN_TIMEOUT = 5.0
"""Seconds for all sessions together; each gives up its good-bye after two."""


CUT_OFF_FOR = 30.0
"""Seconds for which an attempt in vain to reach the server counts. Who consumes tries again all the time, also with
three times the usual connect timeout; who has nothing to publish does not, and must not be unready for ever."""


class SessionConnector(IggyConnector):
    """One partition always goes through the same session, so that its messages stay in order.

    Kinds of it say how the server is reached (`_reach`) and how a session is opened (`_open_client`).
    """

    def __init__(
        self,
        *,
        publish_clients: int,
        request_timeout: float,
        member_timeout: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._publish_clients = publish_clients
        self._request_timeout = request_timeout
        self._member_timeout = member_timeout
        self._counters = Counters()
        self._connecting = asyncio.Lock()
        self._server: ServerInfo | None = None
        self._publishers: tuple[Session, ...] = ()
        self._admin_session: Session | None = None
        self._admin: SessionAdmin | None = None
        self._subscribers: set[SessionSubscriber] = set()
        self._route = lru_cache(maxsize=REMEMBERED_ROUTES)(self._choose_route)

    @abstractmethod
    async def _open_client(self, timeout: float) -> Client:
        """A session whose requests have this timeout in seconds; raises what connect() raises."""

    async def _open_member(self, who: MemberIdentity, timeout: float) -> Client:  # noqa: ARG002 - see below
        """The same, for the member of a group that the server knows by this identity.

        Without it a server that forgets members with their connections makes a new one of each session.
        """
        return await self._open_client(timeout)

    def _new_member(self) -> MemberIdentity:
        """Who a member that subscribes now is for the server."""
        return MemberIdentity()

    def _roll_call(self, who: MemberIdentity, *, stream: str, topic: str, group: str) -> RollCall | None:  # noqa: ARG002 - for kinds that need it
        """Its part in the roll of its group, where nothing else tells who died."""
        return None

    @abstractmethod
    async def _reach(self, session: Session) -> ServerInfo:
        """Make sure that the server answers on this session, and say which one it is."""

    async def connect(self) -> None:
        async with self._connecting:
            if self._server is not None:
                return
            self._counters = Counters()
            admin = self._session(self._request_timeout)
            try:
                self._server = await self._reach(admin)
            except BaseException:
                await admin.close()
                raise
            self._admin_session, self._admin = admin, SessionAdmin(admin)
            self._publishers = tuple(self._session(self._request_timeout) for _ in range(self._publish_clients))
            self._route.cache_clear()

    async def publish(self, request: PublishRequest) -> PublishConfirmation:
        message = OutgoingMessage(id=request.event_id, payload=request.payload, headers=request.headers)
        batch = PublishBatch(
            stream=request.stream, topic=request.topic, partition_id=request.partition_id, messages=(message,)
        )
        offset = await self._send(batch, len(request.payload))
        return PublishConfirmation(request.topic, request.partition_id, offset, request.event_id)

    async def publish_batch(self, batch: PublishBatch) -> BatchConfirmation:
        payload_bytes = sum([len(message.payload) for message in batch.messages])
        _check_size(batch, payload_bytes)
        offset = await self._send(batch, payload_bytes)
        return BatchConfirmation(
            topic=batch.topic, partition_id=batch.partition_id, first_offset=offset, count=len(batch.messages)
        )

    async def subscribe(
        self, *, stream: str, topic: str, group: str | None = None, consumer: str | None = None
    ) -> MessageSubscriber:
        self._connected()
        check_names(stream=stream, topic=topic, group=group, consumer=consumer)
        if group is not None and consumer is not None:
            raise InvalidRequestError("a subscriber is a member of a group or a named reader, not both")
        subscriber = self._subscriber(stream, topic, group, consumer)
        self._subscribers.add(subscriber)
        try:
            await subscriber.assignment()
        except BaseException:
            await subscriber.leave()
            raise
        return subscriber

    @property
    def admin(self) -> TopologyAdmin:
        self._connected()
        if self._admin is None:
            raise closed()
        return self._admin

    @property
    def server(self) -> ServerInfo:
        return self._connected()

    def statistics(self) -> ConnectorStatistics:
        return ConnectorStatistics(
            connected=self._server is not None and not self._is_cut_off(),
            clients=sum(session.usable for session in self._sessions()),
            requests=self._counters.requests,
            messages_published=self._counters.messages_published,
            bytes_published=self._counters.bytes_published,
            reconnects=self._counters.reconnects,
            timeouts=self._counters.timeouts,
            server_restarts=0,
        )

    async def shutdown(self) -> None:
        sessions = self._sessions()
        self._server = self._admin = self._admin_session = None
        self._publishers = ()
        self._subscribers.clear()
        if sessions:
            closing = [asyncio.ensure_future(session.close()) for session in sessions]
            _, late = await asyncio.wait(closing, timeout=SHUTDOWN_TIMEOUT)
            for task in late:
                task.cancel()

    async def _send(self, batch: PublishBatch, payload_bytes: int) -> int:
        session, subject = self._route(batch.stream, batch.topic, batch.partition_id)
        if not all([message.id.int for message in batch.messages]):  # noqa: C419 - a list takes half the time
            raise InvalidRequestError(f"message id 0 for {subject}: the client would replace it by one of its own")
        offset = await session.run(lambda client: client.send(batch, subject=subject))
        self._counters.messages_published += len(batch.messages)
        self._counters.bytes_published += payload_bytes
        return offset

    def _choose_route(self, stream: str, topic: str, partition_id: int) -> tuple[Session, str]:
        """The session for a partition, and what errors call the partition."""
        self._connected()
        check_names(stream=stream, topic=topic)
        subject = partition_of(stream, topic, partition_id)
        if partition_id < 0:
            raise InvalidRequestError(f"{subject}: the numbers of partitions start at 0")
        # Neighbouring partitions of a topic go to different sessions.
        number = crc32(f"{stream}/{topic}".encode()) + partition_id
        return self._publishers[number % len(self._publishers)], subject

    def _subscriber(self, stream: str, topic: str, group: str | None, consumer: str | None) -> SessionSubscriber:
        forget = self._subscribers.discard
        if group is None:
            session = self._session(self._request_timeout)
            return PlainReader(session, stream=stream, topic=topic, consumer=consumer, forget=forget)
        who = self._new_member()
        roll = self._roll_call(who, stream=stream, topic=topic, group=group)
        session = Session(
            partial(self._open_member, who),
            timeout=self._member_timeout,
            counters=self._counters,
            farewell=None if roll is None else roll.leave,
            on_closed=partial(_member_gone, who, roll),
            clock=self._clock,
        )
        return GroupMember(session, stream=stream, topic=topic, group=group, roll=roll, forget=forget)

    def _session(self, timeout: float) -> Session:
        return Session(self._open_client, timeout=timeout, counters=self._counters, clock=self._clock)

    def _is_cut_off(self) -> bool:
        """Whether the server could not be reached just now, and nothing was answered since."""
        since = self._counters.cut_off_at
        return since is not None and self._clock() - since < CUT_OFF_FOR

    def _sessions(self) -> list[Session]:
        own = () if self._admin_session is None else (self._admin_session,)
        return [*own, *self._publishers, *(subscriber.session for subscriber in self._subscribers)]

    def _connected(self) -> ServerInfo:
        if self._server is None:
            raise ConnectorClosedError("the connector is not connected: use it within `async with`, or call connect()")
        return self._server


def _member_gone(who: MemberIdentity, roll: RollCall | None) -> None:
    if roll is not None:
        roll.stop()
    who.release()


def _check_size(batch: PublishBatch, payload_bytes: int) -> None:
    """Refuse a batch that is empty, or so large that the server would hang up. One message has limits of its own."""
    count = len(batch.messages)
    if count == 1:
        return
    subject = partition_of(batch.stream, batch.topic, batch.partition_id)
    if not count:
        raise InvalidRequestError(f"a batch for {subject} holds no message")
    size = BATCH_HEADER_BYTES + count * MESSAGE_OVERHEAD_BYTES + payload_bytes + _all_headers_bytes(batch)
    if size > MAX_BATCH_BYTES:
        raise LimitExceededError(f"{size} bytes for {subject} in one batch; at most {MAX_BATCH_BYTES} go: split it")


def _all_headers_bytes(batch: PublishBatch) -> int:
    """The headers of all messages. Neighbours mostly share theirs: those are counted once."""
    total = size = 0
    last: Mapping[str, bytes] | None = None
    for message in batch.messages:
        if message.headers is not last:
            last = message.headers
            size = headers_bytes(last) if last else 0
        total += size
    return total


def headers_bytes(headers: Mapping[str, bytes]) -> int:
    """What headers take on the wire: key and value with a kind and a length each (wire.fields)."""
    return sum([len(key) + len(value) for key, value in headers.items()]) + len(headers) * HEADER_OVERHEAD_BYTES
