"""Who is on the roll, who answers, and who is dead."""

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustok_iggy_connector.member_roll import (
    ROLL_PREFIX,
    Attendance,
    Entry,
    RollTiming,
    Step,
    read_roll,
    roll_of,
)
from rustok_iggy_connector.wire.primitives import MAX_NAME_BYTES
from tests.architecture.test_layers import assert_none
from tests.architecture.test_purity import acting_or_waiting

GROUP = "billing"
TIMING = RollTiming(look_interval=2.0, call_delay=2.0, answer_timeout=10.0)
ME, OTHER, THIRD = 1, 2, 3


def name(client: int, count: int = 1, *, call: bool = False, group: str = GROUP) -> str:
    return f"{roll_of(group)}{client:032x}.{count}{'.call' if call else ''}"


def roll(*names: str) -> tuple[Entry, ...]:
    """Entries numbered from 1, in this order."""
    return read_roll(enumerate(names, start=1), group=GROUP)


@pytest.fixture
def me() -> Attendance:
    return Attendance(client=ME, group=GROUP, timing=TIMING)


def test_it_only_decides() -> None:
    assert_none(acting_or_waiting({"rustok_iggy_connector.member_roll"}))


def test_entries_are_read_in_the_order_of_their_numbers() -> None:
    found = read_roll([(7, name(2, 3, call=True)), (4, name(1, 12))], group=GROUP)
    assert [(each.id, each.client, each.count, each.is_call) for each in found] == [(4, 1, 12, False), (7, 2, 3, True)]


@pytest.mark.parametrize(
    "other", ["billing", name(1, group="other"), roll_of(GROUP), name(1)[:-2], f"{name(1)}.", f"{name(1)}.called"]
)
def test_what_is_no_entry_of_the_group_is_passed_over(other: str) -> None:
    assert read_roll([(1, other)], group=GROUP) == ()


def test_a_name_of_any_length_has_room_for_entries() -> None:
    longest = name((1 << 128) - 1, 10**18 - 1, call=True, group="g" * MAX_NAME_BYTES)
    assert len(longest) <= MAX_NAME_BYTES
    assert longest.startswith(ROLL_PREFIX)


def test_who_is_not_on_the_roll_signs_it(me: Attendance) -> None:
    assert me.look(roll(), now=0.0, chance=0.0) == Step(sign=name(ME))


def test_who_is_alone_calls_nobody(me: Attendance) -> None:
    for now in range(60):
        assert me.look(roll(name(ME)), now=float(now), chance=0.0) == Step()


def test_who_answers_has_the_new_entry_before_the_old_one_goes(me: Attendance) -> None:
    step = me.look(roll(name(ME), name(OTHER, call=True)), now=0.0, chance=1.0)
    assert step == Step(sign=name(ME, 2), strike=(name(ME),))
    answered = roll(name(ME), name(OTHER, call=True), name(ME, 2))  # it died before it struck the old one
    assert me.look(answered, now=1.0, chance=1.0) == Step(strike=(name(ME),))


def test_a_new_member_calls_after_its_delay_and_buries_who_did_not_answer(me: Attendance) -> None:
    before = roll(name(ME), name(OTHER), name(THIRD))
    assert me.look(before, now=0.0, chance=0.5) == Step()
    assert me.look(before, now=0.9, chance=0.5) == Step()
    assert me.look(before, now=1.0, chance=0.5) == Step(sign=name(ME, 2, call=True), strike=(name(ME),))
    after = read_roll([(2, name(OTHER)), (4, name(ME, 2, call=True)), (5, name(THIRD, 2))], group=GROUP)
    assert me.look(after, now=2.0, chance=0.5) == Step()
    assert me.look(after, now=11.9, chance=0.5) == Step()
    assert me.look(after, now=12.0, chance=0.5) == Step(dead=(after[0],))
    assert me.look(after[1:], now=12.1, chance=0.5) == Step()
    assert me.look(after, now=100.0, chance=0.5) == Step(), "what is done is done"


def test_one_call_is_enough_for_all_who_wait_for_one(me: Attendance) -> None:
    me.look(roll(name(ME), name(OTHER), name(THIRD)), now=0.0, chance=1.0)
    called = roll(name(ME), name(OTHER), name(THIRD), name(THIRD, 2, call=True))
    assert me.look(called, now=5.0, chance=1.0) == Step(sign=name(ME, 2), strike=(name(ME),))
    answered = (*called[1:], Entry(id=5, client=ME, count=2, is_call=False, name=name(ME, 2)))
    assert me.look(answered, now=15.0, chance=1.0).dead == (answered[0],)


def test_a_call_before_the_session_was_opened_says_nothing(me: Attendance) -> None:
    called = roll(name(OTHER), name(THIRD, call=True), name(ME))
    me.look(called, now=0.0, chance=0.0)
    assert me.look(called, now=1.0, chance=0.0).sign == name(ME, 2, call=True)


def test_later_calls_do_not_put_the_end_off(me: Attendance) -> None:
    me.look(roll(name(ME), name(OTHER)), now=0.0, chance=0.0)
    step = Step()
    for now in range(1, 12):
        calls = [(10 * at, name(THIRD, at, call=True)) for at in range(1, now + 1)]
        seen = read_roll([(2, name(OTHER)), *calls, (1000, name(ME))], group=GROUP)
        step = me.look(seen, now=float(now), chance=0.0)
    assert [entry.client for entry in step.dead] == [OTHER]


def test_a_new_session_asks_again(me: Attendance) -> None:
    me.look(roll(name(ME)), now=0.0, chance=0.0)
    both = roll(name(ME), name(OTHER))
    assert me.look(both, now=1.0, chance=0.0) == Step()
    me.opened()
    me.look(both, now=2.0, chance=0.0)
    assert me.look(both, now=3.0, chance=0.0).sign == name(ME, 2, call=True)


@dataclass
class World:
    """A server, and processes that look at the roll now and then; any of them may die in the middle of it."""

    chance: random.Random
    now: float = 0.0
    last: int = 0
    groups: dict[str, int] = field(default_factory=dict)
    alive: dict[int, Attendance] = field(default_factory=dict)
    buried: set[int] = field(default_factory=set)
    due: list[tuple[float, int, int]] = field(default_factory=list)

    def start(self, client: int) -> None:
        self.alive[client] = Attendance(client=client, group=GROUP, timing=TIMING)
        self.later(client, 0.0)

    def restart(self) -> None:
        for each in self.alive.values():
            each.opened()

    def later(self, client: int, delay: float) -> None:
        heapq.heappush(self.due, (self.now + delay, self.chance.randrange(1 << 30), client))

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        while self.due and self.due[0][0] <= end:
            self.now, _, client = heapq.heappop(self.due)
            if client in self.alive:
                self.look(client)
                self.later(client, self.chance.uniform(0.5, 2) * TIMING.look_interval)
        self.now = end

    def look(self, client: int, *, dies_after: int | None = None) -> None:
        """Look and act; who dies does so many of its actions."""
        seen = read_roll(((number, name) for name, number in self.groups.items()), group=GROUP)
        step = self.alive[client].look(seen, now=self.now, chance=self.chance.random())
        for action in self.actions(step)[:dies_after]:
            action()
        if dies_after is not None:
            del self.alive[client]

    def actions(self, step: Step) -> list[Callable[[], object]]:
        signing = [] if step.sign is None else [lambda: self.sign(str(step.sign))]
        striking = [lambda name=name: self.groups.pop(name, None) for name in step.strike]
        return [*signing, *striking, *(lambda entry=entry: self.bury(entry) for entry in step.dead)]

    def sign(self, name: str) -> None:
        self.last += 1
        self.groups[name] = self.last

    def bury(self, entry: Entry) -> None:
        self.buried.add(entry.client)
        assert entry.client not in self.alive, f"{entry.client} lives"
        self.groups.pop(entry.name, None)

    @property
    def on_the_roll(self) -> set[int]:
        return {entry.client for entry in read_roll(((1, name) for name in self.groups), group=GROUP)}


@given(
    seed=st.integers(min_value=0, max_value=2**32),
    events=st.lists(st.sampled_from(["start", "die", "restart", "wait"]), max_size=40),
)
def test_nobody_alive_is_buried_and_nobody_dead_is_forgotten(seed: int, events: list[str]) -> None:
    world = World(chance=random.Random(seed))
    for client, event in enumerate(["start", "start", *events], start=1):
        if event == "start":
            world.start(client)
        elif event == "die" and len(world.alive) > 1:
            world.look(world.chance.choice(sorted(world.alive)), dies_after=world.chance.randrange(3))
        elif event == "restart":
            world.restart()
        world.run(world.chance.uniform(0, 8))
    dead = world.on_the_roll - world.alive.keys()
    world.restart()
    world.run(60.0)
    assert world.on_the_roll == set(world.alive)
    assert dead <= world.buried
