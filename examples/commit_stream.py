"""Turn the history of git repositories into a stream of events, consume it in a group, and check every number.

    python -m examples.commit_stream [REPOSITORY…]        default: the repository this file is in

One event per changed file of each commit, in commit order; the tenant is the top-level folder. A consumer group builds
totals per tenant, with a handler that cannot take binary files: their tenants are parked, the others go on. Then the
handler is mended, the dead letters are redriven, and git is asked again, by another of its commands: every total and
every tenant's order must agree, and the replay of one tenant must give the same once more. Merges have no changes of
their own here, and a rename is a removal and an addition: what git counts with --no-merges --no-renames. Exit status:
0 when all agrees, 1 when something differs, 2 when it could not be done.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from uuid import UUID

from examples.git_history import (
    FileChanged,
    HistoryError,
    Repository,
    Tally,
    Totals,
    catalog,
    changes,
    gits_own_totals,
    repositories_of,
    tenant_of,
)
from rustok_iggy import (
    EVERYTHING,
    DeliveryContext,
    EventEnvelope,
    IggyConfig,
    IggyTransport,
    ParkTenant,
    Retry,
    RustokIggyError,
)

GROUP = "totals"
BATCH = 1000
"""Events published together; more would only wait for one another."""
SHOWN_TENANTS = 20
STALLED_AFTER = 60.0
"""Seconds without a single handled event after which the run gives up."""
FULL_AFTER = 5.0
"""Seconds without one after which parked tenants have as many dead letters as they may, and hold up their partition."""
REDRIVE_TIMEOUT = 600.0


class BinaryFileError(Exception):
    """The handler has no idea how many lines a binary file has."""


class Consumer:
    """Builds the totals from what the group is handed."""

    def __init__(self, *, takes_binary: bool = False) -> None:
        self.takes_binary = takes_binary
        self.totals = Totals()
        self.handled = 0
        self.strangers = 0
        """Events under a tenant that is not their folder's."""

    async def handle(self, envelope: EventEnvelope, context: DeliveryContext) -> None:
        event = envelope.event
        if event.added is None and not self.takes_binary:
            raise BinaryFileError(event.path)
        self.handled += 1
        self.strangers += envelope.tenant_id != tenant_of(event.folder)
        self.totals.count(event.folder, event.commit, event.path, event.added, event.removed)


@dataclass
class Published:
    """How many events, and the seconds spent publishing them: without those that git took to tell them."""

    events: int = 0
    seconds: float = 0.0

    async def send(self, transport: IggyTransport, batch: list[EventEnvelope]) -> None:
        began = time.perf_counter()
        results = await transport.publish_batch(batch)
        results.raise_for_failures()
        self.events += len(batch)
        self.seconds += time.perf_counter() - began


async def publish(transport: IggyTransport, repositories: Iterable[Repository], progress: Progress) -> Published:
    """Publish every change of every repository, a batch at a time."""
    published = Published()
    batch: list[EventEnvelope] = []
    tenants: dict[str, UUID] = {}
    for repository in repositories:
        async for change in changes(repository):
            tenant = tenants.get(change.folder) or tenants.setdefault(change.folder, tenant_of(change.folder))
            batch.append(EventEnvelope.new(tenant, change, actor_id=None))
            if len(batch) == BATCH:
                await published.send(transport, batch)
                progress.show(published=published.events)
                batch = []
    if batch:
        await published.send(transport, batch)
    progress.show(published=published.events)
    return published


class Progress:
    """One line on a terminal that is written over; nothing elsewhere."""

    def __init__(self, consumer: Consumer, transport: IggyTransport) -> None:
        self._consumer = consumer
        self._transport = transport
        self._published = 0
        self._shown = sys.stderr.isatty()

    @property
    def letters(self) -> int:
        """Dead letters written so far."""
        return self._transport.statistics().consuming.letters

    def show(self, *, published: int | None = None) -> None:
        if published is not None:
            self._published = published
        if self._shown:
            line = (
                f"{self._published:>10,} published {self._consumer.handled:>10,} handled {self.letters:>9,} put aside"
            )
            print(f"\r{line}", end="", file=sys.stderr)

    def end(self) -> None:
        if self._shown:
            print(file=sys.stderr)


async def settled(consumer: Consumer, published: int, progress: Progress) -> bool:
    """Return when everything published was handled or put aside; False when no more can be put aside.

    Raises TimeoutError when nothing moves any more.
    """
    seen, since = (-1, -1), time.monotonic()
    while (now := (consumer.handled, progress.letters))[0] + (0 if consumer.takes_binary else now[1]) < published:
        await asyncio.sleep(0.02)
        progress.show()
        if now != seen:
            seen, since = now, time.monotonic()
        elif progress.letters and not consumer.takes_binary and time.monotonic() - since > FULL_AFTER:
            return False
        elif time.monotonic() - since > STALLED_AFTER:
            raise TimeoutError(f"{now[0]} of {published} events handled, and none for {STALLED_AFTER:.0f} s")
    return True


@dataclass(frozen=True)
class PutAside:
    """How things were when everything had been tried: what waits as dead letters, and what was handled by then."""

    letters: int = 0
    failures: Mapping[str, int] = field(default_factory=dict)
    """Error type → letters of events that failed with it, and of those behind them."""
    parked: int = 0
    handled: Mapping[str, int] = field(default_factory=dict)
    """Folder → events handled."""
    redriven: int = 0
    seconds: float = 0.0
    """Those that the redrive took."""
    is_complete: bool = True


@dataclass(frozen=True)
class Replayed:
    """One tenant's history, run once more from the log."""

    folder: str
    tally: Tally


@dataclass(frozen=True)
class Run:
    """What one run did."""

    consumer: Consumer
    published: Published
    seconds: float
    put_aside: PutAside
    replayed: Replayed | None
    lag: Mapping[int, int]


async def run(config: IggyConfig, repositories: list[Repository]) -> Run:
    """Publish and consume at the same time; mend the handler, redrive; then run one tenant's history again."""
    consumer = Consumer()
    async with IggyTransport(config, catalog=catalog) as transport:
        progress = Progress(consumer, transport)
        cannot_be_helped = Retry(fatal=(BinaryFileError,))
        transport.subscribe(group=GROUP, event_types=[FileChanged], on_failure=ParkTenant(retry=cannot_be_helped))(
            consumer.handle
        )
        began = time.perf_counter()
        async with transport.consuming():
            published = await publish(transport, repositories, progress)
            is_complete = await settled(consumer, published.events, progress)
            seconds = time.perf_counter() - began
            put_aside = await mend_and_redrive(transport, consumer, is_complete=is_complete)
            await settled(consumer, published.events, progress)
        progress.end()
        lag = await transport.lag(group=GROUP, topic="domain")
        replayed = await replay(transport, consumer.totals)
    return Run(consumer, published, seconds, put_aside, replayed, lag)


async def mend_and_redrive(transport: IggyTransport, consumer: Consumer, *, is_complete: bool) -> PutAside:
    """Look at what was put aside, let the handler take binary files, and run the dead letters again."""
    handled = {folder: tally.files for folder, tally in consumer.totals.items()}
    consumer.takes_binary = True
    if not transport.statistics().consuming.letters:
        return PutAside(handled=handled)
    manager, began = transport.dead_letters, time.perf_counter()
    found = await manager.stats(group=GROUP)
    request = await manager.redrive(EVERYTHING, group=GROUP, by="the demo", reason="the handler takes binary files now")
    result = await manager.wait(request, timeout=REDRIVE_TIMEOUT)
    return PutAside(
        letters=found.letters,
        failures={
            found.error_types[kind].rpartition(".")[2]: each.letters for kind, each in found.fingerprints.items()
        },
        parked=found.parked_tenants,
        handled=handled,
        redriven=result.handled,
        seconds=time.perf_counter() - began,
        is_complete=is_complete,
    )


async def replay(transport: IggyTransport, totals: Totals) -> Replayed | None:
    """Hand the history of one tenant to a fresh consumer: one that was parked, if there is any."""
    if not totals:
        return None
    folder = max(totals, key=lambda name: (totals[name].binary > 0, totals[name].files))
    again = Consumer(takes_binary=True)
    plan = await transport.plan_replay(tenants=[tenant_of(folder)])
    await transport.run_replay(plan, again.handle)
    return Replayed(folder, again.totals.get(folder, Tally()))


def differences(expected: Totals, outcome: Run) -> Iterator[str]:
    """Everything that does not agree with git, in words."""
    totals = outcome.consumer.totals
    if outcome.published.events != expected.files:
        yield f"git has {expected.files} changed files, {outcome.published.events} events were published"
    if outcome.consumer.strangers:
        yield f"{outcome.consumer.strangers} events came under another tenant"
    for partition, behind in sorted(outcome.lag.items()):
        if behind:
            yield f"partition {partition} has a lag of {behind}"
    for folder in sorted(expected.keys() | totals.keys()):
        yield from _compared(folder, expected.get(folder, Tally()), totals.get(folder, Tally()))
        if folder in expected and outcome.put_aside.is_complete:
            yield from _held_back(folder, expected[folder], outcome.put_aside.handled.get(folder, 0))
    if outcome.replayed is not None:
        folder = outcome.replayed.folder
        yield from _compared(f"{folder}, replayed", expected.get(folder, Tally()), outcome.replayed.tally)


def _compared(folder: str, theirs: Tally, ours: Tally) -> Iterator[str]:
    if theirs.numbers != ours.numbers:
        yield f"{folder}: git says {theirs.numbers}, the stream {ours.numbers} (files, binary, added, removed)"
    elif theirs.order != ours.order:
        at = next(index for index, pair in enumerate(zip(theirs.order, ours.order, strict=True)) if len({*pair}) > 1)
        yield f"{folder}: event {at} should be {theirs.order[at]} (commit, path), but {ours.order[at]} came"


def _held_back(folder: str, expected: Tally, handled: int) -> Iterator[str]:
    """A tenant stands exactly before its first binary file; without one it was finished before anything was mended."""
    until = expected.files if expected.first_binary is None else expected.first_binary
    if handled != until:
        yield f"{folder}: {handled} events were handled before the redrive, not {until}"


def table(totals: Totals) -> Iterator[str]:
    yield f"{'tenant':<44} {'files':>9} {'binary':>7} {'added':>11} {'removed':>11}"
    rows = sorted(totals.items(), key=lambda row: -row[1].files)
    for folder, tally in rows[:SHOWN_TENANTS]:
        yield _row(folder, tally.numbers)
    rest = [tally.numbers for _, tally in rows[SHOWN_TENANTS:]]
    if rest:
        yield _row(f"… {len(rest)} more", [sum(column) for column in zip(*rest, strict=True)])
    yield _row("all", [sum(column) for column in zip((0,) * 4, *(tally.numbers for _, tally in rows), strict=True)])


def _row(name: str, numbers: Iterable[int]) -> str:
    files, binary, added, removed = numbers
    return f"{name:<44.44} {files:>9,} {binary:>7,} {added:>11,} {removed:>11,}"


def report(outcome: Run) -> Iterator[str]:
    events = outcome.published.events
    yield from table(outcome.consumer.totals)
    yield ""
    yield (
        f"{events:,} events published at {events / max(outcome.published.seconds, 1e-9):,.0f}/s; "
        f"read from git, published and handled at {events / max(outcome.seconds, 1e-9):,.0f}/s, "
        f"in {outcome.seconds:.1f} s; lag {sum(outcome.lag.values())}"
    )
    yield from _told(outcome.put_aside, tenants=len(outcome.consumer.totals))
    if outcome.replayed is not None:
        yield f"replayed {outcome.replayed.folder}: {outcome.replayed.tally.files:,} events, in the same order"


def _told(put_aside: PutAside, *, tenants: int) -> Iterator[str]:
    if not put_aside.letters:
        yield "no binary files here: nothing was put aside"
        return
    kinds = ", ".join(f"{error} {count:,}" for error, count in put_aside.failures.items())
    yield (
        f"put aside while the handler could not take binary files: {put_aside.letters:,} as dead letters ({kinds}),"
        f" {put_aside.parked} of {tenants} tenants parked"
        + ("" if put_aside.is_complete else ", more than may be parked: the rest waited in the topic")
    )
    yield f"mended and redriven: {put_aside.redriven:,} events, in order, in {put_aside.seconds:.1f} s"


def main(arguments: list[str]) -> int:
    try:
        repositories = repositories_of(arguments)
        with tempfile.TemporaryDirectory(prefix="commit-stream-") as data_dir:
            outcome = asyncio.run(run(IggyConfig(embedded={"data_dir": data_dir}), repositories))
    except (HistoryError, RustokIggyError, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 2
    except FileNotFoundError as error:
        print(f"{error.filename} is needed, and is not installed", file=sys.stderr)
        return 2
    if sys.stderr.isatty():
        print("asking git for its own numbers", file=sys.stderr)
    expected = Totals()
    for repository in repositories:
        expected.update(gits_own_totals(repository))
    print("\n".join(report(outcome)))
    wrong = list(differences(expected, outcome))
    print(
        "\n".join(f"DIFFERS: {line}" for line in wrong) or "reconciled: every total and every tenant's order is git's"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("stopped")
