"""Who is on the roll, who answers, and who is dead."""

import dataclasses
import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustok_iggy_connector.member_roll import (
    MAX_LOOKS,
    MOST_DOUBLINGS,
    ROLL_PREFIX,
    Attendance,
    Entry,
    Roll,
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


def name(client: int, count: int = 1, *, call: bool = False, group: str = GROUP, doublings: int = 0) -> str:
    return f"{roll_of(group)}{client:032x}.{count}.{doublings}{'.call' if call else ''}"


def roll(*names: str) -> Roll:
    """Entries numbered from 1, in this order."""
    return read_roll(enumerate(names, start=1), group=GROUP)


def step(*, wait: float = TIMING.look_interval, **what: Any) -> Step:
    return Step(wait=wait, **what)


@pytest.fixture
def me() -> Attendance:
    return Attendance(client=ME, group=GROUP, timing=TIMING)


def test_it_only_decides() -> None:
    assert_none(acting_or_waiting({"rustok_iggy_connector.member_roll"}))


def test_entries_are_read_in_the_order_of_their_numbers() -> None:
    found = read_roll([(7, name(2, 3, call=True)), (4, name(1, 12, doublings=5))], group=GROUP).entries
    assert [(each.id, each.client, each.count, each.doublings) for each in found] == [(4, 1, 12, 5), (7, 2, 3, 0)]
    assert [each.is_call for each in found] == [False, True]


def test_entries_of_other_groups_are_counted_and_nothing_else_is() -> None:
    found = roll("billing", name(1), name(2, group="other"), name(3, group="third"))
    assert ([each.client for each in found.entries], found.on_topic) == ([1], 3)


@pytest.mark.parametrize(
    "other", ["billing", name(1, group="other"), roll_of(GROUP), name(1)[:-2], f"{name(1)}.", f"{name(1)}.called"]
)
def test_what_is_no_entry_of_the_group_is_passed_over(other: str) -> None:
    assert roll(other).entries == ()


def test_a_name_of_any_length_has_room_for_entries() -> None:
    longest = name((1 << 128) - 1, 10**18 - 1, call=True, group="g" * MAX_NAME_BYTES, doublings=MOST_DOUBLINGS)
    assert len(longest) <= MAX_NAME_BYTES
    assert longest.startswith(ROLL_PREFIX)


def test_who_is_not_on_the_roll_signs_it(me: Attendance) -> None:
    assert me.look(roll(), now=0.0, chance=0.0) == step(sign=name(ME))


def test_who_is_alone_calls_nobody(me: Attendance) -> None:
    for now in range(60):
        assert me.look(roll(name(ME)), now=float(now), chance=0.0) == step()


def test_who_answers_has_the_new_entry_before_the_old_one_goes(me: Attendance) -> None:
    asked = roll(name(ME), name(OTHER, call=True))
    assert me.look(asked, now=0.0, chance=1.0) == step(sign=name(ME, 2), strike=(name(ME),))
    answered = roll(name(ME), name(OTHER, call=True), name(ME, 2))  # it died before it struck the old one
    assert me.look(answered, now=1.0, chance=1.0) == step(strike=(name(ME),))


def test_a_new_member_calls_after_its_delay_and_buries_who_did_not_answer(me: Attendance) -> None:
    before = roll(name(ME), name(OTHER), name(THIRD))
    assert me.look(before, now=0.0, chance=0.5) == step()
    assert me.look(before, now=0.9, chance=0.5) == step()
    assert me.look(before, now=1.0, chance=0.5) == step(sign=name(ME, 2, call=True), strike=(name(ME),))
    after = read_roll([(2, name(OTHER)), (4, name(ME, 2, call=True)), (5, name(THIRD, 2))], group=GROUP)
    assert me.look(after, now=2.0, chance=0.5) == step()
    assert me.look(after, now=11.9, chance=0.5) == step(wait=pytest.approx(0.1)), "the next look is when it is over"
    assert me.look(after, now=12.0, chance=0.5) == step(dead=after.entries[:1])
    assert me.look(rolled(*after.entries[1:]), now=12.1, chance=0.5) == step()
    assert me.look(after, now=100.0, chance=0.5) == step(), "what is done is done"


def rolled(*entries: Entry) -> Roll:
    return Roll(entries=entries, on_topic=len(entries))


def test_when_all_have_answered_nobody_is_waited_for(me: Attendance) -> None:
    me.look(roll(name(ME), name(OTHER)), now=0.0, chance=0.0)
    answered = read_roll([(3, name(ME, 2, call=True)), (4, name(OTHER, 2))], group=GROUP)
    assert me.look(answered, now=1.0, chance=0.0) == step()
    silent_for_another = read_roll([(3, name(ME, 2, call=True)), (1, name(THIRD))], group=GROUP)
    assert me.look(silent_for_another, now=99.0, chance=0.0).dead == (), "it was not there when it was asked for"


def test_one_call_is_enough_for_all_who_wait_for_one(me: Attendance) -> None:
    me.look(roll(name(ME), name(OTHER), name(THIRD)), now=0.0, chance=1.0)
    called = roll(name(ME), name(OTHER), name(THIRD), name(THIRD, 2, call=True))
    assert me.look(called, now=5.0, chance=1.0) == step(sign=name(ME, 2), strike=(name(ME),))
    answered = read_roll([(2, name(OTHER)), (4, name(THIRD, 2, call=True)), (5, name(ME, 2))], group=GROUP)
    assert me.look(answered, now=15.0, chance=1.0).dead == answered.entries[:1]


def test_a_call_before_the_session_was_opened_says_nothing(me: Attendance) -> None:
    called = roll(name(OTHER), name(THIRD, call=True), name(ME))
    me.look(called, now=0.0, chance=0.0)
    assert me.look(called, now=1.0, chance=0.0).sign == name(ME, 2, call=True)


def test_later_calls_do_not_put_the_end_off(me: Attendance) -> None:
    me.look(roll(name(ME), name(OTHER)), now=0.0, chance=0.0)
    dead: tuple[Entry, ...] = ()
    for now in range(1, 12):
        calls = [(10 * at, name(THIRD, at, call=True)) for at in range(1, now + 1)]
        seen = read_roll([(2, name(OTHER)), *calls, (1000, name(ME))], group=GROUP)
        dead = me.look(seen, now=float(now), chance=0.0).dead
    assert [entry.client for entry in dead] == [OTHER]


def test_a_new_session_asks_again(me: Attendance) -> None:
    me.look(roll(name(ME)), now=0.0, chance=0.0)
    both = roll(name(ME), name(OTHER))
    assert me.look(both, now=1.0, chance=0.0) == step()
    me.opened()
    me.look(both, now=2.0, chance=0.0)
    assert me.look(both, now=3.0, chance=0.0).sign == name(ME, 2, call=True)


# Members on a topic → seconds between two looks → seconds that a member of them has to answer.
COSTS = [
    (1, 2, 10),
    (100, 2, 10),
    (101, 4, 14),
    (200, 4, 14),
    (400, 8, 22),
    (800, 16, 38),
    (1000, 32, 70),
    (1600, 32, 70),
]


@pytest.mark.parametrize(("members", "wait", "patience"), COSTS)
def test_members_wait_so_long_and_are_waited_for_so_long(members: int, wait: float, patience: float) -> None:
    doublings = TIMING.doublings(members)
    assert (TIMING.wait(doublings), TIMING.patience(doublings)) == (wait, patience)


@given(members=st.integers(min_value=0, max_value=51_200))
def test_together_they_look_so_often_and_not_much_less(members: int) -> None:
    doublings = TIMING.doublings(members)
    assert members / TIMING.wait(doublings) <= MAX_LOOKS
    assert doublings == 0 or members / TIMING.wait(doublings - 1) > MAX_LOOKS


@pytest.mark.parametrize("doublings", range(MOST_DOUBLINGS + 1))
def test_one_look_may_fail(doublings: int) -> None:
    assert TIMING.patience(doublings) - 2 * TIMING.wait(doublings) >= 6


CROWD = tuple(name(client, group="another") for client in range(100, 600))
"""Members of another group on the topic: with 500 of them everybody looks every 16 s."""


def test_who_is_to_wait_longer_says_so_before(me: Attendance) -> None:
    assert me.look(roll(name(ME), *CROWD), now=0.0, chance=0.0) == step(
        wait=16.0, sign=name(ME, 2, doublings=3), strike=(name(ME),)
    )
    promised = roll(name(ME, 2, doublings=3), *CROWD)
    assert me.look(promised, now=16.0, chance=0.0) == step(wait=16.0)


def test_who_may_wait_shorter_does_and_says_so_when_it_answers(me: Attendance) -> None:
    promised = name(ME, doublings=3)
    assert me.look(roll(promised), now=0.0, chance=0.0) == step(wait=2.0)
    called = roll(promised, name(OTHER, call=True))
    assert me.look(called, now=2.0, chance=1.0) == step(sign=name(ME, 2), strike=(promised,))


def test_everybody_is_given_the_time_that_its_own_entry_asks_for(me: Attendance) -> None:
    patient, quick = name(OTHER, doublings=3), name(THIRD)
    me.look(roll(patient, quick, name(ME)), now=0.0, chance=0.0)
    entries = read_roll([(1, patient), (2, quick), (4, name(ME, 2, call=True))], group=GROUP).entries
    me.look(rolled(*entries), now=2.0, chance=0.0)
    assert me.look(rolled(*entries), now=12.0, chance=0.0) == step(dead=(entries[1],))
    assert me.look(rolled(entries[0], entries[2]), now=39.0, chance=0.0) == step(wait=1.0)
    assert me.look(rolled(entries[0], entries[2]), now=40.0, chance=0.0) == step(dead=(entries[0],))


@dataclass
class World:
    """A server, and processes that look at the roll now and then; any of them may die in the middle of it."""

    chance: random.Random
    timing: RollTiming = TIMING
    now: float = 0.0
    last: int = 0
    groups: dict[str, int] = field(default_factory=dict)
    alive: dict[int, Attendance] = field(default_factory=dict)
    buried: set[int] = field(default_factory=set)
    due: list[tuple[float, int, int]] = field(default_factory=list)

    def start(self, client: int) -> None:
        self.alive[client] = Attendance(client=client, group=GROUP, timing=self.timing)
        self.later(client, 0.0)

    def leave(self, client: int) -> None:
        del self.alive[client]
        for name in [each for each in self.groups if f".{client:032x}." in each]:
            del self.groups[name]

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
                self.later(client, self.chance.uniform(0.5, 2) * self.look(client))
        self.now = end

    def look(self, client: int, *, dies_after: int | None = None) -> float:
        """Look and act; who dies does so many of its actions. Return when to look again."""
        seen = read_roll(((number, name) for name, number in self.groups.items()), group=GROUP)
        step = self.alive[client].look(seen, now=self.now, chance=self.chance.random())
        for action in self.actions(step)[:dies_after]:
            action()
        if dies_after is not None:
            del self.alive[client]
        return step.wait

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
        return {entry.client for entry in read_roll(((1, name) for name in self.groups), group=GROUP).entries}


@given(
    seed=st.integers(min_value=0, max_value=2**32),
    events=st.lists(st.sampled_from(["start", "die", "leave", "restart", "wait"]), max_size=40),
    max_looks=st.sampled_from([0.5, 1.0, 2.0, MAX_LOOKS]),
)
def test_nobody_alive_is_buried_and_nobody_dead_is_forgotten(seed: int, events: list[str], max_looks: float) -> None:
    timing = dataclasses.replace(TIMING, max_looks=max_looks)
    world = World(chance=random.Random(seed), timing=timing)
    for client, event in enumerate(["start", "start", *events], start=1):
        if event == "start":
            world.start(client)
        elif event == "die" and len(world.alive) > 1:
            world.look(world.chance.choice(sorted(world.alive)), dies_after=world.chance.randrange(3))
        elif event == "leave" and len(world.alive) > 1:
            world.leave(world.chance.choice(sorted(world.alive)))
        elif event == "restart":
            world.restart()
        world.run(world.chance.uniform(0, 8))
    dead = world.on_the_roll - world.alive.keys()
    world.restart()
    slowest = timing.wait(timing.doublings(len(events) + 2))
    world.run(60.0 + 8 * slowest)
    assert world.on_the_roll == set(world.alive)
    assert dead <= world.buried


@pytest.mark.parametrize("seed", range(20))
def test_a_crowd_comes_and_goes_and_nobody_alive_is_buried(seed: int) -> None:
    """With two looks in a second for all, forty members wait up to 32 s."""
    world = World(chance=random.Random(seed), timing=dataclasses.replace(TIMING, max_looks=2.0))
    for client in range(1, 41):
        world.start(client)
        world.run(world.chance.uniform(0, 2))
    world.restart()
    world.run(200.0)
    for client in world.chance.sample(range(1, 41), 38):
        if world.chance.random() < 0.5:
            world.leave(client)
        else:
            world.look(client, dies_after=world.chance.randrange(3))
    dead = world.on_the_roll - world.alive.keys()
    world.start(41)
    world.run(1000.0)
    assert world.buried == dead
    assert world.on_the_roll == set(world.alive)
