"""Members join, leave, die and fall behind under load: nothing is lost, each tenant keeps its order, parked or not."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest

from rustok_iggy import IggyTransport
from rustok_iggy.partitioning import partition_for
from rustok_iggy_connector import BatchConfirmation, IggyConnector, PublishBatch
from rustok_iggy_connector.data_directory import Credentials
from tests.chaos.chaos_run import Plan, run_on
from tests.chaos.server import Server
from tests.chaos.stored import read_journal
from tests.conformance.backends import Backend, Feature
from tests.conformance.services import (
    GROUP,
    PARTITIONS,
    TOPIC,
    Book,
    Handler,
    Place,
    broken_for,
    owned,
    place,
    publish,
    some_tenants,
    until_caught_up,
    until_letters,
)
from tests.waiting import until

pytestmark = pytest.mark.anyio
__all__ = ["place"]
WINDOW = 200
"""Events that may come again at one change of owner here: what is published within two commit intervals, generously."""


@asynccontextmanager
async def load(transport: IggyTransport, tenants: Sequence[UUID]) -> AsyncIterator[list[int]]:
    """Publish while inside; the list holds the numbers that every tenant was sent."""
    sent: list[int] = []
    stopping = False

    async def work() -> None:
        while not stopping:
            await publish(transport, tenants, range(len(sent), len(sent) + 1))
            sent.append(len(sent))
            await asyncio.sleep(0.01)

    working = asyncio.create_task(work())
    try:
        yield sent
    finally:
        stopping = True
        await working


async def more(sent: list[int], count: int = 10) -> None:
    """Wait until so many more were sent."""
    wanted = len(sent) + count
    await until(lambda: len(sent) >= wanted)


@pytest.mark.parametrize("members", [2, 3])
async def test_members_join_and_leave_under_load(place: Place, members: int) -> None:
    tenants, ill = some_tenants(8), some_tenants(1)[0]
    book = Book()
    handler = Handler(book, broken_for(ill, numbers=[3]))
    async with place.transport() as outside:
        async with load(outside, [*tenants, ill]) as sent, AsyncExitStack() as last:
            first = await last.enter_async_context(place.service(handler))
            await until(lambda: len(owned(first)) == PARTITIONS)
            async with AsyncExitStack() as others:
                joined = [first]
                for _ in range(members - 1):
                    joined.append(await others.enter_async_context(place.service(handler)))
                    await more(sent)
                    await until(lambda: sum(len(owned(each)) > 0 for each in joined) == min(len(joined), PARTITIONS))
            await until(lambda: len(owned(first)) == PARTITIONS)
            await more(sent)
        async with place.service(handler):
            await until_caught_up(outside)
        await until_letters(outside, len(sent) - 3)
    for tenant in tenants:
        assert book.firsts(tenant) == sent
    assert book.firsts(ill) == [0, 1, 2], "parked from its fourth event on, whoever owned it"
    again = sum(Counter(envelope.id for envelope, _ in book.handled).values()) - book.distinct
    assert again <= WINDOW * members


class Hesitating:
    """A connector whose appends to the dead-letter topic wait at a gate, as those of a stopped process do."""

    def __init__(self, connector: IggyConnector) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting: set[int] = set()
        self._publish = connector.publish_batch
        connector.publish_batch = self.publish_batch  # type: ignore[method-assign]  # of this one only

    async def publish_batch(self, batch: PublishBatch) -> BatchConfirmation:
        if batch.topic == "dlq" and not self.gate.is_set():
            self.waiting.add(batch.partition_id)
            await self.gate.wait()
        return await self._publish(batch)


async def deal_anew(connector: IggyConnector, place: Place) -> None:
    """A member comes and goes: the server deals all partitions at once, whoever has polled what."""
    passing = await connector.subscribe(stream=place.stream, topic=TOPIC, group=GROUP)
    await passing.assignment()
    await passing.leave()


async def test_a_stale_owners_letter_parks_nobody(place: Place, backend: Backend, second: IggyConnector) -> None:
    """It was about to write letters when all was dealt anew without its knowing; one lands behind the new claim."""
    ill = tenants_of_each_partition()
    connector, book = backend.connector(), Book()
    stale = Hesitating(connector)
    async with place.transport() as outside:
        # The one asks so rarely that it does not know, and fails on what the other, a newer release, can do.
        old = place.service(Handler(book, broken_for(*ill, numbers=[1])), connector=connector, heartbeat_interval=6.0)
        async with old as first:
            await publish(outside, ill, range(1))
            await until(lambda: all(book.numbers(tenant) == [0] for tenant in ill))
            await until_caught_up(outside)
            stale.gate.clear()
            await publish(outside, ill, range(1, 2))
            await until(lambda: stale.waiting == set(range(PARTITIONS)))
            async with place.service(Handler(book)) as following:
                while not owned(following):
                    await deal_anew(second, place)
                    await asyncio.sleep(0.3)  # a heartbeat and a half, in which it learns of it
                moved = owned(following)[0]
                await until(lambda: book.numbers(ill[moved]) == [0, 1])
                assert len(owned(first)) == PARTITIONS, "it learned of it, and proves nothing"
                stale.gate.set()
                await publish(outside, ill, range(2, 3))
                await until(lambda: book.numbers(ill[moved]) == [0, 1, 2])
                await until(lambda: len(owned(first)) < PARTITIONS)
                parked = (await outside.dead_letters.stats()).tenants
                assert ill[moved] not in parked
        journal = await read_journal(outside._connector, stream=place.stream, group=GROUP, partitions=PARTITIONS)
        assert journal.void, "its letter never came"


def tenants_of_each_partition() -> list[UUID]:
    """One tenant on each partition, in order of partition."""
    found: dict[int, UUID] = {}
    while len(found) < PARTITIONS:
        tenant = some_tenants(1)[0]
        found[partition_for(tenant, PARTITIONS)] = tenant
    return [found[partition] for partition in range(PARTITIONS)]


@pytest.mark.needs(Feature.NETWORK)
@pytest.mark.timeout(180)  # a partition whose owner changed twice at once may wait for the server's 30 s
async def test_members_killed_and_held_up_under_load(backend: Backend, tmp_path: Path) -> None:
    """Three processes, one of which is killed or stopped every second: see tests/chaos."""
    found = backend.remote_config()
    assert found.password is not None
    credentials = Credentials(username=found.username, password=found.password)
    server = Server(address=found.addresses[0], credentials=credentials)
    plan = Plan(engine=backend.name, seed=secrets.randbits(32), seconds=4, bad_share=0.02)
    report = await run_on(server, plan, tmp_path)
    assert not report.violations, report
