"""A small service to test the test kit with."""

import asyncio
from uuid import UUID

from msgspec import Struct

from rustok_iggy import DeliveryContext, EventCatalog, EventEnvelope

catalog = EventCatalog("service")
ADA, BOB = UUID(int=1), UUID(int=2)


@catalog.event("thing.counted")
class Counted(Struct, frozen=True, kw_only=True):
    number: int


@catalog.event("thing.ignored")
class Ignored(Struct, frozen=True, kw_only=True):
    number: int


def counted(*numbers: int, tenant: UUID = ADA) -> list[EventEnvelope]:
    return [EventEnvelope.new(tenant, Counted(number=number)) for number in numbers]


class Ledger:
    """Entries by event id, so that the same event again changes nothing."""

    def __init__(self) -> None:
        self.entries: dict[UUID, int] = {}

    async def enter(self, envelope: EventEnvelope, context: DeliveryContext) -> None:
        await asyncio.sleep(0)
        self.entries[envelope.id] = envelope.event.number  # type: ignore[attr-defined]
        await asyncio.sleep(0)


class Sum:
    """Adds up whatever it is handed, which is what a handler must not do."""

    def __init__(self) -> None:
        self.total = 0

    async def add(self, envelope: EventEnvelope, context: DeliveryContext) -> None:
        await asyncio.sleep(0)
        self.total += envelope.event.number  # type: ignore[attr-defined]
        await asyncio.sleep(0)

    def reset(self) -> None:
        self.total = 0
