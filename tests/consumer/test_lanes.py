"""Lanes and the watermark: which is next, what is settled; decided without I/O."""

from collections import defaultdict

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rustok_iggy.consumer.lanes import Lane, Lanes
from rustok_iggy.consumer.slots import Slots
from rustok_iggy.consumer.watermark import Watermark


def test_a_flooding_tenant_waits_its_turn() -> None:
    lanes: Lanes[str, int] = Lanes()
    for number in range(100):
        lanes.add("flood", number)
    lanes.add("small", 100)
    order = []
    for _ in range(3):
        lane = lanes.take()
        assert lane is not None
        order.append(lane.key)
        lanes.done(lane)
    assert order == ["flood", "small", "flood"]


def test_a_lane_that_runs_is_not_taken_twice() -> None:
    lanes: Lanes[str, int] = Lanes()
    lanes.add("a", 1)
    lanes.add("a", 2)
    assert lanes.take() is not None
    assert lanes.take() is None


def test_a_waiting_lane_counts_as_held_and_keeps_its_head() -> None:
    lanes: Lanes[str, int] = Lanes()
    lanes.add("a", 1)
    lane = lanes.take()
    assert lane is not None
    lanes.wait(lane)
    lanes.add("a", 2)
    assert (lanes.runnable, lanes.ready) == (0, 0)
    lanes.wake(lane)
    assert lanes.runnable == 2
    assert lanes.take() is lane
    assert lane.items[0] == 1


def test_a_paused_tenant_is_left_out_until_it_is_resumed() -> None:
    lanes: Lanes[str, int] = Lanes()
    lanes.add("a", 1)
    lanes.pause("a")
    lanes.pause("b")
    lanes.add("b", 2)
    assert (lanes.take(), lanes.runnable) == (None, 0)
    lanes.resume("b")
    taken = lanes.take()
    assert taken is not None
    assert taken.key == "b"


def test_slots_go_to_whoever_waits_longest() -> None:
    slots: Slots[str] = Slots(1)
    assert slots.take("a")
    assert not slots.take("b")
    assert not slots.take("c")
    assert slots.wanted
    slots.give()
    assert slots.follows() == "b"
    assert slots.take("b")
    assert slots.follows() is None, "none is free"
    slots.forget("c")
    slots.give()
    assert slots.follows() is None


def test_who_cannot_use_a_slot_leaves_it_to_the_next() -> None:
    slots: Slots[str] = Slots(1)
    assert slots.take("a")
    assert not slots.take("b")
    assert not slots.take("c")
    slots.give()
    assert [slots.follows(), slots.follows(), slots.follows()] == ["b", "c", None]


class LanesAndWatermark(RuleBasedStateMachine):
    """What a partition does with both, in any order: polled, run, failed, woken, paused, stored, crashed."""

    def __init__(self) -> None:
        super().__init__()
        self.published: list[str] = []
        self.stored: int | None = None
        self.first_done: dict[str, list[int]] = defaultdict(list)
        self.begin_anew()

    def begin_anew(self) -> None:
        self.lanes: Lanes[str, int] = Lanes()
        self.mark = Watermark(self.stored)
        self.next = 0 if self.stored is None else self.stored + 1
        self.running: list[Lane[str, int]] = []
        self.waiting: list[Lane[str, int]] = []
        self.done = set(range(self.next))

    @rule(tenants=st.lists(st.sampled_from("abcf"), min_size=1, max_size=8))
    def publish(self, tenants: list[str]) -> None:
        self.published += tenants

    @rule(count=st.integers(1, 6))
    def poll(self, count: int) -> None:
        for offset in range(self.next, min(self.next + count, len(self.published))):
            self.mark.begin(offset, 10)
            self.next = offset + 1
            if self.published[offset] == "f":  # of a type that nobody handles
                self.settle(offset)
            else:
                self.lanes.add(self.published[offset], offset)

    @rule()
    def take(self) -> None:
        lane = self.lanes.take()
        if lane is not None:
            self.running.append(lane)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def succeed(self, data: st.DataObject) -> None:
        lane = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.settle(lane.items[0])
        self.lanes.done(lane)

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        lane = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        self.lanes.wait(lane)
        self.waiting.append(lane)

    @precondition(lambda self: self.waiting)
    @rule()
    def wake(self) -> None:
        self.lanes.wake(self.waiting.pop(0))

    @rule(tenant=st.sampled_from("abc"))
    def pause(self, tenant: str) -> None:
        self.lanes.pause(tenant)

    @rule(tenant=st.sampled_from("abc"))
    def resume(self, tenant: str) -> None:
        self.lanes.resume(tenant)

    @rule()
    def store(self) -> None:
        if self.mark.to_store is not None:
            self.mark.send()
            self.mark.store()
            self.stored = self.mark.stored

    @rule()
    def crash(self) -> None:
        self.begin_anew()

    def settle(self, offset: int) -> None:
        self.mark.settle(offset)
        self.done.add(offset)
        completed = self.first_done[self.published[offset]]
        if offset not in completed:
            completed.append(offset)

    @invariant()
    def nothing_open_is_passed(self) -> None:
        settled = -1 if self.mark.settled is None else self.mark.settled
        assert set(range(settled + 1)) <= self.done
        assert settled + 1 == next(number for number in range(len(self.published) + 1) if number not in self.done)

    @invariant()
    def tenants_are_in_order(self) -> None:
        for tenant, offsets in self.first_done.items():
            of_tenant = [offset for offset, owner in enumerate(self.published) if owner == tenant]
            assert offsets == of_tenant[: len(offsets)]

    @invariant()
    def counts_add_up(self) -> None:
        assert self.mark.ahead_bytes == self.mark.ahead * 10
        held = sum(len(lane.items) for lane in self.lanes if lane not in self.running)
        assert 0 <= self.lanes.runnable <= held + sum(len(lane.items) for lane in self.running)
        assert len({lane.key for lane in self.running}) == len(self.running)


TestLanesAndWatermark = LanesAndWatermark.TestCase


def check(machine: LanesAndWatermark) -> None:
    machine.nothing_open_is_passed()
    machine.tenants_are_in_order()


def test_the_invariants_see_a_watermark_over_an_open_delivery() -> None:
    machine = LanesAndWatermark()
    machine.publish(["a", "b"])
    machine.poll(2)
    check(machine)
    machine.mark.settled = 0
    with pytest.raises(AssertionError):
        check(machine)


def test_the_invariants_see_a_commit_before_the_handler() -> None:
    machine = LanesAndWatermark()
    machine.publish(["a"])
    machine.poll(1)
    machine.mark.settle(0)
    with pytest.raises(AssertionError):
        check(machine)


def test_the_invariants_see_a_tenant_out_of_order() -> None:
    machine = LanesAndWatermark()
    machine.publish(["a", "a"])
    machine.poll(2)
    machine.settle(1)
    with pytest.raises(AssertionError):
        check(machine)
