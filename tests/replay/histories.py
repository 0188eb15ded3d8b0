"""A log in memory with known events, and transports on it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from rustok_iggy import DeliveryContext, EventEnvelope, IggyConfig, JsonSerializer, MemoryTransport
from rustok_iggy_connector import InMemoryConnector, MemoryServer, OutgoingMessage, PublishBatch
from tests.consumer.hosts import Counted, catalog, counted

TENANTS = tuple(UUID(int=number) for number in range(1, 6))
SERIALIZER = JsonSerializer(catalog)


@asynccontextmanager
async def opened(server: MemoryServer | None = None, *, partitions: int = 2) -> AsyncIterator[MemoryTransport]:
    config = IggyConfig(topology={"domain_partitions": partitions}, consumer={"drain_timeout": 1.0})
    connector = InMemoryConnector(server or MemoryServer())
    async with MemoryTransport(config, catalog=catalog, connector=connector) as transport:
        yield transport


async def publish(
    transport: MemoryTransport, count: int, *, tenants: tuple[UUID, ...] = TENANTS
) -> list[EventEnvelope]:
    """Publish `count` events, in turn of each tenant, and number them per tenant."""
    envelopes = [counted(number // len(tenants), tenants[number % len(tenants)]) for number in range(count)]
    (await transport.publish_batch(envelopes)).raise_for_failures()
    return envelopes


async def store(transport: MemoryTransport, *payloads: bytes | EventEnvelope, partition_id: int = 0) -> None:
    """Store messages as they are, in one partition."""
    messages = [
        OutgoingMessage(id=each.id, payload=SERIALIZER.encode(each))
        if isinstance(each, EventEnvelope)
        else OutgoingMessage(id=uuid4(), payload=each)
        for each in payloads
    ]
    await transport._connector.publish_batch(
        PublishBatch(stream="rustok", topic="domain", partition_id=partition_id, messages=messages)
    )


class Handled:
    """An async handler that notes what it was given, in order. `before` may raise, or return what to wait for."""

    def __init__(self, before: Callable[[EventEnvelope, DeliveryContext], object] = lambda envelope, context: None):
        self.before = before
        self.seen: list[tuple[EventEnvelope, DeliveryContext]] = []

    async def __call__(self, envelope: EventEnvelope, context: DeliveryContext) -> None:
        waiting = self.before(envelope, context)
        if asyncio.iscoroutine(waiting):
            await waiting
        self.seen.append((envelope, context))

    @property
    def numbers(self) -> dict[UUID, list[int]]:
        found: dict[UUID, list[int]] = {}
        for envelope, _ in self.seen:
            assert isinstance(envelope.event, Counted)
            found.setdefault(envelope.tenant_id, []).append(envelope.event.number)
        return found

    @property
    def firsts(self) -> dict[UUID, list[int]]:
        """The order in which events were handled for the first time."""
        return {tenant: list(dict.fromkeys(numbers)) for tenant, numbers in self.numbers.items()}
