from __future__ import annotations

from rustok_iggy.dead_letters.fold_start import FoldStart, StoredStart, checkpoint_of, plan_fold
from rustok_iggy.dead_letters.layout import Opened
from rustok_iggy.dead_letters.snapshot import encode_snapshot
from tests.dead_letters.journal_records import ELSEWHERE, SOURCE, checkpoint, claim, epoch, folded, letter, request

OWNER = epoch(1)
JOURNAL = folded(claim(OWNER), letter(OWNER, 5), letter(OWNER, 6))  # folded up to position 2
CHECKPOINT = Opened(record=checkpoint(OWNER), body=encode_snapshot(JOURNAL.snapshot()))
PINNED = Opened(record=claim(OWNER), body=b"")


def start(**stored: object) -> FoldStart:
    return plan_fold(SOURCE, stored=StoredStart(**{"first": 0, **stored}))


def test_a_checkpoint_is_gone_on_from() -> None:
    found = start(checkpoint=CHECKPOINT, pin=1, pinned=PINNED)
    assert found.position == 3
    assert found.journal.snapshot() == JOURNAL.snapshot()
    assert not found.letters_expired


def test_without_a_checkpoint_the_fold_starts_after_the_pin() -> None:
    found = start(first=2, pin=4, pinned=PINNED)
    assert found.position == 5
    assert found.journal.folded_up_to < 0
    assert not found.letters_expired


def test_a_request_can_be_what_stands_after_the_pin() -> None:
    assert start(pin=4, pinned=Opened(record=request(), body=b"")).position == 5


def test_with_neither_it_starts_at_the_first_record_there_is() -> None:
    assert start(first=7).position == 7
    assert not start(first=7).letters_expired


def test_offsets_of_another_source_with_the_same_hash_are_not_believed() -> None:
    foreign = Opened(record=claim(OWNER, source=ELSEWHERE), body=b"")
    theirs = Opened(record=checkpoint(OWNER, source=ELSEWHERE), body=CHECKPOINT.body)
    assert start(pin=4, pinned=foreign).position == 0
    assert start(pin=4, pinned=None).position == 0
    assert start(pin=4, pinned=PINNED, checkpoint=theirs).position == 5
    assert start(pin=4, pinned=Opened(record=request(group="shipping"), body=b"")).position == 0


def test_a_checkpoint_that_is_none_is_not_believed() -> None:
    damaged = Opened(record=checkpoint(OWNER), body=CHECKPOINT.body[:-1])
    other = Opened(record=checkpoint(OWNER), body=encode_snapshot(folded(source=ELSEWHERE).snapshot()))
    for opened in (damaged, other, PINNED):
        assert checkpoint_of(SOURCE, opened) is None
        assert start(checkpoint=opened).position == 0
    assert checkpoint_of(SOURCE, CHECKPOINT) == JOURNAL.snapshot()


def test_records_that_expired_below_the_pin_are_reported() -> None:
    assert start(first=6, pin=4, pinned=None).letters_expired
    assert not start(first=5, pin=4, pinned=PINNED).letters_expired
    assert start(first=6, pin=4, checkpoint=CHECKPOINT).letters_expired


def test_a_checkpoint_before_a_gap_is_not_gone_on_from() -> None:
    assert start(first=3, checkpoint=CHECKPOINT).position == 3
    assert start(first=3, checkpoint=CHECKPOINT).journal.claim is not None
    assert start(first=4, checkpoint=CHECKPOINT).journal.claim is None
