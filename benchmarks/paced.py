"""From publish to handler at a steady rate, and what waiting for it costs: the consumer is a process of its own.

    python -m benchmarks.paced CONTENDER DATA_DIR EVENTS

A loop over the raw client, with or without a pause after an empty poll, or the delivery engine, on the server of a data
directory; all events are one tenant's, so one of eight partitions is busy, and only the engine looks at the others. It
prints "ready", then, after so many events, one line of JSON. An event's latency is the time since its envelope was
made, so encoding and sending count.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter, process_time
from uuid import UUID

from benchmarks.consumers import PARTITIONS, TOPIC
from benchmarks.contenders import Place, RawClient, envelope
from rustok_iggy import DeliveryContext, EventEnvelope, IggyConfig, IggyTransport
from rustok_iggy.config import TopologyConfig
from rustok_iggy.partitioning import partition_for
from rustok_iggy_connector import EmbeddedConnectorConfig

STREAM = "paced"
TENANT = UUID(int=0x5EED)
PLACE = Place(stream=STREAM, topic=TOPIC, partition_id=partition_for(TENANT, PARTITIONS))
EVENTS_PER_SECOND = 500
POLL_COUNT = 100
CONSUMER_TIMEOUT = 60.0
"""Seconds until a consumer that says nothing has failed."""


@dataclass(frozen=True, kw_only=True)
class Paced:
    """What one consumer reached: seconds from publish to handler, and its own share of one core."""

    p50: float
    p99: float
    core: float


def config(data_dir: str) -> IggyConfig:
    return IggyConfig(
        embedded=EmbeddedConnectorConfig(data_dir=data_dir),
        topology=TopologyConfig(stream_name=STREAM, domain_partitions=PARTITIONS),
    )


async def measure_paced(contender: str, *, data_dir: str, events: int) -> Paced:
    """Start a consumer, publish to it at the rate, and return what it says."""
    async with IggyTransport(config(data_dir)) as transport:
        await transport.publish(envelope(TENANT))  # so that the partition is not empty when the loop begins
        arguments = (sys.executable, "-m", "benchmarks.paced", contender, data_dir, str(events))
        consumer = await asyncio.create_subprocess_exec(*arguments, stdout=asyncio.subprocess.PIPE)
        assert consumer.stdout is not None, "asked for"
        try:
            async with asyncio.timeout(CONSUMER_TIMEOUT + events / EVENTS_PER_SECOND):
                assert await consumer.stdout.readline() == b"ready\n", f"{contender} did not start"
                await _publish(transport, events)
                said = await consumer.stdout.readline()
                await consumer.wait()
        finally:
            if consumer.returncode is None:
                consumer.kill()
                await consumer.wait()
    return Paced(**json.loads(said))


async def _publish(transport: IggyTransport, events: int) -> None:
    began = perf_counter()
    for number in range(events):
        await transport.publish(envelope(TENANT))
        await asyncio.sleep(max(0.0, began + (number + 1) / EVENTS_PER_SECOND - perf_counter()))


class _Watch:
    """Takes the latencies of `events` events; the first one is not among them."""

    def __init__(self, events: int) -> None:
        self._events = events
        self._latencies: list[float] = []
        self._began = (0.0, 0.0)
        self.done = asyncio.Event()

    def ready(self) -> None:
        self._began = perf_counter(), process_time()
        print("ready", flush=True)

    def handled(self, made_at: datetime) -> None:
        self._latencies.append((datetime.now(UTC) - made_at).total_seconds())
        if len(self._latencies) == self._events:
            self._print()
            self.done.set()

    def _print(self) -> None:
        began, used = self._began
        latencies = sorted(self._latencies)
        core = (process_time() - used) / (perf_counter() - began)
        found = {"p50": latencies[len(latencies) // 2], "p99": latencies[len(latencies) * 99 // 100], "core": core}
        print(json.dumps(found), flush=True)


async def by_hand(data_dir: str, watch: _Watch, *, pause: float | None) -> None:
    """Poll, decode, commit; `pause` seconds after an empty poll, None: poll again at once."""
    raw = RawClient.of_embedded(data_dir)
    await raw.connect()
    offset = len(await raw.poll_decoded(PLACE, offset=0, count=1_000_000))
    watch.ready()
    while not watch.done.is_set():
        if events := await raw.poll_decoded(PLACE, offset=offset, count=POLL_COUNT):
            for each in events:
                watch.handled(each.timestamp)
            offset += len(events)
            await raw.commit(PLACE, consumer="paced", offset=offset - 1)
        elif pause is not None:
            await asyncio.sleep(pause)
    await raw.close()


async def by_engine(data_dir: str, watch: _Watch) -> None:
    """A group that begins with the next event."""
    ready = False

    async def handle(event: EventEnvelope, context: DeliveryContext) -> None:
        nonlocal ready
        if ready:
            watch.handled(event.timestamp)
        elif context.stored_at > started_at:
            ready = True
            watch.ready()

    async with IggyTransport(config(data_dir)) as transport:
        started_at = int(datetime.now(UTC).timestamp() * 1_000_000)
        transport.subscribe(group=f"paced-{started_at}", topics=[TOPIC])(handle)
        async with transport.consuming():
            await asyncio.sleep(0)
            while not ready:  # what it publishes itself says that it consumes
                await transport.publish(envelope(TENANT))
                await asyncio.sleep(0.2)
            await watch.done.wait()


CONTENDERS: dict[str, Callable[[str, _Watch], Coroutine[None, None, None]]] = {
    "loop": lambda data_dir, watch: by_hand(data_dir, watch, pause=None),
    "loop-1ms": lambda data_dir, watch: by_hand(data_dir, watch, pause=0.001),
    "engine": by_engine,
}


if __name__ == "__main__":
    asyncio.run(CONTENDERS[sys.argv[1]](sys.argv[2], _Watch(int(sys.argv[3]))))
