"""A quick look at a server through the library: publish, consume, and from publish to handler at a steady rate.

All in one process, which publishes and handles by turns, on a stream that holds nothing else. So the numbers say what
one process reaches with this server and this configuration, not what the server can do for many.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from itertools import repeat
from time import perf_counter
from typing import Any
from uuid import UUID, uuid4

from rustok_iggy.benchmark.timing import Call, Round, Series, Stretch, in_turn, side_by_side
from rustok_iggy.consumer.context import DeliveryContext
from rustok_iggy.consumer.subscription import Start
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.events import OrderPlaced
from rustok_iggy.iggy_transport import IggyTransport

BATCH = 100
"""Events that an importer publishes together."""
PUBLISHERS = 64
"""Requests of a busy web server under way at once, each of another tenant."""
GRACE = 10.0
"""Seconds for a consumer to join its group and to handle what was published: a busy server deals partitions in 1."""
KNOCK_INTERVAL = 0.1
"""Seconds between two events that ask whether the consumer has begun."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One row. `p50` and `p99` in seconds: of a call, or from publish to handler; None where there are none."""

    name: str
    events: int
    events_per_second: float
    p50: float | None
    p99: float | None


class QuickBenchmark:
    """Runs its rows in order, each at most `seconds`, or as long as one call takes, and GRACE for consumers.

    `open_transport` makes transports on a stream of their own, with topics that nobody else writes to; each row has
    one, as a process has.
    """

    def __init__(self, open_transport: Callable[[], IggyTransport], *, seconds: float, rate: float) -> None:
        self._open_transport = open_transport
        self._seconds = seconds
        self._rate = rate
        self._tenants = tuple(uuid4() for _ in range(PUBLISHERS))
        self._published = 0

    @property
    def rows(self) -> dict[str, Callable[[], Awaitable[Round]]]:
        """What is measured, by name; consuming reads what the rows before it published."""
        return {
            "publish one by one": self._publish_one_by_one,
            f"publish batches of {BATCH}": self._publish_batches,
            f"{PUBLISHERS} publishers": self._publish_side_by_side,
            "consume": self._consume,
            f"publish to handler, {self._rate:g} a second": self._from_publish_to_handler,
        }

    async def measure(self, name: str) -> Measured:
        """Run one row. Raises errors of publishing and of the connector."""
        found = await self.rows[name]()
        series = Series(rounds=(found,))
        p50, p99 = (series.latency(each) for each in (50, 99)) if found.latencies else (None, None)
        return Measured(name=name, events=found.messages, events_per_second=found.rate, p50=p50, p99=p99)

    async def _publish_one_by_one(self) -> Round:
        return await self._publishing(lambda transport: [self._singles(transport, self._tenants[0])])

    async def _publish_side_by_side(self) -> Round:
        return await self._publishing(lambda transport: [self._singles(transport, each) for each in self._tenants])

    async def _publish_batches(self) -> Round:
        def batches(transport: IggyTransport) -> list[Iterable[Call]]:
            async def call() -> int:
                results = await transport.publish_batch([_event(self._tenants[0]) for _ in range(BATCH)])
                results.raise_for_failures()
                return BATCH

            return [repeat(call)]

        return await self._publishing(batches)

    async def _publishing(self, publishers: Callable[[IggyTransport], list[Iterable[Call]]]) -> Round:
        async with self._open_transport() as transport:
            calls = publishers(transport)
            await in_turn([next(iter(calls[0]))])  # so that connections are open and nothing is new
            found = await side_by_side(calls, seconds=self._seconds)
            self._published += transport.statistics().publishing.confirmed
            return found

    def _singles(self, transport: IggyTransport, tenant_id: UUID) -> Iterable[Call]:
        async def call() -> int:
            await transport.publish(_event(tenant_id))
            return 1

        return repeat(call)

    async def _consume(self) -> Round:
        stretch, begun = Stretch(self._published), asyncio.Event()
        async with self._open_transport() as transport:

            @transport.subscribe(group="bench")
            async def count(_: EventEnvelope, __: DeliveryContext) -> None:
                stretch.handled()
                begun.set()

            async with transport.consuming():
                await _at_most(GRACE, begun.wait())
                await _at_most(self._seconds, stretch.done.wait())
                return stretch.round

    async def _from_publish_to_handler(self) -> Round:
        sent: dict[UUID, float] = {}
        latencies: list[float] = []
        changed = asyncio.Event()
        async with self._open_transport() as transport:

            @transport.subscribe(group="bench-paced", start=Start.LATEST)
            async def note(envelope: EventEnvelope, _: DeliveryContext) -> None:
                if (at := sent.pop(envelope.id, None)) is not None:
                    latencies.append(perf_counter() - at)
                changed.set()

            async def publish() -> None:
                event = _event(self._tenants[len(sent) % PUBLISHERS])
                sent[event.id] = perf_counter()
                await transport.publish(event)

            async with transport.consuming():
                await _at_most(GRACE, _until_it_consumes(publish, changed))
                latencies.clear()
                sent.clear()
                began = perf_counter()
                await self._publish_paced(publish, began)
                await _at_most(GRACE, _until_empty(sent, changed))
                return Round(messages=len(latencies), seconds=perf_counter() - began, latencies=latencies)

    async def _publish_paced(self, publish: Callable[[], Coroutine[Any, Any, None]], began: float) -> None:
        """Begin each at its time, whether those before are confirmed or not."""
        try:
            async with asyncio.TaskGroup() as group:
                for number in range(max(1, round(self._rate * self._seconds))):
                    await asyncio.sleep(max(0.0, began + number / self._rate - perf_counter()))
                    group.create_task(publish())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None  # the others were cancelled because of it


async def _until_it_consumes(publish: Callable[[], Coroutine[Any, Any, None]], changed: asyncio.Event) -> None:
    """Publish until an event comes: a group that begins with the latest has no other sign of having begun."""
    while not changed.is_set():
        await publish()
        await _at_most(KNOCK_INTERVAL, changed.wait())


async def _until_empty(sent: Mapping[UUID, float], changed: asyncio.Event) -> None:
    while sent:
        changed.clear()
        await changed.wait()


async def _at_most(seconds: float, waiting: Awaitable[object]) -> None:
    """Wait, and go on when the time is over; what else was missed in time is raised."""
    limit = asyncio.timeout(seconds)
    try:
        async with limit:
            await waiting
    except TimeoutError:
        if not limit.expired():
            raise


def _event(tenant_id: UUID) -> EventEnvelope:
    order = OrderPlaced(order_id=uuid4(), customer_id=uuid4(), total=4200, currency="EUR")
    return EventEnvelope.new(tenant_id, order, actor_id=uuid4())
