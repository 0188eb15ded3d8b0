"""One engine, one server, every row: what is compared with what, and what is aimed at."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import process_time

from benchmarks.consumers import ConsumedTopic
from benchmarks.contenders import STREAM, TOPIC, RawClient, Reader, TypedPublisher
from benchmarks.measure import compare
from benchmarks.paced import CONTENDERS, EVENTS_PER_SECOND, Paced, measure_paced
from rustok_iggy import IggyConfig, IggyTransport
from rustok_iggy.benchmark.timing import Round, Series
from rustok_iggy_connector import (
    ConnectorConfig,
    EmbeddedConnectorConfig,
    Engine,
    IggyConnector,
    TopicSpec,
    open_connector,
)

POLL_BATCH = 1000
BATCHES = (10, 100, 1000)
PUBLISHERS = 64

Play = Callable[[], Awaitable[Round]]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the report.

    `aim` is the ratio to reach, `raw_aim` the raw client's rate on the local server, `ours_aim` our own rate anywhere.
    """

    name: str
    baseline: str
    aim: float | None = None
    raw_aim: float | None = None
    ours_aim: float | None = None


# Aims for ratios and rates; where a row has none, the number is for information.
ROWS = {
    "one": Row(name="publish one by one", baseline="raw, one by one", aim=0.9, raw_aim=4_000),
    "64": Row(name=f"{PUBLISHERS} publishers, 1 tenant", baseline="raw, one by one", aim=20.0),
    "64 tenants": Row(name=f"{PUBLISHERS} publishers, {PUBLISHERS} tenants", baseline="raw, one by one"),
    "10": Row(name="publish batches of 10", baseline="raw, batches of 10"),
    "100": Row(name="publish batches of 100", baseline="raw, batches of 100"),
    "1000": Row(name="publish batches of 1000", baseline="raw, batches of 1000", aim=0.4, raw_aim=100_000),
    "poll": Row(name="poll 1000", baseline="raw, poll 1000", raw_aim=500_000),
    "decode": Row(name="poll 1000 and decode", baseline="raw, poll 1000, decoded by hand", aim=0.5),
    "consume": Row(name="consume, 1 tenant", baseline="raw, loop by hand", aim=0.5, ours_aim=150_000),
    "consume raw 1000": Row(name="consume, 1000 tenants", baseline="raw, loop by hand", aim=0.4),
    "consume 1000": Row(name="1000 tenants beside 1", baseline="engine, 1 tenant", aim=0.8),
    "parked": Row(name="one of 100 parked", baseline="engine, none of 100 parked, the other 99", aim=0.95),
    "parked cpu": Row(name="one of 100 parked, CPU", baseline="engine, none of 100 parked, a second of its CPU"),
}
PACED_AIM = Paced(p50=0.001, p99=0.005, core=0.2)
"""From publish to handler at 500 events a second. The 99th percentile is for information."""


@dataclass(frozen=True, kw_only=True)
class Result:
    row: Row
    raw: Series
    ours: Series

    @property
    def ratio(self) -> float:
        return self.ours.rate / self.raw.rate


@dataclass(frozen=True, kw_only=True)
class EngineReport:
    """What was measured on one server."""

    engine: str
    version: str
    payload_bytes: int
    results: tuple[Result, ...]
    paced: dict[str, Paced]


@dataclass(frozen=True, kw_only=True)
class Contenders:
    raw: RawClient
    typed: TypedPublisher
    reader: Reader


@dataclass(frozen=True, kw_only=True)
class Effort:
    """How long to measure: `scale` 1 is about half a second a round."""

    rounds: int
    scale: float

    def calls(self, full: int) -> int:
        return max(2, round(full * self.scale))


async def measure_engine(
    engine: str, *, data_dir: Path, server_path: str | None, effort: Effort, progress: Callable[[str], None]
) -> EngineReport:
    """Start the engine in `data_dir`, measure every row on it, stop it."""
    embedded = EmbeddedConnectorConfig(data_dir=str(data_dir), engine=Engine(engine), server_path=server_path)
    async with open_connector(ConnectorConfig(embedded=embedded)) as connector:
        await connector.admin.create_stream(STREAM)
        await connector.admin.create_topic(stream=STREAM, spec=TopicSpec(name=TOPIC, partitions=1))
        async with contenders(connector, embedded) as those:
            results = []
            compared = plays(those, effort) | await consuming(those.raw, embedded, effort)
            for key, (baseline, contender) in compared.items():
                progress(ROWS[key].name)
                raw, ours = await compare(baseline, contender, rounds=effort.rounds)
                results.append(Result(row=ROWS[key], raw=raw, ours=ours))
        progress(f"{EVENTS_PER_SECOND} events a second")
        events = effort.calls(EVENTS_PER_SECOND * 4)
        paced = {name: await measure_paced(name, data_dir=str(data_dir), events=events) for name in CONTENDERS}
        return EngineReport(
            engine=connector.server.engine,
            version=connector.server.version,
            payload_bytes=those.raw.payload_bytes,
            results=tuple(results),
            paced=paced,
        )


@asynccontextmanager
async def contenders(connector: IggyConnector, embedded: EmbeddedConnectorConfig) -> AsyncIterator[Contenders]:
    """Both on the one server that `connector` started; the transport attaches to it."""
    raw = RawClient.of_embedded(embedded.data_dir)
    async with AsyncExitStack() as stack:
        transport = await stack.enter_async_context(IggyTransport(IggyConfig(embedded=embedded)))
        await raw.connect()
        stack.push_async_callback(raw.close)
        subscriber = await connector.subscribe(stream=STREAM, topic=TOPIC)
        yield Contenders(raw=raw, typed=TypedPublisher(transport), reader=Reader(subscriber))


def plays(those: Contenders, effort: Effort) -> dict[str, tuple[Play, Play]]:
    """Row → (baseline, contender). Polls come last: they read what the raw client published before."""
    raw, typed, reader = those.raw, those.typed, those.reader
    singles = partial(raw.publish, calls=effort.calls(2000), batch=1)
    rows: dict[str, tuple[Play, Play]] = {
        "one": (singles, partial(typed.one_by_one, calls=effort.calls(2000))),
        "64": (singles, partial(typed.concurrently, publishers=PUBLISHERS, tenants=1, calls=effort.calls(400))),
        "64 tenants": (
            singles,
            partial(typed.concurrently, publishers=PUBLISHERS, tenants=PUBLISHERS, calls=effort.calls(400)),
        ),
    }
    for batch in BATCHES:
        calls = effort.calls(min(500, 20_000 // batch))
        rows[str(batch)] = (
            partial(raw.publish, calls=calls, batch=batch),
            partial(typed.batches, calls=calls, batch=batch),
        )
    polls = partial(raw.poll, calls=effort.calls(40), batch=POLL_BATCH)
    rows["poll"] = (polls, partial(reader.poll, calls=effort.calls(40), batch=POLL_BATCH))
    decoded = partial(raw.poll_and_decode, calls=effort.calls(40), batch=POLL_BATCH)
    rows["decode"] = (decoded, partial(reader.poll_and_decode, calls=effort.calls(40), batch=POLL_BATCH))
    return rows


async def consuming(raw: RawClient, embedded: EmbeddedConnectorConfig, effort: Effort) -> dict[str, tuple[Play, Play]]:
    """As plays(), for the delivery engine: each topic is filled once and read by every round."""
    events = effort.calls(40) * 1000
    topics = {
        tenants: ConsumedTopic(embedded, stream=f"consumed-{tenants}", tenants=tenants, events=events)
        for tenants in (1, 100, 1000)
    }
    for topic in topics.values():
        await topic.fill()
    one, hundred, thousand = topics.values()
    return {
        "consume": (partial(one.by_hand, raw), one.by_engine),
        "consume raw 1000": (partial(thousand.by_hand, raw), thousand.by_engine),
        "consume 1000": (one.by_engine, thousand.by_engine),
        "parked": (
            partial(hundred.others_by_engine, parked=False),
            partial(hundred.others_by_engine, parked=True),
        ),
        "parked cpu": (
            partial(hundred.others_by_engine, parked=False, clock=process_time),
            partial(hundred.others_by_engine, parked=True, clock=process_time),
        ),
    }
