"""The watermark never passes an open delivery and never goes back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustok_iggy.consumer.watermark import Watermark


def test_it_follows_deliveries_that_end_in_order() -> None:
    watermark = Watermark(None)
    assert (watermark.settled, watermark.to_store, watermark.unstored) == (None, None, 0)
    for offset in range(3):
        watermark.begin(offset)
        watermark.settle(offset)
    assert (watermark.settled, watermark.to_store, watermark.unstored) == (2, 2, 3)
    watermark.send()
    watermark.store()
    assert (watermark.to_store, watermark.unstored, watermark.stored) == (None, 0, 2)


def test_it_waits_for_the_oldest_open_delivery() -> None:
    watermark = Watermark(9)
    for offset in (10, 11, 12):
        watermark.begin(offset)
    watermark.settle(12)
    watermark.settle(11)
    assert (watermark.settled, watermark.to_store, watermark.oldest_open) == (9, None, 10)
    watermark.settle(10)
    assert (watermark.settled, watermark.to_store, watermark.oldest_open) == (12, 12, None)


def test_a_log_that_begins_late_commits_nothing_below_its_first_event() -> None:
    watermark = Watermark(None)
    watermark.begin(100)
    assert watermark.to_store is None
    watermark.settle(100)
    assert watermark.to_store == 100


@pytest.mark.parametrize("offset", [4, 5])
def test_going_back_is_a_bug(offset: int) -> None:
    watermark = Watermark(4)
    watermark.begin(5)
    watermark.settle(5)
    with pytest.raises(AssertionError):
        watermark.begin(offset)


def test_sending_what_nothing_was_settled_of_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        Watermark(None).send()


def test_what_ends_while_an_offset_is_stored_still_comes_again_after_a_crash() -> None:
    watermark = Watermark(None)
    for offset in (100, 101, 103):
        watermark.begin(offset, 10)
    assert (watermark.come_again, watermark.come_again_bytes) == (3, 30)
    watermark.settle(100)
    assert watermark.send() == 100
    watermark.settle(101)
    watermark.store()
    assert (watermark.stored, watermark.to_store) == (100, 101)
    assert (watermark.unstored_messages, watermark.unstored_bytes) == (1, 10)
    assert (watermark.come_again, watermark.come_again_bytes) == (2, 20)
    watermark.settle(103)
    watermark.send()
    watermark.store()
    assert (watermark.come_again, watermark.come_again_bytes, watermark.ahead_bytes) == (0, 0, 0)


@given(st.data())
def test_for_any_order_of_endings(data: st.DataObject) -> None:
    stored = data.draw(st.one_of(st.none(), st.integers(0, 5)))
    steps = data.draw(st.lists(st.integers(1, 3), max_size=20))
    offsets, last = [], -1 if stored is None else stored
    for step in steps:
        last += step
        offsets.append(last)
    watermark, still_open, highest = Watermark(stored), [], stored
    begun: list[int] = []
    waiting = list(offsets)
    while waiting or still_open:
        if waiting and (not still_open or data.draw(st.booleans())):
            begun.append(waiting.pop(0))
            watermark.begin(begun[-1])
            still_open.append(begun[-1])
        else:
            ended = data.draw(st.sampled_from(still_open))
            still_open.remove(ended)
            watermark.settle(ended)
        expected = [offset for offset in begun if all(offset < each for each in still_open)]
        assert watermark.settled == (max(expected) if expected else stored)
        assert highest is None or (watermark.settled is not None and watermark.settled >= highest)
        highest = watermark.settled
        if watermark.to_store is not None and data.draw(st.booleans()):
            watermark.send()
            watermark.store()
            assert watermark.unstored == 0
