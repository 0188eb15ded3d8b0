"""What reaches the server from outside of the processes under test: events, late copies, an operator's requests.

Nothing of it goes wrong: it lands at once.
"""

from __future__ import annotations

import random
from uuid import UUID

from msgspec.structs import replace

from rustok_iggy.dead_letters.layout import encode_record
from rustok_iggy.dead_letters.records import Action, Request, Selection
from rustok_iggy_connector import OutgoingMessage
from rustok_iggy_connector.models import PublishBatch
from tests.consumer.hosts import counted
from tests.consumer.scripted import SERIALIZER
from tests.model.handlers import Moods
from tests.model.history import DLQ, DOMAIN, GROUP, STREAM, History, Published
from tests.model.network import SimulatedServer
from tests.model.virtual_time import World, at_once

TENANTS = 3
SHARE_BROKEN = 0.03
"""Of the events: no handler can take them until they are mended."""


class Outside:
    """Publishers and the operator. `is_over`: no event is broken any more."""

    def __init__(
        self, world: World, server: SimulatedServer, history: History, moods: Moods, chance: random.Random
    ) -> None:
        self.world = world
        self.server = server
        self.history = history
        self.moods = moods
        self.chance = chance
        self.is_over = False
        self._client = server.open_client()
        self._sent: list[tuple[int, OutgoingMessage, UUID]] = []
        self._next_id = 0

    def publish(self) -> None:
        tenant = UUID(int=1 + self.chance.randrange(TENANTS))
        for _ in range(self.chance.choice([1, 1, 3, 8])):
            self._next_id += 1
            number = len(self.history.by_tenant[tenant]) + 1
            envelope = replace(counted(number, tenant), id=UUID(int=1000 + self._next_id))
            message = OutgoingMessage(id=envelope.id, payload=SERIALIZER.encode(envelope))
            partition = tenant.int % self.history.partitions
            self._sent.append((partition, message, tenant))
            self._store(partition, message)
            self.history.published(Published(id=envelope.id, tenant=tenant, number=number, partition=partition))
            if self.chance.random() < SHARE_BROKEN and not self.is_over:
                self.moods.broken.add(envelope.id)

    def publish_a_late_copy(self) -> None:
        if self._sent:
            partition, message, _ = self.chance.choice(self._sent[-20:])
            self._store(partition, message)
            self.history.published(self.history.events[message.id])

    def break_an_event(self) -> None:
        if self._sent:
            self.moods.broken.add(self._sent[-1][1].id)

    def mend_events(self) -> None:
        self.moods.broken.clear()

    def redrive(self) -> None:
        self.ask(Action.REDRIVE, self._selection())

    def discard(self) -> None:
        self.ask(Action.DISCARD, self._selection())

    def _selection(self) -> Selection:
        letters = self.history.open_letters
        choice = self.chance.randrange(3)
        if choice == 0 or not letters:
            return Selection(everything=True)
        partition, offset = self.chance.choice(letters)
        event = self.history.events[self.history.logs[partition][offset]]
        return Selection(tenants=(event.tenant,)) if choice == 1 else Selection(event_ids=(event.id,))

    def ask(self, action: Action, selection: Selection, *, force: bool = False) -> None:
        """As an operator does: the same request to each partition of the dlq topic."""
        self._next_id += 1
        seen = {partition: self.history.records(partition) - 1 for partition in range(self.history.dlq_partitions)}
        for partition, last in seen.items():
            request = Request(
                id=UUID(int=5_000_000 + self._next_id),
                group=GROUP,
                action=action,
                selection=selection,
                requested_at=round(self.world.now * 1_000_000),
                requested_by="the operator",
                reason="why not",
                seen=max(last, 0) if action is Action.DISCARD else None,
                force=force,
            )
            encoded = encode_record(request)
            message = OutgoingMessage(id=request.id, payload=encoded.payload, headers=encoded.headers)
            batch = self._store(partition, message, topic=DLQ)
            self.history.landed("operator", batch)

    def _store(self, partition: int, message: OutgoingMessage, *, topic: str = DOMAIN) -> PublishBatch:
        batch = PublishBatch(stream=STREAM, topic=topic, partition_id=partition, messages=(message,))
        if not self._client.usable:
            self._client = self.server.open_client()
        at_once(self._client.send(batch, subject="what the outside sends"))
        return batch
