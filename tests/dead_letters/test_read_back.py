"""What the owner of a journal notes beside the fold: its own records, and since when the low mark is known."""

from __future__ import annotations

from uuid import UUID

import pytest
from msgspec.structs import replace

from rustok_iggy.dead_letters import read_back
from rustok_iggy.dead_letters.drafts import written
from rustok_iggy.dead_letters.journal import Journal, Verdict
from rustok_iggy.dead_letters.layout import Opened, decode_record, encode_record
from rustok_iggy.dead_letters.read_back import Expectation, ReadBack
from rustok_iggy.dead_letters.records import OWNERS, AnyRecord
from tests.dead_letters.journal_records import ELSEWHERE, SOURCE, checkpoint, claim, epoch, folded, letter

OURS, THEIRS = epoch(1, "A"), epoch(2, "B")


def expecting(*records: AnyRecord) -> Expectation:
    return Expectation([written(record, new_id=lambda: UUID(int=1)) for record in records])


def fold_of(*records: AnyRecord) -> ReadBack:
    """A fold behind our claim and some more records, of which nobody expected any."""
    fold = ReadBack(Journal(SOURCE), position=0)
    fold.claimed_at, fold.ours = 0, (OURS,)
    for record in (claim(OURS), *records):
        fold.take(fold.next_position, encode_record(record).payload, stored_at=1)
    return fold


def take(fold: ReadBack, expected: Expectation) -> None:
    for message in expected.messages:
        fold.take(fold.next_position, message.payload, stored_at=1)


def test_what_was_written_counts_where_it_stands_and_is_not_decoded_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[bytes] = []

    def decode(payload: bytes) -> Opened:
        decoded.append(payload)
        return decode_record(payload)

    monkeypatch.setattr(read_back, "decode_record", decode)
    fold, expected = fold_of(), expecting(letter(OURS, 5), letter(OURS, 6))
    fold.expect(expected)
    assert expected.verdicts is None
    fold.take(1, encode_record(letter(OURS, 4)).payload, stored_at=1)
    take(fold, expected)
    assert expected.verdicts == [Verdict.APPLIED, Verdict.APPLIED]
    assert [(each.offset, each.position) for each in fold.journal.open_letters()] == [(4, 1), (5, 2), (6, 3)]
    assert decoded == [encode_record(each).payload for each in (claim(OURS), letter(OURS, 4))]


def test_a_higher_claim_before_it_makes_what_was_written_void() -> None:
    expected = expecting(letter(OURS, 5))
    fold = fold_of()
    fold.expect(expected)
    fold.take(1, encode_record(claim(THEIRS)).payload, stored_at=1)
    take(fold, expected)
    assert expected.verdicts == [Verdict.VOID]
    assert fold.is_overtaken
    assert fold.journal.letter(5) is None


def test_the_first_copy_says_what_became_of_a_record() -> None:
    again = expecting(letter(OURS, 5))
    fold = fold_of(letter(OURS, 5))
    fold.expect(again)
    take(fold, again)
    assert again.verdicts == [Verdict.IGNORED], "the journal already knew"

    expected = expecting(letter(OURS, 6))
    fold.expect(expected)
    take(fold, expected)
    take(fold, expected)
    assert expected.verdicts == [Verdict.APPLIED]


def test_two_who_wrote_the_same_are_both_told_until_they_want_to_know_no_more() -> None:
    first, second = expecting(letter(OURS, 5)), expecting(letter(OURS, 5))
    fold = fold_of()
    fold.expect(first)
    fold.expect(second)
    fold.forget(first)
    take(fold, second)
    assert (first.verdicts, second.verdicts) == (None, [Verdict.APPLIED])
    fold.forget(second)
    take(fold, second)


def test_what_is_no_record_is_passed_over() -> None:
    fold = fold_of()
    fold.take(1, b"made by hand", stored_at=1)
    assert (fold.next_position, fold.journal.folded_up_to) == (2, 1)


def resetting(generation: int, committed: int) -> OWNERS:
    return replace(claim(epoch(generation), committed=committed), resets=True)


def low_mark_at(*records: OWNERS) -> int:
    """Record n is stored at 100 + n."""
    fold = ReadBack(folded(source=SOURCE), position=0, low_mark_at=7)
    for position, record in enumerate(records):
        fold.take(position, encode_record(record).payload, stored_at=100 + position)
    return fold.low_mark_at


@pytest.mark.parametrize(
    ("records", "known_at"),
    [
        ([claim(epoch(1))], 7),
        ([claim(epoch(1), committed=4)], 100),
        # A record that says the same again may have been written when the log was another one already.
        ([claim(epoch(1), committed=4), claim(epoch(2), committed=4), claim(epoch(3), committed=2)], 100),
        ([claim(epoch(1), committed=4), checkpoint(epoch(1), committed=9), letter(epoch(1), 12)], 101),
        # An owner that was overtaken, and another source.
        ([claim(epoch(2), committed=4), claim(epoch(1), committed=9)], 100),
        ([claim(epoch(1), committed=4), claim(epoch(2), committed=9, source=ELSEWHERE)], 100),
        # Whoever resets means the log as it is then, wherever he sets the mark.
        ([claim(epoch(1), committed=4), resetting(2, 4)], 101),
        ([claim(epoch(1), committed=4), resetting(2, 1)], 101),
        ([claim(epoch(2), committed=4), resetting(1, 4)], 100),
    ],
)
def test_the_low_mark_is_known_since_the_first_record_that_set_it(records: list[OWNERS], known_at: int) -> None:
    assert low_mark_at(*records) == known_at
