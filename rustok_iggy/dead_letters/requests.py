"""What an operator asks for: which letters would run in which order, and where the request is written. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from dataclasses import replace as replace_dataclass
from heapq import merge
from itertools import islice
from operator import attrgetter
from uuid import UUID

from msgspec.structs import replace

from rustok_iggy.dead_letters.journal import Journal
from rustok_iggy.dead_letters.letters import DeadLetterSummary, dead_letter
from rustok_iggy.dead_letters.partition_journal import PartitionJournal, dlq_partition_of
from rustok_iggy.dead_letters.records import (
    Action,
    Request,
    Selection,
    Source,
)
from rustok_iggy.dead_letters.redrive_plan import RedrivePlan, is_selected, plan_redrive
from rustok_iggy.dead_letters.snapshot import FoldedLetter
from rustok_iggy.errors import RedriveError


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedLane:
    """What one tenant has to run, in this order (None: letters whose tenant is unknown). Lanes run side by side."""

    group: str
    topic: str
    partition_id: int
    tenant_id: UUID | None
    letters: tuple[DeadLetterSummary, ...] = field(repr=False)

    @property
    def source(self) -> Source:
        """Whose journal its letters stand in."""
        return Source(group=self.group, topic=self.topic, partition=self.partition_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterRequest:
    """A redrive or discard: what it does as the journal stands, and where it was written.

    `positions` maps each dlq partition it was written to, to the offset of its record: none for a dry run, and none
    when no letter was meant. `needs_force`: letters that were meant, but have used up their redrives. `seen` is how
    far each dlq partition had been read.
    """

    id: UUID
    group: str
    action: Action
    dry_run: bool
    lanes: tuple[PlannedLane, ...] = field(repr=False)
    needs_force: tuple[DeadLetterSummary, ...] = field(repr=False)
    seen: Mapping[int, int]
    positions: Mapping[int, int]

    @property
    def letters(self) -> int:
        """How many letters it runs or discards."""
        return sum(len(lane.letters) for lane in self.lanes)

    @property
    def sources(self) -> frozenset[Source]:
        """The source partitions that have letters for it."""
        return frozenset(lane.source for lane in self.lanes)


def dlq_partitions_concerned(sources: Iterable[Source], request: Request, *, dlq_partitions: int) -> tuple[int, ...]:
    """Return the dlq partitions that a request has to be written to, so that every source it concerns reads it."""
    return tuple(
        sorted(
            {dlq_partition_of(source, dlq_partitions=dlq_partitions) for source in sources if request.concerns(source)}
        )
    )


def first_letters(plans: Mapping[Source, RedrivePlan], limit: int) -> Selection:
    """Return a selection of the first `limit` letters of what is planned: by age, each lane's in order.

    Letters without an event id cannot be named; one that parks its tenant runs all the same when a later letter of
    its tenant is selected. Nothing but the ids goes into it: a letter may be meant only because it stands before a
    selected one. Raises RedriveError when there is none to name.
    """
    lanes = [lane.letters for plan in plans.values() for lane in plan.lanes]
    in_order: Iterator[FoldedLetter] = merge(*lanes, key=attrgetter("stored_at"))
    named = (letter.event_id for letter in in_order if letter.event_id is not None)
    ids = tuple(islice(named, limit))
    if not ids:
        raise RedriveError("none of these letters has an event id that a limit could name: leave the limit out")
    return Selection(event_ids=ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestDraft:
    """What was asked for, before the journal was read.

    `limit`: only so many of the letters it means. `seen`: how far the operator had read each dlq partition; None: as
    far as it was read for this.
    """

    request: Request
    limit: int | None = None
    seen: Mapping[int, int] | None = None

    def record(self, partition_id: int, journal: PartitionJournal) -> Request | None:
        """Return the record for a dlq partition; None when nothing there was seen."""
        if self.request.action is Action.REDRIVE:
            return self.request
        read = max(journal.folded_up_to, 0)
        seen = read if self.seen is None else self.seen.get(partition_id)
        return None if seen is None else replace(self.request, seen=seen)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRequest:
    """What a request means as the journal stands, and its record for each dlq partition it has to be written to."""

    draft: RequestDraft
    plans: Mapping[Source, RedrivePlan]
    records: Mapping[int, Request]
    seen: Mapping[int, int]

    def request(self, *, now: int, dry_run: bool, positions: Mapping[int, int]) -> LetterRequest:
        """Return it as an operator sees it at `now`, in µs since 1970 UTC."""
        return LetterRequest(
            id=self.draft.request.id,
            group=self.draft.request.group,
            action=self.draft.request.action,
            dry_run=dry_run,
            lanes=tuple(lane for source, plan in self.plans.items() for lane in _lanes(source, plan, now=now)),
            needs_force=tuple(
                dead_letter(source, letter, now=now)
                for source, plan in self.plans.items()
                for letter in plan.needs_force
            ),
            seen=self.seen,
            positions=positions,
        )


def plan_request(draft: RequestDraft, journals: Mapping[int, PartitionJournal]) -> PlannedRequest:
    """Return what a request means; `journals`: every dlq partition, folded for its group.

    It is written only where something would run: nobody could tell later that it was meant for nothing.
    """
    plans = _plans(draft, journals)
    if draft.limit is not None and any(plan.lanes for plan in plans.values()):
        selection = first_letters(plans, draft.limit)
        draft = replace_dataclass(draft, request=replace(draft.request, selection=selection))
        plans = _plans(draft, journals)
    with_letters = [source for source, plan in plans.items() if plan.lanes]
    concerned = dlq_partitions_concerned(with_letters, draft.request, dlq_partitions=len(journals))
    records = {each: draft.record(each, journals[each]) for each in concerned}
    return PlannedRequest(
        draft=draft,
        plans=plans,
        records={each: record for each, record in records.items() if record is not None},
        seen={each: journal.folded_up_to for each, journal in journals.items()},
    )


def _plans(draft: RequestDraft, partitions: Mapping[int, PartitionJournal]) -> dict[Source, RedrivePlan]:
    plans = {}
    for partition_id, partition in partitions.items():
        record = draft.record(partition_id, partition)
        for journal in partition.journals():
            if record is not None and record.concerns(journal.source):
                plans[journal.source] = plan_redrive(journal, record)
    return plans


def _lanes(source: Source, plan: RedrivePlan, *, now: int) -> Iterator[PlannedLane]:
    for lane in plan.lanes:
        yield PlannedLane(
            group=source.group,
            topic=source.topic,
            partition_id=source.partition,
            tenant_id=lane.tenant_id,
            letters=tuple(dead_letter(source, letter, now=now) for letter in lane.letters),
        )


def selected_letters(journal: Journal, selection: Selection | None) -> Iterator[FoldedLetter]:
    """The open letters of one source that match (None: all), in order of source offset."""
    return (letter for letter in journal.open_letters() if selection is None or is_selected(selection, letter))
