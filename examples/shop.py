"""A shop whose billing breaks, and is mended: what the README walks through.

    python -m examples.shop serve                     bills orders, until Ctrl-C; /readyz and /metrics at 127.0.0.1:9464
    python -m examples.shop order ada 5000 DKK        publishes an order of 50 crowns of customer ada, and ends
    python -m examples.shop serve --rate DKK=0.134    the mended service: it knows what a crown is worth

Both use the embedded server of ./data/iggy, which they share.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Mapping
from uuid import NAMESPACE_DNS, uuid4, uuid5

from rustok_iggy import DeliveryContext, EventEnvelope, IggyConfig, IggyTransport
from rustok_iggy.events import OrderPlaced
from rustok_iggy.health_server import serve_health
from rustok_iggy.metrics import expose_metrics

HEALTH_PORT = int(os.environ.get("RUSTOK_IGGY_HEALTH_PORT", "9464"))
"""The variable that `rustok-iggy health` reads as well."""


async def serve(rates: Mapping[str, float]) -> None:
    async with IggyTransport(IggyConfig.load()) as transport:

        @transport.subscribe(group="billing", event_types=[OrderPlaced])
        async def bill(envelope: EventEnvelope, context: DeliveryContext) -> None:
            order = envelope.event
            print(f"billed {order.total / 100 * rates[order.currency]:.2f} EUR", flush=True)

        with expose_metrics(transport, name="shop"):
            async with serve_health(transport, port=HEALTH_PORT):
                await transport.run()


async def order(customer: str, total: int, currency: str) -> None:
    placed = OrderPlaced(order_id=uuid4(), customer_id=None, total=total, currency=currency)
    tenant_id = uuid5(NAMESPACE_DNS, customer)
    async with IggyTransport(IggyConfig.load()) as transport:
        stored = await transport.publish(EventEnvelope.new(tenant_id, placed, actor_id=None))
    print(f"stored {stored.event_id} in partition {stored.partition_id} at offset {stored.offset}")


def rate(text: str) -> tuple[str, float]:
    currency, _, euros = text.partition("=")
    return currency, float(euros)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.shop", description="A shop whose billing breaks.")
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="bill orders until Ctrl-C")
    serving.add_argument("--rate", type=rate, action="append", default=[], help="euros for one of it: DKK=0.134")
    ordering = commands.add_parser("order", help="publish an order")
    ordering.add_argument("customer")
    ordering.add_argument("total", type=int, help="in cents")
    ordering.add_argument("currency")
    given = parser.parse_args()
    if given.command == "serve":
        asyncio.run(serve({"EUR": 1.0} | dict(given.rate)))
    else:
        asyncio.run(order(given.customer, given.total, given.currency))


if __name__ == "__main__":
    main()
