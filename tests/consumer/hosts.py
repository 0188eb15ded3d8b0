"""Transports on one server in memory, with short heartbeats, and handlers that note what they were given."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from msgspec import Struct

from rustok_iggy import DeliveryContext, EventCatalog, EventEnvelope, IggyConfig, MemoryTransport, NotFoundError
from rustok_iggy_connector import InMemoryConnector, MemoryServer
from tests.waiting import until

catalog = EventCatalog("tests")
"""All its types are registered here: what a test sees of it must not depend on which other tests are run."""

QUICK = {
    "heartbeat_interval": 0.05,
    "commit_interval": 0.05,
    "drain_timeout": 2.0,
    "max_idle_delay": 0.02,
    "takeover_timeout": 0.2,
}
TENANT = UUID(int=7)


@catalog.event("thing.counted")
class Counted(Struct, frozen=True, kw_only=True):
    number: int


@catalog.event("thing.ignored")
class Ignored(Struct, frozen=True, kw_only=True):
    number: int


@catalog.event("thing.large")
class Large(Struct, frozen=True, kw_only=True):
    number: int
    text: str


def counted(number: int, tenant: UUID = TENANT) -> EventEnvelope:
    return EventEnvelope.new(tenant, Counted(number=number))


@asynccontextmanager
async def transport(server: MemoryServer, *, partitions: int = 1, **consumer: float) -> AsyncIterator[MemoryTransport]:
    """A process of its own, as far as the server can tell."""
    config = IggyConfig(topology={"domain_partitions": partitions}, consumer={**QUICK, **consumer})
    async with MemoryTransport(config, catalog=catalog, connector=InMemoryConnector(server)) as opened:
        yield opened


class Recorder:
    """An async handler. `before` runs before an event is noted; raise in it to fail."""

    def __init__(self, before: Callable[[EventEnvelope], object] = lambda envelope: None) -> None:
        self.before = before
        self.seen: list[tuple[EventEnvelope, DeliveryContext]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = 0
        self.cancelled = 0

    async def __call__(self, envelope: EventEnvelope, context: DeliveryContext) -> None:
        self.entered += 1
        self.before(envelope)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        self.seen.append((envelope, context))

    @property
    def numbers(self) -> list[int]:
        return [envelope.event.number for envelope, _ in self.seen]

    def per_tenant(self) -> dict[UUID, list[int]]:
        numbers: dict[UUID, list[int]] = {}
        for envelope, _ in self.seen:
            numbers.setdefault(envelope.tenant_id, []).append(envelope.event.number)
        return numbers


async def until_lag(host: MemoryTransport, lag: int, *, group: str = "g") -> None:
    """Wait until so many events of partition 0 are not committed; a group that never joined has no offset."""

    async def is_so() -> bool:
        with contextlib.suppress(NotFoundError):
            return (await host.lag(group=group, topic="domain"))[0] == lag
        return False

    await until(is_so)


def tenants(count: int) -> list[UUID]:
    return [uuid4() for _ in range(count)]
