"""The checks of a chaos run find what they are there to find: each broken promise, planted in a small history."""

from __future__ import annotations

from dataclasses import replace

import pytest
from msgspec.structs import replace as changed

from rustok_iggy.dead_letters.records import Outcome
from tests.chaos.checks import Evidence, check, most_at_once
from tests.chaos.histories import Confirmed, Noted, What
from tests.chaos.stored import Claimed, JournalHistory, LetterLife, Stored

FIRST, SECOND = 100, 200
"""Processes."""


def confirmed(number: int) -> Confirmed:
    return Confirmed(at=number, tenant=0, number=number, partition=0, offset=number)


def stored(number: int, *, offset: int | None = None) -> Stored:
    return Stored(tenant=0, number=number, partition=0, offset=number if offset is None else offset)


def noted(number: int, *, at: int, what: What = What.HANDLED, process: int = FIRST, redrive: int = 0) -> Noted:
    return Noted(
        at=at,
        process=process,
        what=what,
        tenant=0,
        number=number,
        partition=0,
        offset=number,
        group_id=1,
        generation=1,
        redrive=redrive,
    )


def claimed(position: int, *, at: int, process: int, committed: int) -> Claimed:
    return Claimed(at=at, position=position, process=process, committed=committed)


def good() -> Evidence:
    """Five events: 3 fails, its letter is handled later; 4 is discarded; 1 and 2 come again after the first owner."""
    steps = [noted(number, at=10 + number, what=What.BEGAN) for number in range(3)]
    steps += [noted(number, at=10 + number) for number in range(3)]
    for number in (1, 2):
        steps += [noted(number, at=30 + number, what=what, process=SECOND) for what in (What.BEGAN, What.HANDLED)]
    steps.append(noted(3, at=34, what=What.FAILED, process=SECOND))
    steps += [noted(3, at=50, what=what, process=SECOND, redrive=1) for what in (What.BEGAN, What.HANDLED)]
    journal = JournalHistory(
        letters={
            (0, 3): LetterLife(partition=0, offset=3, position=2, attempts=1, outcome=Outcome.HANDLED),
            (0, 4): LetterLife(partition=0, offset=4, position=3, outcome=Outcome.DISCARDED),
        },
        claims={0: [claimed(0, at=5, process=FIRST, committed=-1), claimed(1, at=25, process=SECOND, committed=0)]},
    )
    return Evidence(
        confirmed=[confirmed(number) for number in range(5)],
        noted=steps,
        stored=[*[stored(number) for number in range(5)], stored(2, offset=5)],
        journal=journal,
    )


def test_a_history_that_keeps_every_promise_passes() -> None:
    found = check(good())
    assert found.violations == []
    assert found.numbers["handled"] == 4
    assert found.numbers["came again live"] == 2
    assert found.numbers["stored twice (repeated publishes)"] == 1
    assert most_at_once(good().handled()) == 2


def lost(evidence: Evidence) -> Evidence:
    return replace(evidence, noted=[each for each in evidence.noted if each.number != 3])


def jumped_the_queue(evidence: Evidence) -> Evidence:
    return replace(evidence, noted=[changed(e, at=9) if e.number == 3 and e.redrive else e for e in evidence.noted])


def misplaced(evidence: Evidence) -> Evidence:
    return replace(evidence, confirmed=[changed(each, offset=each.offset + 1) for each in evidence.confirmed])


def stored_late(evidence: Evidence) -> Evidence:
    places = [stored(0), stored(2, offset=1), stored(1, offset=2), stored(3), stored(4)]
    return replace(evidence, stored=places)


def never_published(evidence: Evidence) -> Evidence:
    return replace(evidence, noted=[*evidence.noted, noted(9, at=60)])


def twice_at_one_owner(evidence: Evidence) -> Evidence:
    return replace(evidence, noted=[*evidence.noted, noted(2, at=15)])


def below_the_commit(evidence: Evidence) -> Evidence:
    return replace(evidence, noted=[*evidence.noted, noted(0, at=60, what=What.BEGAN, process=SECOND)])


def live_at_the_next_owner(evidence: Evidence) -> Evidence:
    evidence.journal.claims[0].append(claimed(4, at=60, process=FIRST, committed=2))
    return replace(evidence, noted=[*evidence.noted, noted(3, at=70, what=What.BEGAN)])


def open_letter(evidence: Evidence) -> Evidence:
    evidence.journal.letters[0, 4].outcome = None
    return replace(evidence, noted=[*evidence.noted, noted(4, at=60)])


def open_request(evidence: Evidence) -> Evidence:
    evidence.journal.open_requests = 1
    return evidence


@pytest.mark.parametrize(
    ("plant", "says"),
    [
        (lost, "lost: confirmed, neither handled nor discarded: 1"),
        (jumped_the_queue, "order of a tenant broken"),
        (misplaced, "not where the confirmation says: 5"),
        (stored_late, "stored in another order"),
        (never_published, "never published: 1"),
        (twice_at_one_owner, "had been handled already: 1"),
        (below_the_commit, "although it was committed: 1"),
        (live_at_the_next_owner, "although it was a dead letter: 1"),
        (open_letter, "letters left open: 1"),
        (open_request, "requests left open: 1"),
    ],
)
def test_a_broken_promise_is_found(plant: object, says: str) -> None:
    assert callable(plant)
    violations = check(plant(good())).violations
    assert any(says in each for each in violations), violations
