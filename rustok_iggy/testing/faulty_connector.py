"""A connector whose server refuses what faults say, and which a dying process loses all at once."""

from __future__ import annotations

from rustok_iggy.testing.faults import Faults
from rustok_iggy_connector import (
    Assignment,
    BatchConfirmation,
    CommittedOffset,
    ConnectorClosedError,
    ConnectorStatistics,
    IggyConnector,
    MessageSubscriber,
    PolledMessages,
    PublishBatch,
    PublishConfirmation,
    PublishRequest,
    ServerInfo,
    TopologyAdmin,
)


class FaultyConnector(IggyConnector):
    """All that a process has of its server. After die() nothing of that process reaches it, not even a farewell."""

    def __init__(self, connector: IggyConnector, faults: Faults) -> None:
        self._connector = connector
        self._faults = faults
        self._is_dead = False

    def die(self) -> None:
        """Cut the process off, as kill −9 does: what it has not committed by now stays uncommitted."""
        self._is_dead = True

    def check_alive(self) -> None:
        """Raise ConnectorClosedError when the process is dead."""
        if self._is_dead:
            raise ConnectorClosedError("this process was killed on purpose")

    async def connect(self) -> None:
        await self._connector.connect()

    async def publish(self, request: PublishRequest) -> PublishConfirmation:
        self.check_alive()
        self._faults.check(request.topic)
        return await self._connector.publish(request)

    async def publish_batch(self, batch: PublishBatch) -> BatchConfirmation:
        self.check_alive()
        self._faults.check(batch.topic)
        return await self._connector.publish_batch(batch)

    async def subscribe(
        self, *, stream: str, topic: str, group: str | None = None, consumer: str | None = None
    ) -> MessageSubscriber:
        self.check_alive()
        subscriber = await self._connector.subscribe(stream=stream, topic=topic, group=group, consumer=consumer)
        return FaultySubscriber(subscriber, self)

    @property
    def admin(self) -> TopologyAdmin:
        self.check_alive()
        return self._connector.admin

    @property
    def server(self) -> ServerInfo:
        return self._connector.server

    def statistics(self) -> ConnectorStatistics:
        return self._connector.statistics()

    async def shutdown(self) -> None:
        await self._connector.shutdown()


class FaultySubscriber(MessageSubscriber):
    """A subscriber of a process that may die."""

    def __init__(self, subscriber: MessageSubscriber, connector: FaultyConnector) -> None:
        self._subscriber = subscriber
        self._connector = connector

    async def assignment(self) -> Assignment:
        self._connector.check_alive()
        return await self._subscriber.assignment()

    async def poll(self, partition_id: int, *, offset: int, max_messages: int) -> PolledMessages:
        self._connector.check_alive()
        return await self._subscriber.poll(partition_id, offset=offset, max_messages=max_messages)

    async def peek(self, partition_id: int, *, offset: int, max_messages: int) -> PolledMessages:
        self._connector.check_alive()
        return await self._subscriber.peek(partition_id, offset=offset, max_messages=max_messages)

    async def committed(self, partition_id: int) -> CommittedOffset | None:
        self._connector.check_alive()
        return await self._subscriber.committed(partition_id)

    async def commit(self, partition_id: int, *, offset: int) -> None:
        self._connector.check_alive()
        await self._subscriber.commit(partition_id, offset=offset)

    async def first_offset_since(self, partition_id: int, *, timestamp: int) -> int | None:
        self._connector.check_alive()
        return await self._subscriber.first_offset_since(partition_id, timestamp=timestamp)

    async def lag(self) -> dict[int, int]:
        self._connector.check_alive()
        return await self._subscriber.lag()

    async def leave(self) -> None:
        await self._subscriber.leave()
