"""Consuming, the two that are compared: a loop by hand over the raw client, and the delivery engine.

Both read the same topic of eight partitions from its start to its end, decode every event by its type and store an
offset for every 500. The loop polls the partitions in turn on its one client; the engine has a poll of each partition
under way and one session for all, so that a single tenant's events, which are in one partition, cost both alike.
Not timed: the engine's joining its group and claiming its partitions, up to the first event.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from time import perf_counter
from uuid import uuid4

from benchmarks.contenders import Place, RawClient, envelope
from rustok_iggy import DeliveryContext, EventEnvelope, IggyConfig, IggyTransport, Reject
from rustok_iggy.benchmark.timing import Round, Stretch
from rustok_iggy.config import TopologyConfig
from rustok_iggy_connector import EmbeddedConnectorConfig

TOPIC = "domain"
PARTITIONS = 8
BATCH = 500
"""Events of a poll and of a commit: the engine's defaults."""
PUBLISHED_AT_ONCE = 1000
ROUND_TIMEOUT = 120.0
"""Seconds after which a round has failed."""

_round_number = count()


class ConsumedTopic:
    """A stream of its own with events of some tenants, `events` in all; any number of rounds reads them."""

    def __init__(self, embedded: EmbeddedConnectorConfig, *, stream: str, tenants: int, events: int) -> None:
        self.stream = stream
        self.events = events
        self.tenants = tuple(uuid4() for _ in range(tenants))
        self._config = IggyConfig(
            embedded=embedded, topology=TopologyConfig(stream_name=stream, domain_partitions=PARTITIONS)
        )

    async def fill(self) -> None:
        """Publish the events, tenant after tenant in turn."""
        async with IggyTransport(self._config) as transport:
            for begin in range(0, self.events, PUBLISHED_AT_ONCE):
                numbers = range(begin, min(begin + PUBLISHED_AT_ONCE, self.events))
                await transport.publish_batch([envelope(self.tenants[n % len(self.tenants)]) for n in numbers])

    async def by_hand(self, raw: RawClient) -> Round:
        """Poll, decode and commit as a program does that knows its one event type."""
        consumer = f"loop-{next(_round_number)}"
        start, next_offsets = perf_counter(), dict.fromkeys(range(PARTITIONS), 0)
        while next_offsets:
            for partition_id, offset in tuple(next_offsets.items()):
                at = Place(stream=self.stream, topic=TOPIC, partition_id=partition_id)
                if events := await raw.poll_decoded(at, offset=offset, count=BATCH):
                    next_offsets[partition_id] += len(events)
                    await raw.commit(at, consumer=consumer, offset=offset + len(events) - 1)
                else:
                    del next_offsets[partition_id]
        return Round(messages=self.events, seconds=perf_counter() - start, latencies=())

    async def by_engine(self) -> Round:
        """A group of its own with a handler that does nothing."""
        timing = Stretch(self.events)

        async def handler(_: EventEnvelope, __: DeliveryContext) -> None:
            timing.handled()

        return await self._consumed(timing, handler)

    async def others_by_engine(self, *, parked: bool, clock: Callable[[], float] = perf_counter) -> Round:
        """The same for all events but the first tenant's, which are timed and counted. `parked`: his become letters.

        With the process's CPU time as `clock` the server's share is left out: writing letters keeps it from other work,
        where both are on the same cores.
        """
        left_out = self.tenants[0]
        share = sum(1 for number in range(self.events) if number % len(self.tenants) == 0)
        timing = Stretch(self.events - share, clock=clock)

        async def handler(event: EventEnvelope, _: DeliveryContext) -> None:
            if event.tenant_id != left_out:
                timing.handled()
            elif parked:
                raise Reject("parked for the benchmark")

        return await self._consumed(timing, handler)

    async def _consumed(
        self, timing: Stretch, handler: Callable[[EventEnvelope, DeliveryContext], Awaitable[None]]
    ) -> Round:
        async with IggyTransport(self._config) as transport:
            transport.subscribe(group=f"engine-{next(_round_number)}", topics=[TOPIC])(handler)
            async with transport.consuming():
                await asyncio.wait_for(timing.done.wait(), ROUND_TIMEOUT)
        return timing.round
