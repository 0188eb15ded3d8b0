"""How much to poll, how long to wait, when to commit."""

from itertools import pairwise

from rustok_iggy.consumer.pacing import (
    EAGER_POLLS,
    FIRST_COUNT,
    FIRST_IDLE_DELAY,
    FLOWING_POLLS,
    TARGET_POLL_BYTES,
    CommitPace,
    PollPace,
)
from rustok_iggy_connector import ReceivedMessage


def of_size(size: int, count: int = 10) -> list[ReceivedMessage]:
    return [ReceivedMessage(0, 1, b"x" * size, 0, dict) for _ in range(count)]


def test_the_first_poll_is_small() -> None:
    assert PollPace(max_messages=500, max_idle_delay=0.1).count == FIRST_COUNT


def test_small_messages_come_in_large_polls_up_to_the_bounds() -> None:
    pace = PollPace(max_messages=500, max_idle_delay=0.1)
    counts = []
    for _ in range(100):
        pace.polled(of_size(100))
        counts.append(pace.count)
    assert counts == sorted(counts)
    assert counts[-1] == 500
    assert PollPace(max_messages=5000, max_idle_delay=0.1)._max_messages == 1000


def test_until_the_size_is_known_each_poll_is_at_most_twice_as_big_as_the_one_before() -> None:
    pace = PollPace(max_messages=1000, max_idle_delay=0.1)
    counts = [pace.count]
    while counts[-1] < 1000:
        pace.polled(of_size(500))
        counts.append(pace.count)
    assert all(later <= 2 * earlier + 1 for earlier, later in pairwise(counts)), "both are rounded down"
    assert len(counts) < 10


def test_one_poll_of_large_messages_is_enough_to_ask_for_fewer() -> None:
    pace = PollPace(max_messages=1000, max_idle_delay=0.1)
    for _ in range(100):
        pace.polled(of_size(100))
    pace.polled(of_size(1_000_000, count=3))
    assert pace.count * 1_000_000 <= TARGET_POLL_BYTES
    pace.polled(of_size(20_000_000, count=1))
    assert pace.count == 1


def test_an_empty_partition_is_polled_less_and_less_and_at_once_when_something_came() -> None:
    pace = PollPace(max_messages=10, max_idle_delay=0.1)
    delays = [pace.polled([]) for _ in range(10)]
    assert delays[0] == FIRST_IDLE_DELAY
    assert delays == sorted(delays)
    assert delays[-1] == 0.1
    assert pace.polled(of_size(1)) == 0.0
    assert pace.polled([]) == 0.0


def test_while_events_flow_few_polls_are_followed_by_a_pause_and_the_one_that_brought_the_last_is() -> None:
    pace = PollPace(max_messages=10, max_idle_delay=0.1)
    assert pace.polled(of_size(1), is_all=True) == FIRST_IDLE_DELAY
    delays = [pace.polled([]) for _ in range(FLOWING_POLLS)]
    assert delays[:EAGER_POLLS] == [0.0, 0.0, FIRST_IDLE_DELAY] * 2
    assert set(delays[EAGER_POLLS:]) == {FIRST_IDLE_DELAY}
    assert pace.polled([]) > FIRST_IDLE_DELAY


def test_no_pause_is_longer_than_the_configured_one() -> None:
    pace = PollPace(max_messages=10, max_idle_delay=0.0001)
    assert pace.polled(of_size(1), is_all=True) == 0.0001
    assert max(pace.polled([]) for _ in range(100)) == 0.0001


def test_a_commit_is_due_after_so_many_events_or_so_long() -> None:
    pace = CommitPace(every=10, interval=5.0, now=100.0)
    assert not pace.is_due(9, 104.9)
    assert pace.is_due(10, 100.0)
    assert pace.is_due(1, 105.0)
    assert not pace.is_due(0, 1000.0)
    pace.committed(105.0)
    assert not pace.is_due(9, 109.9)
