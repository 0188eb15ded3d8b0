"""What the owner of a journal notes beside the fold: since when the low mark is known."""

import pytest
from msgspec.structs import replace

from rustok_iggy.dead_letters.layout import Opened
from rustok_iggy.dead_letters.read_back import ReadBack
from rustok_iggy.dead_letters.records import OwnerRecord
from tests.dead_letters.journal_records import ELSEWHERE, SOURCE, checkpoint, claim, epoch, folded, letter


def resetting(generation: int, committed: int) -> OwnerRecord:
    return replace(claim(epoch(generation), committed=committed), resets=True)


def low_mark_at(*records: OwnerRecord) -> int:
    """Record n is stored at 100 + n."""
    fold = ReadBack(folded(source=SOURCE), position=0, low_mark_at=7)
    for position, record in enumerate(records):
        fold.take(position, Opened(record=record, body=b"", stored_at=100 + position))  # type: ignore[arg-type]
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
def test_the_low_mark_is_known_since_the_first_record_that_set_it(records: list[OwnerRecord], known_at: int) -> None:
    assert low_mark_at(*records) == known_at
