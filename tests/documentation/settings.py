"""What fragments on a page may take for granted: the names that a note `given: …` brings."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from rustok_iggy import (
    DeliveryContext,
    EventEnvelope,
    IggyConfig,
    IggyTransport,
    MemoryTransport,
    ParkTenant,
    Retry,
)
from rustok_iggy.events import RUSTOK, OrderPlaced
from rustok_iggy.testing import memory_rig
from rustok_iggy_connector import open_connector
from tests.consumer.hosts import QUICK
from tests.printed import run_printed
from tests.waiting import until

Setting = Callable[[Path], AbstractAsyncContextManager[dict[str, Any]]]


@asynccontextmanager
async def transport(directory: Path) -> AsyncIterator[dict[str, Any]]:
    """`transport`: open, over a server in memory, with RusToK's events. At the end, what the page subscribed with it
    handles what the page published, and an order.
    """
    rig = memory_rig(catalog=RUSTOK)
    async with rig.open() as opened:
        opened.subscribe(group="reader")(lambda envelope, context: None)  # some pages only publish
        yield {"transport": opened}
        async with opened.consuming():
            await opened.publish(EventEnvelope.new(uuid4(), order()))
            await rig.settle()


def order(total: int = 4200) -> OrderPlaced:
    return OrderPlaced(order_id=uuid4(), customer_id=None, total=total, currency="EUR")


@asynccontextmanager
async def stopped_group(directory: Path) -> AsyncIterator[dict[str, Any]]:
    """`transport`, where group billing has handled an event and has no members any more."""
    rig = memory_rig(catalog=RUSTOK)
    async with rig.open() as opened:
        opened.subscribe(group="billing")(lambda envelope, context: None)
        async with opened.consuming():
            await opened.publish(EventEnvelope.new(uuid4(), order()))
            await rig.settle()
        yield {"transport": opened}


@asynccontextmanager
async def ghost(directory: Path) -> AsyncIterator[dict[str, Any]]:
    """`config` of a server in ./data/iggy, where group billing has committed an event and has a member that does
    nothing. At the end the group has the same offsets, and no member.
    """
    config = IggyConfig(embedded={"engine": "local"})
    names = {"stream": config.topology.stream_name, "topic": "domain", "group": "billing"}
    async with IggyTransport(config) as opened, open_connector(config.connector) as connector:
        stored = await opened.publish(EventEnvelope.new(uuid4(), order()))
        await connector.admin.create_group(**names)
        await connector.admin.store_group_offsets(**names, offsets={stored.partition_id: stored.offset})
        before = await connector.admin.committed_offsets(**names)
        await connector.subscribe(**names)
        yield {"config": config}
        assert await connector.admin.committed_offsets(**names) == before
        assert not (await connector.admin.describe_group(**names)).members


@asynccontextmanager
async def letters(directory: Path) -> AsyncIterator[dict[str, Any]]:
    """`transport`, whose group billing has two letters of each of two tenants, and one of a third that fails again."""
    broken, hopeless = True, uuid4()
    async with MemoryTransport(IggyConfig(consumer=QUICK)) as opened:

        @opened.subscribe(group="billing", on_failure=ParkTenant(retry=Retry(attempts=1)))
        async def bill(envelope: EventEnvelope, context: DeliveryContext) -> None:
            if broken or envelope.tenant_id == hopeless:
                raise LookupError("no rate")

        async with opened.consuming():
            for tenant in (uuid4(), uuid4()):
                for _ in range(2):
                    await opened.publish(EventEnvelope.new(tenant, order()))
            await opened.publish(EventEnvelope.new(hopeless, order()))
            await until(lambda: opened.statistics().consuming.letters == 5)
            broken = False
            yield {"transport": opened}


PUBLISH = """
import asyncio
from uuid import uuid4
from rustok_iggy import EventEnvelope, IggyConfig, IggyTransport
from rustok_iggy.events import OrderCompleted, OrderPlaced

async def main():
    async with IggyTransport(IggyConfig(embedded={"engine": "local"})) as transport:
        for _ in range(3):
            order, tenant = uuid4(), uuid4()
            placed = OrderPlaced(order_id=order, customer_id=None, total=4200, currency="EUR")
            await transport.publish(EventEnvelope.new(tenant, placed))
            await transport.publish(EventEnvelope.new(tenant, OrderCompleted(order_id=order)))

asyncio.run(main())
"""


@asynccontextmanager
async def orders_in_data(directory: Path) -> AsyncIterator[dict[str, Any]]:
    """Three OrderPlaced and three OrderCompleted in ./data/iggy, of an embedded server that has ended."""
    await asyncio.to_thread(run_printed, PUBLISH, directory)
    yield {}


@asynccontextmanager
async def nothing(directory: Path) -> AsyncIterator[dict[str, Any]]:
    yield {}


SETTINGS: dict[str, Setting] = {
    "nothing": nothing,
    "transport": transport,
    "transport and letters": letters,
    "a group with a member that never dies": ghost,
    "transport and a group that has stopped": stopped_group,
    "orders in data": orders_in_data,
}
