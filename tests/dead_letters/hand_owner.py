"""An owner of source partitions who writes by hand what a test wants, and a stream in memory to write it into."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

from msgspec.structs import replace

from rustok_iggy import DlqManager, EventEnvelope, JsonSerializer, SerializationFormat
from rustok_iggy.dead_letters.layout import Original, encode_original, encode_record
from rustok_iggy.dead_letters.originals import OriginalReader
from rustok_iggy.dead_letters.records import (
    AnyRecord,
    Attempt,
    Epoch,
    Letter,
    Outcome,
    RequestEnd,
    Settlement,
    Source,
)
from rustok_iggy.message import message_headers
from rustok_iggy_connector import (
    IggyConnector,
    InMemoryConnector,
    MemoryServer,
    MessageSubscriber,
    PublishRequest,
    TopicSpec,
)
from tests.consumer.hosts import catalog, counted
from tests.dead_letters.journal_records import claim, epoch, failure, letter, release, tenant

STREAM = "rustok"
NOW = 1_700_000_000_000_000
SERIALIZER = JsonSerializer(catalog)


def source(partition: int, *, group: str = "billing", topic: str = "domain") -> Source:
    return Source(group=group, topic=topic, partition=partition)


def original_of(envelope: EventEnvelope) -> Original:
    headers = message_headers(envelope.tenant_id, format=SerializationFormat.JSON)
    return Original(headers=headers, payload=SERIALIZER.encode(envelope))


@dataclass
class HandOwner:
    """Owns `source` under one epoch and writes to its dlq partition."""

    connector: IggyConnector
    source: Source
    dlq_partitions: int = 4
    epoch: Epoch = field(default_factory=lambda: epoch(1))
    claimed_at: int = -1
    member: MessageSubscriber | None = None

    async def append(self, record: AnyRecord, *, body: bytes = b"") -> int:
        message = encode_record(record, body=body)
        confirmation = await self.connector.publish(
            PublishRequest(
                stream=STREAM,
                topic="dlq",
                partition_id=self.source.partition % self.dlq_partitions,
                payload=message.payload,
                headers=message.headers,
                event_id=uuid4(),
            )
        )
        return confirmation.offset

    async def claim(self, *, committed: int = -1) -> None:
        self.claimed_at = await self.append(replace(claim(self.epoch, committed=committed), source=self.source))

    async def join(self) -> None:
        """Become a real member of the group, as far as the server can tell."""
        admin = self.connector.admin
        where = {"stream": STREAM, "topic": self.source.topic, "group": self.source.group}
        if await admin.describe_group(**where) is None:
            await admin.create_group(**where)
        self.member = await self.connector.subscribe(**where)
        await self.member.assignment()

    async def release(self) -> None:
        record = release(self.epoch, closes=self.claimed_at)
        await self.append(replace(record, source=self.source))

    async def letter(self, offset: int, of: int | None = 0, *, original: Original | None = None, **facts: Any) -> int:
        record: Letter = letter(self.epoch, offset, of, source=self.source, **facts)
        kept = original or Original(headers={}, payload=b"not an event")
        return await self.append(record, body=encode_original(kept))

    async def attempt(self, offset: int, request: UUID, *, number: int = 1) -> None:
        await self.append(Attempt(source=self.source, epoch=self.epoch, offset=offset, number=number, request=request))

    async def settle(self, offset: int, outcome: Outcome, request: UUID, *, number: int = 1) -> None:
        await self.append(
            Settlement(
                source=self.source,
                epoch=self.epoch,
                offset=offset,
                number=number,
                request=request,
                outcome=outcome,
                settled_at=NOW,
                failure=failure() if outcome is Outcome.FAILED else None,
            )
        )

    async def end(self, request: UUID, *, handled: int = 0, failed: int = 0, aborted: bool = False) -> None:
        await self.append(
            RequestEnd(
                source=self.source,
                epoch=self.epoch,
                request=request,
                handled=handled,
                failed=failed,
                discarded=0,
                aborted=aborted,
            )
        )


@dataclass
class Host:
    """A stream with topics domain (8), system (1) and dlq (4 partitions)."""

    connector: IggyConnector
    manager: DlqManager

    async def owner(self, partition: int, *, group: str = "billing", topic: str = "domain", **facts: Any) -> HandOwner:
        """An owner that has claimed a partition."""
        owner = HandOwner(self.connector, source(partition, group=group, topic=topic), **facts)
        await owner.claim()
        return owner


def manager_of(connector: IggyConnector, **surroundings: Any) -> DlqManager:
    originals = OriginalReader({SerializationFormat.JSON: SERIALIZER}, SerializationFormat.JSON)
    return DlqManager(connector, stream=STREAM, originals=originals, now=lambda: NOW, **surroundings)


@asynccontextmanager
async def open_host(server: MemoryServer | None = None, *, dlq: int = 4, **surroundings: Any) -> AsyncIterator[Host]:
    async with InMemoryConnector(server or MemoryServer()) as connector:
        await connector.admin.create_stream(STREAM)
        for name, partitions in (("domain", 8), ("system", 1), ("dlq", dlq)):
            await connector.admin.create_topic(stream=STREAM, spec=TopicSpec(name=name, partitions=partitions))
        yield Host(connector, manager_of(connector, **surroundings))


def event_of(number: int, of: int = 0) -> EventEnvelope:
    return counted(number, tenant(of))
