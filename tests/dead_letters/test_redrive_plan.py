from __future__ import annotations

from typing import Any

import pytest

from rustok_iggy.dead_letters.journal import Journal
from rustok_iggy.dead_letters.records import Action, AnyRecord, Cause, Outcome, Request, Selection
from rustok_iggy.dead_letters.redrive_plan import ABORT_SAMPLE, MAX_REDRIVES, RedrivePlan, plan_redrive
from tests.dead_letters.journal_records import (
    attempt,
    claim,
    epoch,
    event,
    failure,
    folded,
    letter,
    request,
    request_id,
    settlement,
    tenant,
)

OWNER = epoch(1)
# Tenant 0: a failure and what waits behind it, then another failure; tenant 1: one of another type; tenant 2: free.
LETTERS: list[AnyRecord] = [
    claim(OWNER),
    letter(OWNER, 11),
    letter(OWNER, 10, of=1, event_type="order.cancelled", failure=failure(fingerprint="f9")),
    letter(OWNER, 13, cause=Cause.SEQUENCE, failure=failure(fingerprint="f1")),
    letter(OWNER, 12, failure=failure(fingerprint="f3")),
    letter(OWNER, 14, of=2, parks=False),
    letter(OWNER, 15, of=2, parks=False, event_type="order.cancelled"),
    letter(OWNER, 16, of=None, event_id=None, event_type=None, schema_version=None, cause=Cause.UNDECODABLE),
]


def planned(selection: Selection, *more: AnyRecord, **changes: Any) -> dict[object, list[int]]:
    return lanes(plan_redrive(folded(*LETTERS, *more), request(selection=selection, **changes)))


def lanes(plan: RedrivePlan) -> dict[object, list[int]]:
    return {lane.tenant_id: [known.offset for known in lane.letters] for lane in plan.lanes}


def test_everything_runs_in_order_of_source_offset_not_of_the_journal() -> None:
    assert planned(Selection(everything=True)) == {
        tenant(0): [11, 12, 13],
        tenant(1): [10],
        tenant(2): [14, 15],
        None: [16],
    }


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(tenants=(tenant(1),)), {tenant(1): [10]}),
        (Selection(event_types=("order.cancelled",)), {tenant(1): [10], tenant(2): [15]}),
        (Selection(event_types=("order.cancelled",), tenants=(tenant(2),)), {tenant(2): [15]}),
        (Selection(fingerprints=("f9", "none")), {tenant(1): [10]}),
        (Selection(event_ids=(event(14),)), {tenant(2): [14]}),
        (Selection(since=1_000_014, until=1_000_016), {tenant(2): [14, 15]}),
        (Selection(tenants=(tenant(7),)), {}),
    ],
)
def test_letters_that_match_every_criterion_are_meant(selection: Selection, expected: object) -> None:
    assert planned(selection) == expected


def test_some_letters_of_a_parked_tenant_mean_all_up_to_the_last_of_them() -> None:
    assert planned(Selection(event_ids=(event(12),))) == {tenant(0): [11, 12]}
    assert planned(Selection(fingerprints=("f1",))) == {tenant(0): [11, 12, 13], tenant(2): [14, 15], None: [16]}


def test_breaking_the_order_is_explicit() -> None:
    assert planned(Selection(event_ids=(event(12),)), break_order=True) == {tenant(0): [12]}


def test_letters_that_park_nobody_are_not_drawn_in() -> None:
    chosen = Selection(event_ids=(event(15),))
    parked_too = letter(OWNER, 9, of=2)
    assert planned(chosen, parked_too) == {tenant(2): [15]}
    assert planned(Selection(event_ids=(event(9),)), letter(OWNER, 8, of=2, parks=False), parked_too) == {
        tenant(2): [9]
    }


def test_a_letter_that_failed_again_ends_its_lane_for_this_request_only() -> None:
    failed = [request(), attempt(OWNER, 11, 1), settlement(OWNER, 11, Outcome.FAILED)]
    selection = Selection(tenants=(tenant(0),))
    assert planned(selection, *failed) == {}
    assert planned(selection, *failed, id=request_id(2)) == {tenant(0): [11, 12, 13]}
    assert planned(selection, *failed, break_order=True) == {tenant(0): [12, 13]}


def test_a_letter_that_parks_nobody_stops_nobody_when_it_fails_again() -> None:
    failed = [request(), attempt(OWNER, 14, 1), settlement(OWNER, 14, Outcome.FAILED)]
    assert planned(Selection(tenants=(tenant(2),)), *failed) == {tenant(2): [15]}


def test_what_was_handled_is_not_run_again_when_a_request_is_resumed() -> None:
    done = [request(), attempt(OWNER, 11, 1), settlement(OWNER, 11, Outcome.HANDLED), attempt(OWNER, 12, 1)]
    assert planned(Selection(tenants=(tenant(0),)), *done) == {tenant(0): [12, 13]}


def test_letters_that_arrive_meanwhile_join() -> None:
    later = letter(OWNER, 20, cause=Cause.SEQUENCE)
    assert planned(Selection(tenants=(tenant(0),)), later) == {tenant(0): [11, 12, 13, 20]}
    assert planned(Selection(event_ids=(event(13),)), later) == {tenant(0): [11, 12, 13]}


def test_a_letter_that_used_up_its_redrives_needs_force() -> None:
    journal = folded(*LETTERS, attempt(OWNER, 12, MAX_REDRIVES))
    selection = Selection(tenants=(tenant(0),))
    plan = plan_redrive(journal, request(selection=selection))
    assert lanes(plan) == {tenant(0): [11]}
    assert [known.offset for known in plan.needs_force] == [12]
    assert lanes(plan_redrive(journal, request(selection=selection, force=True))) == {tenant(0): [11, 12, 13]}
    assert lanes(plan_redrive(journal, request(selection=selection), max_redrives=6)) == {tenant(0): [11, 12, 13]}


def discard(selection: Selection, *, seen: int = 100) -> Request:
    return request(selection=selection, action=Action.DISCARD, seen=seen)


def test_a_discard_means_exactly_the_letters_selected() -> None:
    journal = folded(*LETTERS, attempt(OWNER, 12, MAX_REDRIVES))
    assert lanes(plan_redrive(journal, discard(Selection(event_ids=(event(12),))))) == {tenant(0): [12]}


def test_a_discard_spares_what_its_operator_had_not_seen() -> None:
    journal = folded(*LETTERS)
    assert lanes(plan_redrive(journal, discard(Selection(everything=True), seen=2))) == {
        tenant(0): [11],
        tenant(1): [10],
    }


def after_failures(failures: int, handled: int) -> Journal:
    total = failures + handled
    records: list[AnyRecord] = [claim(OWNER), *(letter(OWNER, n, of=n) for n in range(total + 1)), request()]
    for n in range(total):
        outcome = Outcome.FAILED if n < failures else Outcome.HANDLED
        records += [attempt(OWNER, n, 1), settlement(OWNER, n, outcome)]
    return folded(*records)


def test_a_request_is_given_up_when_too_many_fail_again() -> None:
    half = request(abort_ratio=0.5)
    assert not plan_redrive(after_failures(5, 5), half).aborted
    plan = plan_redrive(after_failures(6, 5), half)
    assert plan.aborted
    assert plan.is_done
    assert not plan_redrive(after_failures(6, 5), request()).aborted


def test_few_failures_say_nothing_yet() -> None:
    assert not plan_redrive(after_failures(ABORT_SAMPLE - 1, 0), request(abort_ratio=0.0)).aborted
    assert plan_redrive(after_failures(ABORT_SAMPLE, 0), request(abort_ratio=0.0)).aborted


def test_a_request_for_nothing_is_done() -> None:
    assert plan_redrive(folded(claim(OWNER)), request()).is_done
    assert not plan_redrive(folded(*LETTERS), request()).is_done
