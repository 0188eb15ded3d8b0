"""Parking, dead letters and redrive over a server in memory: who goes on, who waits, and in which order."""

import asyncio
from typing import Any
from uuid import UUID

import pytest

from rustok_iggy import (
    Block,
    DeadLetter,
    EventEnvelope,
    HealthStatus,
    LetterSelection,
    MemoryTransport,
    ParkTenant,
    Reject,
    Retry,
)
from rustok_iggy.dead_letters.records import Cause
from rustok_iggy_connector import InMemoryConnector, MemoryServer, OutgoingMessage, PublishBatch
from tests.consumer.hosts import TENANT, Recorder, counted, tenants, transport, until

pytestmark = pytest.mark.anyio

AT_ONCE = Retry(attempts=1)
EVERYTHING = LetterSelection(everything=True)


class Ill:
    """Fails for some events of one tenant, as long as `numbers` holds them."""

    def __init__(self, tenant: UUID, *numbers: int) -> None:
        self.tenant = tenant
        self.numbers = set(numbers)

    def __call__(self, envelope: EventEnvelope) -> None:
        if envelope.tenant_id == self.tenant and envelope.event.number in self.numbers:  # type: ignore[attr-defined]
            raise LookupError("not there")


async def redrive(host: MemoryTransport, **options: Any) -> None:
    await host.dead_letters.redrive(EVERYTHING, group="g", by="test", **options)


async def until_lag(host: MemoryTransport, lag: int) -> None:
    async with asyncio.timeout(10):
        while (await host.lag(group="g", topic="domain"))[0] != lag:
            await asyncio.sleep(0.005)


async def test_a_failing_tenant_is_parked_the_others_go_on_and_a_redrive_keeps_its_order() -> None:
    ill, well = tenants(2)
    fail = Ill(ill, 2)
    handler = Recorder(fail)
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", on_failure=ParkTenant(retry=AT_ONCE))(handler)
        await host.publish_batch([counted(number, owner) for number in range(6) for owner in (ill, well)])
        async with host.consuming():
            await until(lambda: host.statistics().consuming.letters == 4)
            await until(lambda: len(handler.per_tenant()[well]) == 6)
            assert handler.per_tenant()[ill] == [0, 1]
            await host.publish(counted(6, ill))
            await until(lambda: host.statistics().consuming.letters == 5)
            assert host.health().status is HealthStatus.DEGRADED
            await until_lag(host, 0)
            fail.numbers.clear()
            await redrive(host)
            await until(lambda: handler.per_tenant()[ill] == [0, 1, 2, 3, 4, 5, 6])
            await until(lambda: host.statistics().consuming.redriven == 5)
            await until(lambda: host.health().is_healthy)
            await host.publish(counted(7, ill))
            await until(lambda: handler.per_tenant()[ill][-1] == 7)
            counts = host.statistics().consuming
        assert await host.lag(group="g", topic="domain") == {0: 0}
    assert counts.polled == counts.handled + counts.letters == 14
    redriven = [context for envelope, context in handler.seen if context.redrive is not None]
    assert [context.redrive.attempt for context in redriven] == [1] * 5
