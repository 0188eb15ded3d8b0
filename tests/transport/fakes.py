"""A connector whose every publish is decided by the test."""

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

from rustok_iggy_connector import (
    BatchConfirmation,
    ConnectorStatistics,
    IggyConnector,
    MessageSubscriber,
    PublishBatch,
    PublishConfirmation,
    PublishRequest,
    ServerInfo,
    TopologyAdmin,
)

Outcome = Exception | None
NOT_STORED = object()


class ScriptedConnector(IggyConnector):
    """Keeps a log per partition. `outcomes` are consumed one a batch: an error to raise, None to store.

    While `gate` is not set, batches wait. `stores_before_failing` makes an error come after the batch was stored.
    """

    def __init__(self, *outcomes: Outcome, stores_before_failing: bool = False) -> None:
        self.outcomes = list(outcomes)
        self.stores_before_failing = stores_before_failing
        self.gate = asyncio.Event()
        self.gate.set()
        self.logs: dict[tuple[str, int], list[UUID]] = {}
        self.batches: list[Sequence[UUID]] = []
        self.in_flight: dict[tuple[str, int], int] = {}
        self.most_in_flight = 0
        self.on_batch: Callable[[PublishBatch], None] = lambda batch: None

    async def publish_batch(self, batch: PublishBatch) -> BatchConfirmation:
        place = (batch.topic, batch.partition_id)
        self.in_flight[place] = self.in_flight.get(place, 0) + 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight[place])
        try:
            sent = [message.id for message in batch.messages]
            self.batches.append(sent)
            self.on_batch(batch)
            await self.gate.wait()
            outcome = self.outcomes.pop(0) if self.outcomes else None
            log = self.logs.setdefault(place, [])
            first = len(log)
            if outcome is None or self.stores_before_failing:
                log += sent
            if outcome is not None:
                raise outcome
            return BatchConfirmation(
                topic=batch.topic, partition_id=batch.partition_id, first_offset=first, count=len(sent)
            )
        finally:
            self.in_flight[place] -= 1

    async def connect(self) -> None:
        return

    async def shutdown(self) -> None:
        return

    async def publish(self, request: PublishRequest) -> PublishConfirmation:
        raise NotImplementedError

    async def subscribe(
        self, *, stream: str, topic: str, group: str | None = None, consumer: str | None = None
    ) -> MessageSubscriber:
        raise NotImplementedError

    @property
    def admin(self) -> TopologyAdmin:
        raise NotImplementedError

    @property
    def server(self) -> ServerInfo:
        return ServerInfo(engine="scripted", version="0", address="nowhere")

    def statistics(self) -> ConnectorStatistics:
        raise NotImplementedError
