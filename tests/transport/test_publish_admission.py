"""Who enters the publish queue: bounded, in call order, all or none, and every place comes back."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rustok_iggy.backpressure import BackpressureConfig, BackpressureController, BackpressurePolicy, BackpressureState
from rustok_iggy.errors import BackpressureError, ValidationError
from rustok_iggy.publish_admission import Admission, Entrant

DEPTH, BYTES = 10, 100


def admission(policy: BackpressurePolicy, **bounds: float) -> Admission[int]:
    config = BackpressureConfig(max_queue_depth=DEPTH, max_queue_bytes=BYTES, policy=policy, **bounds)  # type: ignore[arg-type] # all are numbers
    return Admission(BackpressureController(config))


def test_reject_refuses_at_once_and_says_how_full_it_is() -> None:
    queue = admission(BackpressurePolicy.REJECT)
    assert queue.enter(Entrant(0, count=9, size=9))
    assert queue.controller.state is BackpressureState.CRITICAL
    with pytest.raises(BackpressureError, match="9 of at most 10 events") as caught:
        queue.enter(Entrant(1, count=1, size=1))
    assert (caught.value.depth, caught.value.queued_bytes, queue.controller.rejected) == (9, 9, 1)


@pytest.mark.parametrize("policy", BackpressurePolicy)
@pytest.mark.parametrize(("count", "size"), [(DEPTH + 1, 1), (2, BYTES + 1)])
def test_what_can_never_fit_is_refused_under_every_policy(policy: BackpressurePolicy, count: int, size: int) -> None:
    queue = admission(policy)
    with pytest.raises(ValidationError, match="publish them in parts"):
        queue.enter(Entrant(0, count=count, size=size))
    assert queue.waiting_events == 0


def test_nobody_overtakes_who_waits_not_even_when_it_would_fit() -> None:
    queue = admission(BackpressurePolicy.WAIT)
    assert queue.enter(Entrant(0, count=8, size=8))
    large, small = Entrant(1, count=5, size=5), Entrant(2, count=1, size=1)
    assert not queue.enter(large)
    assert not queue.enter(small)
    assert queue.give_back(1, count=1) == []
    assert queue.give_back(7, count=7) == [large, small]


class Calls(RuleBasedStateMachine):
    """Calls come, are cancelled, and finish, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = admission(BackpressurePolicy.WAIT, critical_threshold=1.0)
        self.next = 0
        self.last_entered = -1
        self.inside: list[Entrant[int]] = []
        self.outside: list[Entrant[int]] = []

    def entered(self, entrants: list[Entrant[int]]) -> None:
        for entrant in entrants:
            assert entrant.entered
            assert entrant.call > self.last_entered, "call order"
            self.last_entered = entrant.call
            self.outside.remove(entrant)
            self.inside.append(entrant)

    @rule(count=st.integers(1, DEPTH), size=st.integers(0, BYTES))
    def come(self, count: int, size: int) -> None:
        entrant = Entrant(self.next, count=count, size=size)
        self.next += 1
        self.outside.append(entrant)
        try:
            if self.queue.enter(entrant):
                self.entered([entrant])
        except BackpressureError:
            self.outside.remove(entrant)
            assert self.outside, "refused although nobody waits"

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        if self.outside:
            entrant = data.draw(st.sampled_from(self.outside))
            self.outside.remove(entrant)
            self.entered(self.queue.withdraw(entrant))

    @rule(data=st.data())
    def finish(self, data: st.DataObject) -> None:
        if self.inside:
            entrant = self.inside.pop(data.draw(st.integers(0, len(self.inside) - 1)))
            self.entered(self.queue.give_back(entrant.size, count=entrant.count))

    @invariant()
    def bounded_and_nobody_forgotten(self) -> None:
        controller = self.queue.controller
        assert controller.depth == sum(each.count for each in self.inside) <= DEPTH
        assert controller.queued_bytes == sum(each.size for each in self.inside) <= BYTES
        assert self.queue.waiting == tuple(self.outside)
        assert self.queue.waiting_events == sum(each.count for each in self.outside) <= DEPTH
        if self.outside:
            first = self.outside[0]
            assert not controller.fits(first.size, count=first.count), "the first could go and does not"

    def teardown(self) -> None:
        while self.inside:
            entrant = self.inside.pop()
            self.entered(self.queue.give_back(entrant.size, count=entrant.count))
        assert not self.outside, "starved"
        assert self.queue.controller.fill == 0


TestCalls = Calls.TestCase
TestCalls.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
