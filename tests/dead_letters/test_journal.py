from __future__ import annotations

import pytest

from rustok_iggy.dead_letters.journal import Journal, Verdict
from rustok_iggy.dead_letters.records import Epoch, Outcome
from rustok_iggy.dead_letters.snapshot import Progress
from tests.dead_letters.journal_records import (
    ELSEWHERE,
    SOURCE,
    attempt,
    checkpoint,
    claim,
    epoch,
    folded,
    letter,
    release,
    request,
    request_end,
    request_id,
    settlement,
    tenant,
)

FIRST, SECOND, THIRD = epoch(1, "A"), epoch(2, "B"), epoch(3, "A")


def offsets(journal: Journal) -> list[int]:
    return [letter.offset for letter in journal.open_letters()]


def test_a_letter_parks_its_tenant_until_its_last_one_is_closed() -> None:
    journal = folded(claim(FIRST), letter(FIRST, 5), letter(FIRST, 9), letter(FIRST, 7, of=1))
    assert journal.parked_from(tenant(0)) == 5
    assert journal.parked_from(tenant(1)) == 7
    assert journal.parking_letters(tenant(0)) == 2
    assert journal.parked_from(tenant(2)) is None

    journal.apply(settlement(FIRST, 5, Outcome.HANDLED), position=4)
    assert journal.parked_from(tenant(0)) == 9
    journal.apply(settlement(FIRST, 9, Outcome.DISCARDED), position=5)
    assert journal.parked_tenants == {tenant(1)}
    assert journal.parking_letters(tenant(0)) == 0


def test_only_a_tenants_first_letter_changes_from_where_it_is_held() -> None:
    journal = folded(claim(FIRST), letter(FIRST, 5))
    before = journal.parking_changes
    for position, offset in enumerate((6, 7, 8), start=2):
        journal.apply(letter(FIRST, offset), position=position)
    journal.apply(settlement(FIRST, 7, Outcome.DISCARDED), position=5)
    assert journal.parking_changes == before

    for position, change in enumerate((letter(FIRST, 4), letter(FIRST, 9, of=1)), start=6):
        journal.apply(change, position=position)
    assert journal.parking_changes == before + 2
    journal.apply(settlement(FIRST, 4, Outcome.HANDLED), position=8)
    assert journal.parking_changes == before + 3


def test_a_letter_that_parks_nobody_holds_nobody() -> None:
    journal = folded(claim(FIRST), letter(FIRST, 5, parks=False), letter(FIRST, 6, of=None))
    assert offsets(journal) == [5, 6]
    assert not journal.parked_tenants


@pytest.mark.parametrize(
    "record",
    [
        claim(FIRST, committed=50),
        letter(FIRST, 6, of=1),
        attempt(FIRST, 5, 9),
        settlement(FIRST, 5, Outcome.HANDLED),
        settlement(FIRST, 5, Outcome.FAILED),
        request_end(FIRST),
        checkpoint(FIRST, committed=50),
    ],
    ids=lambda record: type(record).__name__,
)
def test_whatever_an_overtaken_owner_writes_is_void(record: object) -> None:
    journal = folded(claim(FIRST), letter(FIRST, 5), request(), claim(SECOND))
    before = journal.snapshot()
    assert journal.apply(record, position=4) is Verdict.VOID
    journal.folded_up_to = 3
    assert journal.snapshot() == before


@pytest.mark.parametrize("reborn", [epoch(1, group_id=2), epoch(1, group_id=0, topic=1)], ids=["group", "topic"])
def test_a_group_made_again_starts_its_generations_again_under_a_higher_id_or_in_a_later_topic(reborn: Epoch) -> None:
    journal = folded(claim(epoch(900)), claim(reborn))
    assert journal.claim is not None
    assert journal.claim.epoch == reborn
    assert journal.apply(letter(epoch(900), 5), position=2) is Verdict.VOID
    assert journal.is_overtaken(epoch(900))
    assert not journal.is_overtaken(reborn)


def test_a_release_counts_after_the_next_claim_only_for_the_one_it_closes() -> None:
    journal = folded(claim(FIRST))
    first = journal.claim
    assert first is not None
    journal.apply(claim(SECOND), position=1)
    closing = release(FIRST, closes=0)
    assert first.is_closed_by(closing)
    assert journal.apply(closing, position=2) is Verdict.IGNORED
    assert journal.claim is not None
    assert not journal.claim.is_released
    journal.apply(release(SECOND, closes=1), position=3)
    assert journal.claim.is_released


def test_an_owner_that_claims_again_in_its_generation_is_not_released_any_more() -> None:
    journal = folded(claim(FIRST), release(FIRST, closes=0), claim(FIRST))
    assert journal.claim is not None
    assert not journal.claim.is_released
    assert journal.claim.position == 0


def test_a_second_letter_with_the_same_key_is_ignored() -> None:
    journal = folded(claim(FIRST), letter(FIRST, 5))
    assert journal.apply(letter(FIRST, 5, of=1), position=2) is Verdict.IGNORED
    assert journal.parked_tenants == {tenant(0)}


@pytest.mark.parametrize("outcome", [Outcome.HANDLED, Outcome.DISCARDED])
def test_a_late_copy_of_a_closed_letter_does_not_open_it(outcome: Outcome) -> None:
    journal = folded(claim(FIRST), letter(FIRST, 5), settlement(FIRST, 5, outcome))
    assert journal.apply(letter(FIRST, 5), position=3) is Verdict.IGNORED
    assert offsets(journal) == []
    kept = journal.letter(5)
    assert kept is not None
    assert kept.outcome is outcome


@pytest.mark.parametrize("raises", [claim(SECOND, committed=5), checkpoint(SECOND, committed=5)])
def test_a_letter_at_or_below_the_low_mark_is_ignored(raises: object) -> None:
    journal = folded(claim(FIRST), claim(SECOND), raises)
    assert journal.low_mark == 5
    assert journal.apply(letter(SECOND, 5), position=3) is Verdict.IGNORED
    assert journal.apply(letter(SECOND, 6), position=4) is Verdict.APPLIED


def test_the_low_mark_never_falls_and_leaves_open_letters_open() -> None:
    journal = folded(claim(FIRST), letter(FIRST, 5), claim(SECOND, committed=9), claim(THIRD, committed=2))
    assert journal.low_mark == 9
    assert offsets(journal) == [5]


def test_closed_letters_at_or_below_the_low_mark_are_forgotten() -> None:
    journal = folded(
        claim(FIRST),
        letter(FIRST, 5),
        letter(FIRST, 6, of=1),
        settlement(FIRST, 5, Outcome.HANDLED),
        claim(SECOND, committed=6),
    )
    assert journal.letter(5) is None
    journal.apply(settlement(SECOND, 6, Outcome.HANDLED), position=5)
    assert journal.letter(6) is None
    assert journal.snapshot().letters == ()


def test_a_failed_attempt_leaves_the_letter_open_with_what_is_known_now() -> None:
    journal = folded(
        claim(FIRST), letter(FIRST, 5), request(), attempt(FIRST, 5, 1), settlement(FIRST, 5, Outcome.FAILED)
    )
    again = journal.letter(5)
    assert again is not None
    assert again.is_open
    assert (again.attempts, again.settled_in, again.fingerprint) == (1, request_id(1), "f2")
    assert journal.progress(request_id(1)) == Progress(failed=1)
    journal.apply(attempt(FIRST, 5, 2, request=2), position=5)
    journal.apply(settlement(FIRST, 5, Outcome.HANDLED, number=2, request=2), position=6)
    assert offsets(journal) == []


def test_a_late_copy_of_an_earlier_failure_says_nothing_about_the_attempt_under_way() -> None:
    failed = settlement(FIRST, 5, Outcome.FAILED)
    journal = folded(claim(FIRST), letter(FIRST, 5), request(), attempt(FIRST, 5, 1), failed)
    assert journal.apply(failed, position=5) is Verdict.IGNORED
    journal.apply(attempt(FIRST, 5, 2, request=2), position=6)
    journal.apply(settlement(FIRST, 5, Outcome.FAILED, number=2, request=2), position=7)
    assert journal.apply(failed, position=8) is Verdict.IGNORED
    assert journal.apply(attempt(FIRST, 5, 1), position=9) is Verdict.IGNORED
    assert journal.progress(request_id(2)) == Progress(failed=1)
    known = journal.letter(5)
    assert known is not None
    assert (known.attempts, known.settled_in) == (2, request_id(2))


def test_an_announced_letter_that_did_not_run_gets_its_attempt_back_once() -> None:
    not_run = settlement(FIRST, 5, Outcome.NOT_RUN, number=2, request=2)
    journal = folded(
        claim(FIRST), letter(FIRST, 5), attempt(FIRST, 5, 1), settlement(FIRST, 5, Outcome.FAILED), attempt(FIRST, 5, 2)
    )
    for position, verdict in enumerate([Verdict.APPLIED, Verdict.IGNORED], start=5):
        assert journal.apply(not_run, position=position) is verdict
    known = journal.letter(5)
    assert known is not None
    assert known.is_open
    assert (known.attempts, known.settled_in, known.fingerprint) == (1, request_id(1), "f2")
    journal = folded(claim(FIRST), letter(FIRST, 5))
    assert journal.apply(settlement(FIRST, 5, Outcome.NOT_RUN, number=0), position=2) is Verdict.IGNORED


def test_records_about_letters_nobody_wrote_are_ignored() -> None:
    journal = folded(claim(FIRST))
    assert journal.apply(attempt(FIRST, 5, 1), position=1) is Verdict.IGNORED
    assert journal.apply(settlement(FIRST, 5, Outcome.HANDLED), position=2) is Verdict.IGNORED
    assert journal.apply(request_end(FIRST), position=3) is Verdict.IGNORED


def test_requests_are_open_until_this_source_ended_them_and_stand_in_journal_order() -> None:
    journal = folded(claim(FIRST), request(2), request(1), request(2))
    assert [open_.request.id for open_ in journal.requests] == [request_id(2), request_id(1)]
    assert journal.requests[0].position == 1
    journal.apply(request_end(FIRST, 2), position=4)
    assert [open_.request.id for open_ in journal.requests] == [request_id(1)]


def test_a_request_counts_what_became_of_its_letters() -> None:
    journal = folded(
        claim(FIRST),
        letter(FIRST, 1),
        letter(FIRST, 2),
        letter(FIRST, 3),
        request(),
        settlement(FIRST, 1, Outcome.HANDLED),
        settlement(FIRST, 1, Outcome.HANDLED),
        settlement(FIRST, 2, Outcome.DISCARDED),
        settlement(FIRST, 3, Outcome.FAILED),
        settlement(FIRST, 3, Outcome.FAILED),
    )
    assert journal.progress(request_id(1)) == Progress(handled=1, failed=1, discarded=1)
    journal.apply(checkpoint(FIRST, committed=9), position=10)
    assert journal.progress(request_id(1)) == Progress(handled=1, failed=1, discarded=1)
    assert Journal.restore(journal.snapshot()).progress(request_id(1)) == Progress(handled=1, failed=1, discarded=1)
    journal.apply(request_end(FIRST), position=11)
    assert journal.progress(request_id(1)) == Progress(failed=1), "closed letters are forgotten with the request"


@pytest.mark.parametrize(
    ("record", "verdict"),
    [
        (letter(FIRST, 5, source=ELSEWHERE), Verdict.FOREIGN),
        (request(group="shipping"), Verdict.FOREIGN),
        (request(topic="system"), Verdict.FOREIGN),
        (request(partitions=(ELSEWHERE.partition,)), Verdict.FOREIGN),
        (request(topic=SOURCE.topic, partitions=(ELSEWHERE.partition, SOURCE.partition)), Verdict.APPLIED),
    ],
)
def test_only_this_source_is_folded(record: object, verdict: Verdict) -> None:
    journal = folded(claim(epoch(9), source=ELSEWHERE))
    assert journal.claim is None
    assert journal.apply(record, position=1) is verdict
    assert journal.folded_up_to == 1


def test_records_are_folded_in_order_and_once() -> None:
    journal = folded(claim(FIRST))
    with pytest.raises(AssertionError, match="order of position"):
        journal.apply(claim(FIRST), position=0)
    journal.skip(1)
    assert journal.folded_up_to == 1


def test_the_pin_keeps_what_is_open_and_what_stands_above_the_low_mark() -> None:
    journal = Journal(SOURCE)
    journal.skip(0)
    for position, record in enumerate(
        [claim(FIRST), letter(FIRST, 5), settlement(FIRST, 5, Outcome.HANDLED), claim(SECOND), request(2)], start=1
    ):
        journal.apply(record, position=position)
    assert journal.pin == 0, "offset 5 is closed, but above the low mark"
    journal.apply(claim(THIRD, committed=5), position=6)
    assert journal.pin == 3, "the request is open"
    journal.apply(request_end(THIRD, 2), position=7)
    assert journal.pin == 5


def test_nothing_is_pinned_when_the_start_of_the_journal_is_needed() -> None:
    assert Journal(SOURCE).pin is None
    assert folded(claim(FIRST)).pin is None
    assert folded(request(), claim(FIRST), claim(SECOND)).pin is None


def test_a_claim_that_knows_less_than_the_low_mark_is_no_place_to_start() -> None:
    """A stored offset can go back: a fold from such a claim would open copies of letters that are settled."""
    journal = Journal(SOURCE)
    journal.apply(claim(FIRST, committed=9), position=1)
    journal.apply(claim(SECOND, committed=2), position=2)
    assert journal.pin == 0
    journal.apply(claim(THIRD, committed=9), position=3)
    assert journal.pin == 2


def test_a_copy_of_a_claim_does_not_move_the_pin_above_copies_of_its_letters() -> None:
    journal = Journal(SOURCE)
    journal.apply(claim(FIRST), position=4)
    journal.apply(claim(FIRST), position=6)
    assert journal.pin == 3


def test_a_release_of_an_earlier_claim_closes_no_later_one() -> None:
    journal = Journal(SOURCE)
    journal.apply(claim(SECOND), position=7)
    assert journal.apply(release(SECOND, closes=6), position=8) is Verdict.IGNORED
    assert journal.apply(release(SECOND, closes=7), position=9) is Verdict.APPLIED


def test_a_copy_of_an_attempt_says_nothing_new() -> None:
    journal = folded(claim(FIRST), letter(FIRST, 5), attempt(FIRST, 5, 1))
    assert journal.apply(attempt(FIRST, 5, 1), position=3) is Verdict.IGNORED
