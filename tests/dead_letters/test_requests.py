"""From what an operator says to the records that are written."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from rustok_iggy.dead_letters.fold_start import FoldStart
from rustok_iggy.dead_letters.journal import Journal
from rustok_iggy.dead_letters.partition_journal import PartitionJournal
from rustok_iggy.dead_letters.records import Action, AnyRecord, Cause, Outcome, Selection, Source
from rustok_iggy.dead_letters.requests import (
    PlannedRequest,
    RequestDraft,
    dlq_partitions_concerned,
    plan_request,
)
from rustok_iggy.errors import RedriveError
from tests.dead_letters.journal_records import EVERYTHING, attempt, claim, epoch, event, letter, request, settlement


def at(partition: int, group: str = "billing") -> Source:
    return Source(group=group, topic="domain", partition=partition)


def partitions(*logs: list[AnyRecord]) -> dict[int, PartitionJournal]:
    """One dlq partition for each log; sources begin with their first record."""
    folded = {}
    for number, log in enumerate(logs):
        folded[number] = PartitionJournal(group="billing")
        folded[number].begin("billing", {})
        for position, record in enumerate(log):
            folded[number].apply(record, position=position)
    return folded


def owned(partition: int, *records: AnyRecord) -> list[AnyRecord]:
    return [replace(claim(epoch(1)), source=at(partition)), *(replace(each, source=at(partition)) for each in records)]


def lanes(planned: PlannedRequest) -> list[list[int]]:
    return [[found.offset for found in lane.letters] for plan in planned.plans.values() for lane in plan.lanes]


@pytest.mark.parametrize(
    ("changes", "wanted"),
    [
        ({}, (0, 1, 3)),
        ({"partitions": (5,)}, (1,)),
        ({"partitions": (3, 8)}, (0, 3)),
        ({"topic": "system"}, ()),
        ({"group": "mail"}, (2,)),
    ],
)
def test_a_request_goes_where_the_sources_it_concerns_are_kept(
    changes: dict[str, object], wanted: tuple[int, ...]
) -> None:
    sources = [at(3), at(7), at(5), at(8), at(2, "mail")]
    asked = replace(request(), **changes)
    assert dlq_partitions_concerned(sources, asked, dlq_partitions=4) == wanted


def test_it_is_written_only_where_something_would_run() -> None:
    folded = partitions(owned(0, letter(epoch(1), 1)), owned(1), [])
    planned = plan_request(RequestDraft(request=request()), folded)
    assert set(planned.records) == {0}
    assert planned.seen == {0: 1, 1: 0, 2: -1}


def test_a_limit_takes_the_oldest_of_all_lanes_and_partitions() -> None:
    folded = partitions(
        owned(0, letter(epoch(1), 1, of=0), letter(epoch(1), 5, of=0), letter(epoch(1), 3, of=1)),
        owned(1, letter(epoch(1), 2, of=2), letter(epoch(1), 4, of=2)),
    )
    planned = plan_request(RequestDraft(request=request(), limit=3), folded)
    assert lanes(planned) == [[1], [3], [2]]
    assert set(planned.records) == {0, 1}
    assert {each.selection for each in planned.records.values()} == {
        Selection(event_ids=(event(1), event(2), event(3)))
    }


def test_a_limit_keeps_what_must_run_before_though_it_was_not_selected_itself() -> None:
    other = letter(epoch(1), 1, event_type="order.shipped")
    folded = partitions(owned(0, other, letter(epoch(1), 2), letter(epoch(1), 3)))
    selection = Selection(event_types=("order.placed",))
    planned = plan_request(RequestDraft(request=request(selection=selection), limit=1), folded)
    assert lanes(planned) == [[1]]


def test_a_limit_cannot_name_letters_without_an_event_id() -> None:
    unread = letter(epoch(1), 1, of=None, event_id=None, cause=Cause.UNDECODABLE)
    with pytest.raises(RedriveError, match="event id"):
        plan_request(RequestDraft(request=request(), limit=1), partitions(owned(0, unread)))


def test_a_discard_carries_how_far_each_partition_was_seen() -> None:
    folded = partitions(
        owned(0, letter(epoch(1), 1), letter(epoch(1), 2)), owned(1, letter(epoch(1), 1)), owned(2, letter(epoch(1), 1))
    )
    asked = request(action=Action.DISCARD, seen=0)
    everything = plan_request(RequestDraft(request=asked), folded)
    assert {number: record.seen for number, record in everything.records.items()} == {0: 2, 1: 1, 2: 1}
    looked_at = plan_request(RequestDraft(request=asked, seen={0: 1, 1: 0}), folded)
    assert {number: record.seen for number, record in looked_at.records.items()} == {0: 1}
    assert lanes(looked_at) == [[1]]


def test_a_redrive_passes_over_what_it_cannot_run_and_names_it() -> None:
    spent = [letter(epoch(1), 1), attempt(epoch(1), 1, 5), settlement(epoch(1), 1, Outcome.FAILED, number=5)]
    planned = plan_request(RequestDraft(request=request(9)), partitions(owned(0, *spent, letter(epoch(1), 2))))
    assert planned.records == {}
    shown = planned.request(now=10_000_000, dry_run=True, positions={})
    assert [found.key.offset for found in shown.needs_force] == [1]
    assert (shown.letters, shown.sources) == (0, frozenset())


def test_what_it_shows_is_what_it_plans() -> None:
    planned = plan_request(
        RequestDraft(request=request(selection=EVERYTHING)),
        partitions(owned(0, letter(epoch(1), 1), letter(epoch(1), 2))),
    )
    shown = planned.request(now=2_000_001 + 5_000_000, dry_run=False, positions={0: 9})
    assert shown.letters == 2
    assert shown.sources == {at(0)}
    assert shown.lanes[0].letters[0].age == 5.0
    assert shown.positions == {0: 9}


def test_a_journal_that_starts_at_a_checkpoint_is_planned_alike() -> None:
    log = owned(0, letter(epoch(1), 1), letter(epoch(1), 2))
    whole = Journal(at(0))
    for position, record in enumerate(log):
        whole.apply(record, position=position)
    restored = PartitionJournal(group="billing")
    start = FoldStart(journal=Journal.restore(whole.snapshot()), position=3, letters_expired=False)
    restored.begin("billing", {at(0): start})
    restored.read_up_to(2)
    draft = RequestDraft(request=request(action=Action.DISCARD, seen=0))
    from_checkpoint, from_first = plan_request(draft, {0: restored}), plan_request(draft, partitions(log))
    assert lanes(from_checkpoint) == lanes(from_first) == [[1, 2]]
    assert from_checkpoint.records == from_first.records
