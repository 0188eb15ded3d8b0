"""Turn the history of git repositories into a stream of events, consume it in a group, and check every number.

    python examples/commit_stream.py [REPOSITORY…]        default: the repository this file is in

One event per changed file of each commit, in commit order; the tenant is the top-level folder. A consumer group builds
totals per tenant. Then git is asked again, by another of its commands, and every total and every tenant's order must
agree. Merges have no changes of their own here, and a rename is a removal and an addition: what git counts with
--no-merges --no-renames. Exit status: 0 when all agrees, 1 when something differs, 2 when it could not be done.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from uuid import NAMESPACE_URL, UUID, uuid5

import msgspec

from rustok_iggy import DeliveryContext, EventCatalog, EventEnvelope, IggyConfig, IggyTransport, RustokIggyError

BATCH = 1000
"""Events published together; more would only wait for one another."""
ROOT_FILES = "(files at the top)"
SHOWN_TENANTS = 20
STALLED_AFTER = 60.0
"""Seconds without a single handled event after which the run gives up."""

catalog = EventCatalog("commits")


@catalog.event("file.changed")
class FileChanged(msgspec.Struct, frozen=True, kw_only=True):
    """One file in one commit. `commit` counts the repository's commits from 0; a binary file has no line counts."""

    folder: str
    path: str
    commit: int
    added: int | None
    removed: int | None


@dataclass
class Tally:
    """What happened in one folder; `order` has the commit and path of each change, as they came."""

    files: int = 0
    binary: int = 0
    added: int = 0
    removed: int = 0
    order: list[tuple[int, str]] = field(default_factory=list, repr=False)

    def count(self, commit: int, path: str, added: int | None, removed: int | None) -> None:
        self.files += 1
        self.order.append((commit, path))
        if added is None or removed is None:
            self.binary += 1
        else:
            self.added += added
            self.removed += removed

    @property
    def numbers(self) -> tuple[int, int, int, int]:
        return self.files, self.binary, self.added, self.removed


class Totals(dict[str, Tally]):
    """Folder → tally."""

    def count(self, folder: str, commit: int, path: str, added: int | None, removed: int | None) -> None:
        self.setdefault(folder, Tally()).count(commit, path, added, removed)

    @property
    def files(self) -> int:
        return sum(tally.files for tally in self.values())


class HistoryError(Exception):
    """A repository has no history to read."""


# What the user's own configuration must not change.
GIT = ("git", "-c", "log.showRoot=true", "-c", "log.showSignature=false", "-c", "diff.external=")
HAS_COMMITS = ("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
DIFF = ("--no-renames", "--numstat", "-z", "--no-ext-diff", "--no-textconv")


@dataclass(frozen=True)
class Repository:
    """One to read; `name` tells it from the others."""

    path: Path
    name: str


async def changes(repository: Repository) -> AsyncIterator[FileChanged]:
    """The changes as `git log` tells them, oldest commit first."""
    git = await asyncio.create_subprocess_exec(
        *GIT, "log", "--reverse", "--no-merges", "--format=%x02%H", *DIFF, cwd=repository.path, stdout=subprocess.PIPE
    )
    output = git.stdout
    if output is None:
        raise HistoryError("git log has no output to read")
    commit = -1
    while token := (await _next_token(output)).lstrip(b"\n"):
        if token.startswith(b"\x02"):
            commit += 1
            continue
        added, removed, path = token.split(b"\t", 2)
        yield FileChanged(
            folder=folder_of(repository.name, path),
            path=_text(path),
            commit=commit,
            added=_lines(added),
            removed=_lines(removed),
        )
    if await git.wait():
        raise HistoryError(f"git log failed in {repository.path}")


async def _next_token(output: asyncio.StreamReader) -> bytes:
    """Up to the next NUL; empty at the end."""
    try:
        return (await output.readuntil(b"\0"))[:-1]
    except asyncio.IncompleteReadError as end:
        return end.partial


def gits_own_totals(repository: Repository) -> Totals:
    """The same history by other commands: git rev-list for the order, git diff-tree for the numbers."""
    listed = subprocess.run(
        [*GIT, "rev-list", "--reverse", "--no-merges", "HEAD"], cwd=repository.path, stdout=subprocess.PIPE, check=True
    ).stdout
    numbers = subprocess.run(
        [*GIT, "diff-tree", "--stdin", "--root", "-r", *DIFF],
        cwd=repository.path,
        input=listed,
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    order = {commit: index for index, commit in enumerate(listed.split())}
    totals = Totals()
    commit = -1
    for record in numbers.split(b"\0"):
        if record in order:
            commit = order[record]
        elif record:
            added, removed, path = record.split(b"\t", 2)
            totals.count(folder_of(repository.name, path), commit, _text(path), _lines(added), _lines(removed))
    return totals


def folder_of(repository: str, path: bytes) -> str:
    top, separator, _ = path.partition(b"/")
    return f"{repository}/{_text(top) if separator else ROOT_FILES}"


def tenant_of(folder: str) -> UUID:
    return uuid5(NAMESPACE_URL, f"git:{folder}")


def _lines(number: bytes) -> int | None:
    return None if number == b"-" else int(number)


def _text(path: bytes) -> str:
    """A path as text that a terminal takes, whatever bytes it has; two paths never become one."""
    text = path.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in text)


class Consumer:
    """Builds the totals from what the group is handed."""

    def __init__(self) -> None:
        self.totals = Totals()
        self.handled = 0
        self.strangers = 0
        """Events under a tenant that is not their folder's."""

    async def handle(self, envelope: EventEnvelope, context: DeliveryContext) -> None:
        event = envelope.event
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

    def __init__(self, consumer: Consumer) -> None:
        self._consumer = consumer
        self._published = 0
        self._shown = sys.stderr.isatty()

    def show(self, *, published: int | None = None) -> None:
        if published is not None:
            self._published = published
        if self._shown:
            print(f"\r{self._published:>10,} published {self._consumer.handled:>10,} handled", end="", file=sys.stderr)

    def end(self) -> None:
        if self._shown:
            print(file=sys.stderr)


async def settled(consumer: Consumer, published: int, progress: Progress) -> None:
    """Return when everything published was handled. Raises TimeoutError when nothing moves any more."""
    seen, since = consumer.handled, time.monotonic()
    while consumer.handled < published:
        await asyncio.sleep(0.02)
        progress.show()
        if consumer.handled != seen:
            seen, since = consumer.handled, time.monotonic()
        elif time.monotonic() - since > STALLED_AFTER:
            raise TimeoutError(f"{seen} of {published} events handled, and none for {STALLED_AFTER:.0f} s")


@dataclass(frozen=True)
class Run:
    """What one run did."""

    consumer: Consumer
    published: Published
    seconds: float
    lag: Mapping[int, int]


async def run(config: IggyConfig, repositories: list[Repository]) -> Run:
    """Publish and consume at the same time, then wait until the group has committed everything."""
    consumer = Consumer()
    progress = Progress(consumer)
    async with IggyTransport(config, catalog=catalog) as transport:
        transport.subscribe(group="totals", event_types=[FileChanged])(consumer.handle)
        began = time.perf_counter()
        async with transport.consuming():
            published = await publish(transport, repositories, progress)
            await settled(consumer, published.events, progress)
            seconds = time.perf_counter() - began
        progress.end()
        lag = await transport.lag(group="totals", topic="domain")
    return Run(consumer, published, seconds, lag)


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
        theirs, ours = expected.get(folder, Tally()), totals.get(folder, Tally())
        if theirs.numbers != ours.numbers:
            yield f"{folder}: git says {theirs.numbers}, the stream {ours.numbers} (files, binary, added, removed)"
        elif theirs.order != ours.order:
            at = next(
                index for index, pair in enumerate(zip(theirs.order, ours.order, strict=True)) if len({*pair}) > 1
            )
            yield f"{folder}: event {at} should be {theirs.order[at]} (commit, path), but {ours.order[at]} came"


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


def repositories_of(arguments: list[str]) -> list[Repository]:
    """The repositories to read. Raises HistoryError for one without a commit."""
    paths = [Path(argument).resolve() for argument in arguments or [str(Path(__file__).parent.parent)]]
    paths = list(dict.fromkeys(paths))
    for path in paths:
        if not path.is_dir() or subprocess.call([*GIT, *HAS_COMMITS], cwd=path, stdout=subprocess.DEVNULL):
            raise HistoryError(f"{path} is not a git repository with at least one commit")
    short = len({path.name for path in paths}) == len(paths)
    return [Repository(path, path.name if short else str(path)) for path in paths]


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
