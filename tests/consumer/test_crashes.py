"""A process that dies between a letter, its commit, an attempt and its settlement: nothing is lost, order is kept."""

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from rustok_iggy import (
    DeadLetterError,
    DeliveryContext,
    EventEnvelope,
    IggyConfig,
    LetterSelection,
    MemoryTransport,
    NotFoundError,
    ParkTenant,
    Retry,
    RustokIggyError,
)
from rustok_iggy_connector import MemoryServer
from tests.consumer.hosts import QUICK, catalog, counted, tenants
from tests.consumer.mortal import Mortal, MortalConnector

pytestmark = pytest.mark.anyio

EVENTS = 5
FIRST_ILL = 2
MOST_WRITES = 14
"""More than each of the lives below writes: the last of them do not die."""
IMMORTAL = 0


@dataclass
class History:
    """What handlers completed, over all lives. Whoever is dead completes nothing."""

    ill: UUID
    broken: bool = True
    completed: list[tuple[UUID, int]] = field(default_factory=list)

    def handler(self, life: Mortal) -> Callable[[EventEnvelope, DeliveryContext], Awaitable[None]]:
        async def handle(envelope: EventEnvelope, context: DeliveryContext) -> None:
            number = envelope.event.number  # type: ignore[attr-defined]
            await asyncio.sleep(0)
            if life.is_dead:
                await asyncio.sleep(3600)
            if self.broken and envelope.tenant_id == self.ill and number >= FIRST_ILL:
                raise LookupError
            self.completed.append((envelope.tenant_id, number))

        return handle

    def firsts(self) -> dict[UUID, list[int]]:
        found: dict[UUID, list[int]] = defaultdict(list)
        for tenant, number in self.completed:
            if number not in found[tenant]:
                found[tenant].append(number)
        return found


def process(server: MemoryServer, life: Mortal) -> MemoryTransport:
    config = IggyConfig(
        topology={"domain_partitions": 1},
        consumer={**QUICK, "heartbeat_interval": 0.02, "takeover_timeout": 0.01, "drain_timeout": 0.05},
    )
    return MemoryTransport(config, catalog=catalog, connector=MortalConnector(server, life))


async def live(server: MemoryServer, history: History, dies_at: int, *, after: bool = False) -> bool:
    """Consume until everything is done that can be; whether it lived to see that."""
    life = Mortal(dies_at=dies_at, after=after)
    host = process(server, life)
    try:
        async with host:
            host.subscribe(group="g", on_failure=ParkTenant(retry=Retry(attempts=1)))(history.handler(life))
            if not history.broken:
                with contextlib.suppress(DeadLetterError):  # no life before this one came to claim
                    await host.dead_letters.redrive(LetterSelection(everything=True), group="g", by="test")
            async with host.consuming(), asyncio.timeout(20):
                while True:
                    if life.is_dead or await is_done(host, history):
                        break
                    await asyncio.sleep(0.002)
    except RustokIggyError:
        if not life.is_dead:
            raise
    return not life.is_dead


async def is_done(host: MemoryTransport, history: History) -> bool:
    try:
        lag = await host.lag(group="g", topic="domain")
    except NotFoundError:
        return False  # it has not joined yet
    if lag != {0: 0}:
        return False
    return history.broken or not (await host.dead_letters.list(group="g")).letters


@pytest.mark.parametrize("after", [False, True])
async def test_wherever_it_dies_nothing_is_lost_and_each_tenant_keeps_its_order(after: bool) -> None:
    survived = 0
    for dies_at in range(1, MOST_WRITES):
        ill, well = tenants(2)
        server, history = MemoryServer(), History(ill)
        async with process(server, Mortal(dies_at=IMMORTAL, after=False)) as host:
            await host.publish_batch([counted(number, owner) for number in range(EVENTS) for owner in (well, ill)])
        survived += await live(server, history, dies_at, after=after)
        history.broken = False
        survived += await live(server, history, dies_at, after=after)
        assert await live(server, history, IMMORTAL)
        assert history.firsts() == {ill: [*range(EVENTS)], well: [*range(EVENTS)]}, f"died at write {dies_at}"
        assert not await letters(server)
    assert survived, "the last lives were meant to end by themselves"


async def letters(server: MemoryServer) -> int:
    async with process(server, Mortal(dies_at=IMMORTAL, after=False)) as host:
        return len((await host.dead_letters.list(group="g")).letters)
