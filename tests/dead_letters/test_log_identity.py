"""Whether a log is the one of which something is known."""

from collections.abc import Sequence

import pytest

from rustok_iggy.dead_letters.log_identity import Mark, ends_before, is_another, marks_of
from rustok_iggy.dead_letters.records import Outcome
from rustok_iggy_connector import PolledMessages
from tests.consumer.scripted import stored
from tests.dead_letters.journal_records import claim, epoch, folded, letter, settlement

POLLED = Mark(offset=5, time=1_000_005, source="was polled")
NOTED = Mark(offset=5, time=1_000_009, source="was committed", at_latest=True)


def later(offset: int, seconds: int) -> PolledMessages:
    """What a poll brings of a log whose event at `offset` is so many seconds younger than stored() makes it."""
    (message,) = stored(offset)
    message.timestamp += seconds * 1_000_000
    return PolledMessages([message], current_offset=100)


@pytest.mark.parametrize("mark", [POLLED, NOTED])
def test_the_event_that_is_known_is_of_the_same_log(mark: Mark) -> None:
    assert not is_another(mark, PolledMessages(stored(5)))


@pytest.mark.parametrize("mark", [POLLED, NOTED])
def test_a_later_event_at_its_offset_is_of_another_log(mark: Mark) -> None:
    assert is_another(mark, later(5, 60))


def test_an_earlier_event_at_its_offset_is_another_only_when_the_time_is_known_exactly() -> None:
    assert is_another(POLLED, later(5, -1))
    assert not is_another(NOTED, later(5, -1))


@pytest.mark.parametrize("mark", [POLLED, NOTED])
def test_an_event_above_it_tells_nothing_for_retention_may_have_removed_the_one_that_is_known(mark: Mark) -> None:
    assert not is_another(mark, later(6, 60))
    assert not ends_before(mark, later(6, 60))


@pytest.mark.parametrize(
    ("offset", "current", "ends"),
    [
        (5, 4, True),
        (5, 0, True),
        (0, 0, True),  # an empty partition
        (5, 5, False),  # retention removed everything up to the end
        (5, 9, False),
        (5, None, False),  # this member does not own it
    ],
)
def test_a_log_ends_before_an_offset_only_when_the_server_says_so(offset: int, current: int | None, ends: bool) -> None:
    mark = Mark(offset=offset, time=1, source="was polled")
    found = PolledMessages(current_offset=current)
    assert ends_before(mark, found) is ends
    assert not is_another(mark, found)


OWNER = epoch(1)


@pytest.mark.parametrize(
    ("records", "offsets"),
    [
        ([], []),
        ([claim(OWNER)], []),
        ([claim(OWNER, committed=4)], [4]),
        ([claim(OWNER), letter(OWNER, 7), letter(OWNER, 9, 1)], [9]),
        ([claim(OWNER, committed=4), letter(OWNER, 9)], [4, 9]),
        # Closed and above the low mark: its event does not run either.
        ([claim(OWNER, committed=4), letter(OWNER, 9), settlement(OWNER, 9, Outcome.HANDLED)], [4, 9]),
    ],
)
def test_a_journal_knows_its_low_mark_and_its_last_letter(records: Sequence[object], offsets: list[int]) -> None:
    marks = list(marks_of(folded(*records), noted_at=77))  # type: ignore[arg-type]  # records of all kinds
    assert [mark.offset for mark in marks] == offsets
    assert all(mark.at_latest == (mark.offset == 4) for mark in marks)
    assert {mark.time for mark in marks} <= {77, 1_000_009}
