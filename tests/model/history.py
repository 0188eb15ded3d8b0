"""What happened in a simulated run, and the promises it is held to, at every step of it (delivery.md §7).

The journal is read naively, from its beginning, without the code under test. An event is known by its id: it may stand
at two offsets, when a late copy of its batch landed behind later events.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

from rustok_iggy.dead_letters.layout import decode_record
from rustok_iggy.dead_letters.records import Claim, Letter, Outcome, Release, Request, RequestEnd, Settlement, Source
from rustok_iggy_connector.models import PublishBatch
from rustok_iggy_connector.wire.commands import Message
from rustok_iggy_connector.wire.commands.offsets import StoreOffset
from rustok_iggy_connector.wire.primitives import ConsumerKind
from tests.dead_letters.naive_fold import NaiveJournal, take_in

GROUP, STREAM, DOMAIN, DLQ = "g", "s", "domain", "dlq"
KEPT_LINES = 4000
"""Of what happened, for whoever has to understand a violation."""


class Violation(AssertionError):  # noqa: N818  what was broken is no failure of this code
    """A promise was broken. Says which, and what happened before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """An event as it was first stored: the `number`-th of its tenant."""

    id: UUID
    tenant: UUID
    number: int
    partition: int


@dataclass
class History:
    """Collects what happens; raises Violation through `fail` when it may not."""

    clock: Callable[[], float]
    partitions: int
    dlq_partitions: int
    may_overlap: bool = False
    """Whether a new owner may begin before the one it overtook knows: a takeover timeout below three heartbeats."""
    on_void_letter: Callable[[str], None] = lambda claimant: None
    """Called when somebody who was overtaken has written a letter, with who overtook him."""
    events: dict[UUID, Published] = field(default_factory=dict)
    by_tenant: dict[UUID, list[Published]] = field(default_factory=lambda: defaultdict(list))
    logs: dict[int, list[UUID]] = field(default_factory=lambda: defaultdict(list))
    committed: dict[int, int] = field(default_factory=dict)
    completed: set[UUID] = field(default_factory=set)
    lettered: set[UUID] = field(default_factory=set)
    discarded: set[UUID] = field(default_factory=set)
    asked: dict[UUID, set[int]] = field(default_factory=dict)
    """Open requests: of which source partitions the end is still to come."""
    broken: list[str] = field(default_factory=list)
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    counts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    is_over: bool = False
    _claimants: dict[int, str] = field(default_factory=dict)
    _storers: dict[int, str] = field(default_factory=dict)
    _positions: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    _first_pending: dict[UUID, int] = field(default_factory=lambda: defaultdict(int))

    def __post_init__(self) -> None:
        self.journals = {partition: NaiveJournal() for partition in range(self.partitions)}

    def note(self, kind: str, what: str) -> None:
        self.counts[kind] += 1
        self.lines.append(f"{self.clock():9.3f} {kind:10} {what}")

    def check(self, holds: bool, promise: str) -> None:
        if not holds and not self.is_over:
            self.note("BROKEN", promise)
            self.broken.append(promise)

    # The source

    def published(self, event: Published) -> None:
        """An event, or a copy of it, was stored at the end of its partition."""
        is_copy = event.id in self.events
        if not is_copy:
            self.events[event.id] = event
            self.by_tenant[event.tenant].append(event)
        self.logs[event.partition].append(event.id)
        offset = len(self.logs[event.partition]) - 1
        self.note("copy" if is_copy else "published", f"{self.name(event.id)} at {event.partition}/{offset}")

    # The server

    def landed(self, process: str, request: Message | PublishBatch) -> None:
        """The server took a request of a process."""
        if isinstance(request, PublishBatch):
            for message in request.messages:
                self.recorded(request.partition_id, message.payload)
        elif isinstance(request, StoreOffset) and request.consumer.kind is ConsumerKind.GROUP:
            assert request.partition_id is not None
            self.stored(process, request.partition_id, request.offset)

    def stored(self, process: str, partition: int, offset: int) -> None:
        """The group's offset was stored."""
        before, storer = self.committed.get(partition, -1), self._storers.get(partition)
        self.note("stored" if offset >= before else "back", f"{process} {partition}: {before} -> {offset}")
        # Somebody who was stopped may do it, with what he knew before another had the partition: nothing is lost by it.
        self.check(offset >= before or process != storer, f"{process} moved {partition} back from {before} to {offset}")
        self._storers[partition] = process
        for passed in range(before + 1, offset + 1):
            event = self.logs[partition][passed]
            self.check(
                event in self.completed or event in self.lettered,
                f"committed {partition}/{offset}, past {self.name(event)} at {passed}: neither completed nor a letter",
            )
        self.committed[partition] = offset

    def recorded(self, dlq_partition: int, payload: bytes) -> None:
        """A record stands in the journal."""
        record = decode_record(payload).record
        position = self._positions[dlq_partition]
        self._positions[dlq_partition] += 1
        facts = record_facts(record)
        if isinstance(record, Request):
            waits = {each for each in range(self.partitions) if each % self.dlq_partitions == dlq_partition}
            self.asked.setdefault(record.id, set()).update(waits)
            self.note("request", facts)
            return
        partition = record.source.partition
        if isinstance(record, Release):
            self.note("release", facts)
            return
        naive = self.journals[partition]
        known = {offset for offset, letter in naive.letters.items() if letter.outcome is None}
        take_in(naive, record, position)
        is_void = position in naive.void
        self.note("void" if is_void else type(record).__name__.lower(), f"{dlq_partition}@{position} {facts}")
        if is_void:
            if isinstance(record, Letter):
                self.on_void_letter(self._claimants[partition])
            return
        if isinstance(record, Claim):
            self._claimants[partition] = record.epoch.member
        self._look_at(partition, naive)
        if isinstance(record, Settlement) and record.offset in known and record.outcome is Outcome.HANDLED:
            event = self.logs[partition][record.offset]
            self.check(event in self.completed, f"{self.name(event)} was settled as handled, and never was")
        elif isinstance(record, RequestEnd):
            self.asked.get(record.request, set()).discard(partition)
            if not self.asked.get(record.request, {0}):
                del self.asked[record.request]

    def _look_at(self, partition: int, naive: NaiveJournal) -> None:
        log = self.logs[partition]
        for offset, letter in naive.letters.items():
            self.lettered.add(log[offset])
            if letter.outcome is Outcome.DISCARDED:
                self.discarded.add(log[offset])

    @property
    def storers(self) -> set[str]:
        """Who stored each partition's offset last."""
        return set(self._storers.values())

    def records(self, dlq_partition: int) -> int:
        """How many records a partition of the journal has."""
        return self._positions[dlq_partition]

    # The handlers

    def begins(self, process: str, event: UUID, *, partition: int, offset: int, redrive: int | None) -> None:
        """A handler was called; `redrive`: with a dead letter, for the so-manieth time."""
        self.note("begins", f"{process} {self.name(event)} at {partition}/{offset} redrive={redrive}")
        if self.may_overlap and self._claimants.get(partition) != process:
            self.counts["overlap"] += 1
            return
        letter = self.journals[partition].letters.get(offset)
        if redrive is None:
            self.check(letter is None, f"{self.name(event)} ran live in {process}, and has a letter that counts")
        else:
            is_due = letter is not None and letter.outcome is None and letter.attempts >= redrive
            self.check(is_due, f"{self.name(event)} was redriven in {process} without an attempt that counts: {letter}")

    def completes(self, process: str, event: UUID) -> None:
        """A handler returned."""
        if self.is_over:
            return
        again = event in self.completed
        self.note("completes", f"{process} {self.name(event)}{' again' if again else ''}")
        if again:
            self.counts["again"] += 1
            return
        self.completed.add(event)
        published = self.events[event]
        for earlier in self.pending_of(published.tenant):
            if earlier.number >= published.number:
                break
            self.check(False, f"{self.name(event)} was completed before {self.name(earlier.id)}")

    # At the end

    def pending_of(self, tenant: UUID) -> list[Published]:
        """Events that are neither completed nor discarded, in order."""
        events, first = self.by_tenant[tenant], self._first_pending[tenant]
        while first < len(events) and self._is_done(events[first]):
            first += 1
        self._first_pending[tenant] = first
        return [each for each in events[first:] if not self._is_done(each)]

    def _is_done(self, event: Published) -> bool:
        return event.id in self.completed or event.id in self.discarded

    @property
    def open_letters(self) -> list[tuple[int, int]]:
        """Partition and offset of letters that are neither handled nor discarded."""
        return [
            (partition, offset)
            for partition, naive in self.journals.items()
            for offset, letter in naive.letters.items()
            if letter.outcome is None
        ]

    @property
    def is_all_done(self) -> bool:
        """Whether everything was handled or discarded, committed, and nothing is open."""
        return (
            not self.asked
            and all(self.committed.get(each, -1) == len(log) - 1 for each, log in self.logs.items())
            and not self.open_letters
            and not any(self.pending_of(tenant) for tenant in self.by_tenant)
        )

    def what_is_left(self) -> str:
        pending = [self.name(each.id) for tenant in self.by_tenant for each in self.pending_of(tenant)]
        ends = {each: (self.committed.get(each, -1), len(log) - 1) for each, log in self.logs.items()}
        return f"pending {pending}, open {self.open_letters}, requests {self.asked}, committed and last {ends}"

    def name(self, event: UUID) -> str:
        known = self.events.get(event)
        return "?" if known is None else f"{'abcdefgh'[known.tenant.int % 8]}{known.number}"


def record_facts(record: object) -> str:
    """A record in short."""
    names = ("offset", "number", "outcome", "committed", "cause", "claim", "request", "counts", "action", "id")
    epoch = getattr(record, "epoch", None)
    source: Source | None = getattr(record, "source", None)
    said = [f"{name}={getattr(record, name)}" for name in names if getattr(record, name, None) is not None]
    who = "" if epoch is None else f"{epoch.member}:{epoch.generation} "
    return f"{type(record).__name__} {'' if source is None else source.partition} {who}{' '.join(said)}"
