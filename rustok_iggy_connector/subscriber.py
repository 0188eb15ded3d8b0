"""Reading a topic over one session: as a member of a consumer group, or plainly."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import NoReturn, TypeVar

from rustok_iggy_connector.client import Client, PollRequest
from rustok_iggy_connector.connector import MessageSubscriber
from rustok_iggy_connector.errors import InvalidRequestError, NotAssignedError, NotFoundError
from rustok_iggy_connector.models import Assignment, CommittedOffset, PolledMessages
from rustok_iggy_connector.names import group_of, partition_of, topic_of
from rustok_iggy_connector.roll_call import RollCall
from rustok_iggy_connector.sessions import Session
from rustok_iggy_connector.wire.commands import groups, offsets, topics
from rustok_iggy_connector.wire.primitives import Consumer, ConsumerKind, PollingStrategy, StrategyKind

NO_NAME = Consumer(ConsumerKind.SINGLE, 0)
"""The reader that stores nothing. Also used by members to look around: polls of a group count as progress of it."""

_T = TypeVar("_T")

_NOT_A_MEMBER = Assignment(generation=0, partitions=())


class SessionSubscriber(MessageSubscriber):
    """What members and plain readers share."""

    def __init__(
        self,
        session: Session,
        *,
        stream: str,
        topic: str,
        consumer: Consumer,
        forget: Callable[[SessionSubscriber], object],
    ) -> None:
        self.session = session
        self._stream = stream
        self._topic = topic
        self._consumer = consumer
        self._forget = forget

    async def poll(self, partition_id: int, *, offset: int, max_messages: int) -> PolledMessages:
        return await self._read(self._consumer, partition_id, offset, max_messages)

    async def peek(self, partition_id: int, *, offset: int, max_messages: int) -> PolledMessages:
        return await self._read(NO_NAME, partition_id, offset, max_messages)

    async def committed(self, partition_id: int) -> CommittedOffset | None:
        found = await self._run(lambda client: self._stored(client, partition_id))
        return None if found is None else CommittedOffset(committed=found.stored_offset, current=found.current_offset)

    async def commit(self, partition_id: int, *, offset: int) -> None:
        if offset < 0:
            raise InvalidRequestError(f"commit of offset {offset}: offsets start at 0")
        request = offsets.StoreOffset(
            consumer=self._consumer, stream=self._stream, topic=self._topic, partition_id=partition_id, offset=offset
        )

        async def store(client: Client) -> None:
            try:
                await client.request(request, subject=self._partition(partition_id))
            except NotFoundError as error:
                await self._explain(client, partition_id, error)

        await self._run(store)

    async def first_offset_since(self, partition_id: int, *, timestamp: int) -> int | None:
        strategy = PollingStrategy(StrategyKind.TIMESTAMP, max(timestamp, 0))
        messages = await self._poll(NO_NAME, partition_id, strategy, 1)
        return messages[0].offset if messages else None

    async def lag(self) -> dict[int, int]:
        owned = (await self.assignment()).partitions
        return await self._run(lambda client: self._lag_of(client, owned))

    async def leave(self) -> None:
        self._forget(self)
        await self.session.close()

    async def _run(self, call: Callable[[Client], Awaitable[_T]]) -> _T:
        return await self.session.run(call)

    async def _read(self, consumer: Consumer, partition_id: int, offset: int, count: int) -> PolledMessages:
        if offset < 0 or count < 1:
            raise InvalidRequestError(f"poll from offset {offset}, {count} messages: neither may be that small")
        return await self._poll(consumer, partition_id, PollingStrategy(StrategyKind.OFFSET, offset), count)

    async def _poll(
        self, consumer: Consumer, partition_id: int, strategy: PollingStrategy, count: int
    ) -> PolledMessages:
        request = PollRequest(
            consumer=consumer,
            stream=self._stream,
            topic=self._topic,
            partition_id=partition_id,
            strategy=strategy,
            count=count,
        )
        return await self._run(lambda client: client.poll(request, subject=self._partition(partition_id)))

    async def _stored(self, client: Client, partition_id: int) -> offsets.OffsetInfo | None:
        request = offsets.GetOffset(
            consumer=self._consumer, stream=self._stream, topic=self._topic, partition_id=partition_id
        )
        return await client.ask(request, offsets.OffsetInfo, subject=self._partition(partition_id))

    async def _details(self, client: Client) -> topics.TopicDetails:
        subject = topic_of(self._stream, self._topic)
        found = await client.ask(
            topics.GetTopic(stream=self._stream, topic=self._topic), topics.TopicDetails, subject=subject
        )
        if found is None:
            raise NotFoundError(f"{subject} does not exist (any more)", command="get_topic")
        return found

    async def _lag_of(self, client: Client, owned: Sequence[int]) -> dict[int, int]:
        messages = {partition.id: partition.messages_count for partition in (await self._details(client)).partitions}
        lag = {}
        for partition_id in owned:
            stored = await self._stored(client, partition_id)
            behind = messages.get(partition_id, 0) if stored is None else stored.current_offset - stored.stored_offset
            lag[partition_id] = max(behind, 0)
        return lag

    async def _explain(self, client: Client, partition_id: int, error: NotFoundError) -> NoReturn:
        """What a refused commit means: a missing topic or partition, and a partition of somebody else look alike."""
        partitions = (await self._details(client)).topic.partitions_count
        if partition_id >= partitions or self._consumer.kind is ConsumerKind.SINGLE:
            raise error
        raise NotAssignedError(
            f"this member does not own {self._partition(partition_id)}; read the assignment again",
            status=error.status,
            name=error.name,
            command=error.command,
        ) from error

    def _partition(self, partition_id: int) -> str:
        return partition_of(self._stream, self._topic, partition_id)


class GroupMember(SessionSubscriber):
    """A member of a consumer group. The membership is the session's: a new session has to join again.

    `roll` None: the server forgets members, or who died is known otherwise.
    """

    def __init__(
        self,
        session: Session,
        *,
        stream: str,
        topic: str,
        group: str,
        roll: RollCall | None,
        forget: Callable[[SessionSubscriber], object],
    ) -> None:
        consumer = Consumer(ConsumerKind.GROUP, group)
        super().__init__(session, stream=stream, topic=topic, consumer=consumer, forget=forget)
        self._group = group
        self._roll = roll

    async def assignment(self) -> Assignment:
        return await self.session.run(self._sync_or_join)

    async def _sync_or_join(self, client: Client) -> Assignment:
        sync = groups.SyncGroup(stream=self._stream, topic=self._topic, group=self._group)
        subject = group_of(self._stream, self._topic, self._group)
        owned = await client.ask(sync, groups.Assignment, subject=subject)
        if owned is None:
            if self._roll is not None:
                await self._roll.enter(client)
            await client.request(
                groups.JoinGroup(stream=self._stream, topic=self._topic, group=self._group), subject=subject
            )
            owned = await client.ask(sync, groups.Assignment, subject=subject)
            if self._roll is not None:
                self._roll.begin(self.session)
        return _NOT_A_MEMBER if owned is None else Assignment(generation=owned.generation, partitions=owned.partitions)

    async def _run(self, call: Callable[[Client], Awaitable[_T]]) -> _T:
        return await self.session.run_as_member(call)


class PlainReader(SessionSubscriber):
    """Reads every partition. With a name it can commit, and its session may be opened again at any time."""

    def __init__(
        self,
        session: Session,
        *,
        stream: str,
        topic: str,
        consumer: str | None,
        forget: Callable[[SessionSubscriber], object],
    ) -> None:
        reader = NO_NAME if consumer is None else Consumer(ConsumerKind.SINGLE, consumer)
        super().__init__(session, stream=stream, topic=topic, consumer=reader, forget=forget)

    async def assignment(self) -> Assignment:
        details = await self.session.run(self._details)
        return Assignment(generation=0, partitions=tuple(partition.id for partition in details.partitions))

    async def committed(self, partition_id: int) -> CommittedOffset | None:
        # Reader 0 is shared by everybody without a name; what it stored is nobody's.
        return None if self._consumer is NO_NAME else await super().committed(partition_id)

    async def commit(self, partition_id: int, *, offset: int) -> None:
        if self._consumer is NO_NAME:
            raise InvalidRequestError("a reader without a name cannot commit; subscribe with consumer= or group=")
        await super().commit(partition_id, offset=offset)
