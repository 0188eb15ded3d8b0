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
from uuid import UUID, uuid4

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

    async def by_engine(self, *, parked: bool = False, clock: Callable[[], float] = perf_counter) -> Round:
        """A group of its own with a handler that does nothing. `parked`: the first tenant's events become letters.

        What is timed and counted are the events of all others, parked or not. With the process's CPU time as `clock`
        the server's share is left out: writing letters keeps it from other work, where both are on the same cores.
        """
        refused = self.tenants[0] if parked else None
        share = sum(1 for number in range(self.events) if number % len(self.tenants) == 0)
        timing = Stretch(self.events - share if len(self.tenants) > 1 else self.events, clock=clock)
        async with IggyTransport(self._config) as transport:
            transport.subscribe(group=f"engine-{next(_round_number)}", topics=[TOPIC])(
                _handler(timing, refused, counted=_all_but(self.tenants[0]) if len(self.tenants) > 1 else _everybody)
            )
            async with transport.consuming():
                await asyncio.wait_for(timing.done.wait(), ROUND_TIMEOUT)
        return timing.round


def _everybody(_: UUID) -> bool:
    return True


def _all_but(tenant_id: UUID) -> Callable[[UUID], bool]:
    return lambda each: each != tenant_id


def _handler(
    timing: Stretch, refused: UUID | None, *, counted: Callable[[UUID], bool]
) -> Callable[[EventEnvelope, DeliveryContext], Awaitable[None]]:
    async def one_tenant(_: EventEnvelope, __: DeliveryContext) -> None:
        timing.handled()

    async def many_tenants(event: EventEnvelope, _: DeliveryContext) -> None:
        if counted(event.tenant_id):
            timing.handled()
        elif refused is not None:
            raise Reject("parked for the benchmark")

    return one_tenant if counted is _everybody else many_tenants
