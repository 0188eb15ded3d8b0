"""The publish queue's counts: states, both bounds, and that what is taken can be given back."""

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustok_iggy.backpressure import BackpressureConfig, BackpressureController, BackpressureState
from rustok_iggy.errors import ConfigError


def controller(**config: float) -> BackpressureController:
    return BackpressureController(BackpressureConfig(**config))  # type: ignore[arg-type]


def test_defaults_are_rustoks() -> None:
    config = BackpressureConfig()
    assert (config.max_queue_depth, config.warning_threshold, config.critical_threshold) == (10_000, 0.7, 0.9)


def test_states_follow_the_count() -> None:
    queue = controller(max_queue_depth=10)
    states = [queue.state]
    while queue.try_take(1):
        states.append(queue.state)
    assert states == [BackpressureState.NORMAL] * 7 + [BackpressureState.WARNING] * 2 + [BackpressureState.CRITICAL]
    assert (queue.depth, queue.accepted, queue.rejected, queue.warnings) == (9, 9, 1, 3)


def test_states_follow_the_bytes() -> None:
    queue = controller(max_queue_bytes=1000)
    assert queue.try_take(699)
    assert queue.state is BackpressureState.NORMAL
    assert queue.try_take(1)
    assert queue.state is BackpressureState.WARNING
    assert not queue.try_take(301)
    assert queue.try_take(300)
    assert queue.state is BackpressureState.CRITICAL
    assert not queue.try_take(1)
    queue.release(300)
    assert queue.state is BackpressureState.WARNING


@pytest.mark.parametrize("share", [0.001, 0.07, 0.29, 0.57, 0.7, 0.9, 0.99, 1.0])
@pytest.mark.parametrize("whole", [1, 7, 100, 10_000])
def test_a_threshold_is_met_by_the_first_count_that_is_its_share(share: float, whole: int) -> None:
    queue = controller(max_queue_depth=whole, warning_threshold=share, critical_threshold=1.0)
    while queue.state is BackpressureState.NORMAL:
        assert queue.fill < share
        assert queue.try_take(1)
    assert queue.fill >= share


def test_an_event_above_the_byte_bound_passes_alone() -> None:
    queue = controller(max_queue_bytes=10)
    assert queue.try_take(11)
    assert not queue.fits(0)
    queue.release(11)
    assert queue.state is BackpressureState.NORMAL


@given(sizes=st.lists(st.integers(0, 40), max_size=80), releases=st.lists(st.booleans(), max_size=80))
def test_neither_bound_is_passed_and_everything_comes_back(sizes: list[int], releases: list[bool]) -> None:
    queue = controller(max_queue_depth=10, max_queue_bytes=100)
    held: deque[int] = deque()
    for size, release in zip(sizes, [*releases, *[False] * len(sizes)], strict=False):
        if queue.try_take(size):
            held.append(size)
        if release and held:
            queue.release(held.popleft())
        assert (queue.depth, queue.queued_bytes) == (len(held), sum(held))
        assert queue.depth <= 10
        assert queue.queued_bytes <= 100
    queue.release(sum(held), count=len(held))
    assert queue.fill == 0
    assert queue.accepted + queue.rejected == len(sizes)


def test_giving_back_more_than_was_taken_is_a_bug_that_shows() -> None:
    queue = controller()
    queue.try_take(5)
    with pytest.raises(AssertionError, match="more events released"):
        queue.release(5, count=2)
    with pytest.raises(AssertionError, match="more bytes released"):
        queue.release(6)


def test_every_wrong_setting_is_reported() -> None:
    with pytest.raises(ConfigError) as caught:
        controller(max_queue_depth=0, max_queue_bytes=0, warning_threshold=0.9, critical_threshold=0.7)
    assert len(caught.value.problems) == 3
