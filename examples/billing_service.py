"""A service: it bills orders and tells others that it did.

    python -m examples.billing_service           runs it over the embedded server, until SIGTERM or Ctrl-C

Its tests are tests/examples/test_billing_service.py: they show the test kit on a service like yours. The table of
invoices stands for a database: one statement either adds a row or finds that it is there, so that an order which comes
again is billed once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from uuid import UUID, uuid5

from msgspec import Struct

from rustok_iggy import (
    DeliveryContext,
    EventCatalog,
    EventEnvelope,
    EventTransport,
    IggyConfig,
    IggyTransport,
    ParkTenant,
    Reject,
    Retry,
)

GROUP = "billing"
catalog = EventCatalog("shop")


@catalog.event("order.accepted")
class OrderAccepted(Struct, frozen=True, kw_only=True):
    order_id: UUID
    cents: int


@catalog.event("invoice.written")
class InvoiceWritten(Struct, frozen=True, kw_only=True):
    order_id: UUID
    number: int


@dataclass
class Invoices:
    """A table with one row per order; `numbers` rise without gaps."""

    numbers: dict[UUID, int] = field(default_factory=dict)

    async def insert(self, order_id: UUID) -> int:
        """Return the invoice's number, the same one for the same order."""
        await asyncio.sleep(0)  # where a database would be waited for
        return self.numbers.setdefault(order_id, len(self.numbers) + 1)


class Billing:
    """Writes an invoice for each accepted order."""

    def __init__(self, transport: EventTransport, invoices: Invoices) -> None:
        self._transport = transport
        self._invoices = invoices
        transport.subscribe(group=GROUP, event_types=[OrderAccepted], on_failure=ParkTenant(retry=Retry(attempts=3)))(
            self.bill
        )

    async def bill(self, envelope: EventEnvelope, context: DeliveryContext) -> None:
        order = envelope.event
        if order.cents < 0:
            raise Reject("nobody is paid for buying")
        number = await self._invoices.insert(order.order_id)
        written = EventEnvelope.new(
            envelope.tenant_id,
            InvoiceWritten(order_id=order.order_id, number=number),
            caused_by=envelope,
            # The same order gives the same event: consumers pass over a second copy.
            ids=lambda: uuid5(envelope.id, "invoice"),
        )
        await self._transport.publish(written)


async def main() -> None:
    async with IggyTransport(IggyConfig.load(), catalog=catalog) as transport:
        Billing(transport, Invoices())
        await transport.run()


if __name__ == "__main__":
    asyncio.run(main())
