"""Consumer groups: who owns what after joins, leaves, commits and time; the recorded answers of a real iggy-server."""

from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rustok_iggy_connector.local_server.groups import REBALANCING_TIMEOUT_MICROS, ConsumerGroup
from tests.local_server.group_driver import GroupDriver

# What a real iggy-server answered to the driver in tests/differential: 201 to 203 came with it, the others were
# recorded on 0.9.0-edge.5, 200 operations each, with clients that ping every 5 s so that none was dropped as silent.
RECORDINGS = [
    *sorted((Path(__file__).parents[1] / "differential" / "expected").glob("groups-*.jsonl")),
    *sorted((Path(__file__).parent / "recorded_groups").glob("groups-*.jsonl")),
]
SECOND = 1_000_000


class World:
    """A group over some partitions, with the committed offsets and the clock that it is handed."""

    def __init__(self, partitions: int) -> None:
        self.group = ConsumerGroup(id=0, name="g")
        self.partitions = range(partitions)
        self.committed: dict[int, int] = {}
        self.now = 0

    def join(self, *sessions: str) -> None:
        for session in sessions:
            self.group.join(session, partitions=self.partitions, committed=self.committed.get, now=self.now)

    def leave(self, session: str) -> bool:
        return self.group.leave(session, partitions=self.partitions)

    def settle(self) -> bool:
        return self.group.settle(committed=self.committed.get, now=self.now)

    def owned(self) -> dict[object, list[int]]:
        return {member.session: member.partitions for member in self.group.members}

    def polls(self) -> dict[object, list[int]]:
        return {member.session: member.pollable() for member in self.group.members}


def sessions_of(partitions: Iterable[list[int]]) -> list[int]:
    return sorted(partition_id for owned in partitions for partition_id in owned)


def test_the_first_member_gets_every_partition_in_order() -> None:
    world = World(3)
    world.join("a")
    assert world.group.assignment("a") == (1, [0, 1, 2])


def test_a_join_takes_the_last_partitions_of_members_above_their_share() -> None:
    world = World(5)
    world.join("a", "b")
    assert world.owned() == {"a": [0, 1, 2], "b": [4, 3]}
    world.join("c")
    assert world.owned() == {"a": [0, 1], "b": [4, 3], "c": [2]}


def test_joining_again_changes_nothing() -> None:
    world = World(2)
    world.join("a", "b", "a")
    assert world.group.generation == 2
    assert world.group.members_count == 2


def test_a_member_beyond_the_number_of_partitions_stays_idle() -> None:
    world = World(1)
    world.join("a", "b")
    assert world.owned() == {"a": [0], "b": []}


def test_a_leave_deals_everything_anew_in_order_of_member_ids() -> None:
    world = World(4)
    world.join("a", "b", "c")
    assert world.leave("a")
    assert world.owned() == {"b": [0, 2], "c": [1, 3]}


def test_a_member_takes_the_lowest_free_id() -> None:
    world = World(2)
    world.join("a", "b", "c")
    world.leave("b")
    world.join("d")
    assert {member.session: member.id for member in world.group.members} == {"a": 0, "d": 1, "c": 2}


def test_a_stranger_cannot_leave_poll_or_commit() -> None:
    world = World(2)
    world.join("a")
    assert not world.leave("x")
    assert world.group.assignment("x") is None
    assert not world.group.may_poll("x", 0)
    assert not world.group.may_commit("x", 0)
    assert world.group.generation == 1


def test_a_partition_in_flight_stays_with_its_owner_who_commits_it_but_polls_it_no_more() -> None:
    world = World(2)
    world.join("a")
    world.group.polled(1, 4)
    world.join("b")
    assert world.owned() == {"a": [0, 1], "b": []}
    assert world.polls() == {"a": [0], "b": []}
    assert world.group.may_commit("a", 1)
    assert not world.group.may_poll("a", 1)
    assert not world.group.may_commit("b", 1)


@pytest.mark.parametrize(("committed", "moves"), [(None, False), (3, False), (4, True), (9, True)])
def test_it_moves_once_everything_polled_is_committed(committed: int | None, moves: bool) -> None:
    world = World(2)
    world.join("a")
    world.group.polled(1, 4)
    world.join("b")
    if committed is not None:
        world.committed[1] = committed
    assert world.settle() is moves
    assert world.owned() == ({"a": [0], "b": [1]} if moves else {"a": [0, 1], "b": []})
    assert world.group.generation == (3 if moves else 2)
    assert world.group.settling is not moves


def test_it_moves_after_the_rebalancing_timeout_committed_or_not() -> None:
    world = World(2)
    world.join("a")
    world.group.polled(1, 4)
    world.now = 5 * SECOND
    world.join("b")
    world.now += REBALANCING_TIMEOUT_MICROS - 1
    assert not world.settle()
    world.now += 1
    assert world.settle()
    assert world.owned() == {"a": [0], "b": [1]}


def test_the_last_polled_offset_never_goes_back() -> None:
    world = World(2)
    world.join("a")
    world.group.polled(1, 9)
    world.group.polled(1, 2)
    world.committed[1] = 5
    world.join("b")
    assert world.owned() == {"a": [0, 1], "b": []}


def test_partitions_with_everything_committed_move_at_once() -> None:
    world = World(2)
    world.join("a")
    world.group.polled(1, 4)
    world.committed[1] = 4
    world.join("b")
    assert world.owned() == {"a": [0], "b": [1]}


def test_a_leave_ends_hand_overs_and_takes_partitions_from_live_members() -> None:
    world = World(4)
    world.join("a")
    world.group.polled(3, 1)
    world.group.polled(2, 1)
    world.join("b", "c")
    world.leave("b")
    assert world.owned() == {"a": [0, 2], "c": [1, 3]}
    assert not world.group.settling
    assert not world.group.may_commit("a", 3)


def test_what_a_vanished_member_polled_does_not_hold_its_partitions_back() -> None:
    world = World(2)
    world.join("a")
    world.group.polled(0, 1)
    world.group.polled(1, 1)
    world.leave("a")
    world.join("a again", "b")
    assert world.owned() == {"a again": [0], "b": [1]}


def test_purged_partitions_have_nothing_in_flight() -> None:
    world = World(2)
    world.join("a")
    world.group.polled(1, 7)
    world.group.forget_polled(world.partitions)
    world.join("b")
    assert world.owned() == {"a": [0], "b": [1]}


def test_a_join_during_a_hand_over_can_leave_the_joiner_idle_until_the_next_deal() -> None:
    """So it is on iggy-server: the share of the second member is under way, the first holds no more than its own."""
    world = World(4)
    world.join("a")
    for partition_id in world.partitions:
        world.group.polled(partition_id, 2)
    world.join("b", "c")
    world.now += REBALANCING_TIMEOUT_MICROS
    world.settle()
    assert world.owned() == {"a": [0, 1], "b": [3, 2], "c": []}


def test_other_partitions_are_dealt_round_robin_at_once() -> None:
    world = World(2)
    world.join("a", "b")
    world.group.deal(range(5))
    assert world.owned() == {"a": [0, 2, 4], "b": [1, 3]}
    assert world.group.generation == 3


def test_recordings_of_a_real_server_are_there() -> None:
    assert len(RECORDINGS) >= 11


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda path: path.stem)
def test_answers_are_those_of_a_real_server(recording: Path) -> None:
    seed = int(recording.stem.partition("-")[2])
    expected = recording.read_text(encoding="utf-8").splitlines()
    assert list(GroupDriver(seed).run(len(expected))) == expected


def test_the_thirty_second_hand_over_is_that_of_a_real_server() -> None:
    """The scenario of timeout-1.jsonl, step by step."""
    world = World(3)
    world.join("a")
    for partition_id in world.partitions:
        world.group.polled(partition_id, 4)
    world.committed |= {0: 1, 1: 4}
    world.join("b")
    assert world.polls() == {"a": [0, 1], "b": []}
    world.now += 3 * SECOND
    world.join("d")
    assert world.polls() == {"a": [0], "b": [], "d": [1]}
    world.now += 3 * SECOND
    assert not world.settle()
    assert [world.group.may_commit("a", partition_id) for partition_id in world.partitions] == [True, False, True]
    world.committed |= {0: 2, 1: 2, 2: 2}
    world.now += 34 * SECOND
    assert world.settle()
    assert world.polls() == {"a": [0], "b": [2], "d": [1]}
    world.leave("b")
    assert world.polls() == {"a": [0, 2], "d": [1]}


class GroupMachine(RuleBasedStateMachine):
    """Members come, go, poll and commit, partitions come and go, time passes; what must hold holds at every step."""

    sessions = st.sampled_from("abcdef")

    def __init__(self) -> None:
        super().__init__()
        self.world = World(5)
        self.generation = 0
        self.joined: set[str] = set()
        self.even = True

    @rule(session=sessions)
    def join(self, session: str) -> None:
        before = self.world.group.generation
        self.world.join(session)
        assert (self.world.group.generation == before) is (session in self.joined)
        self.joined.add(session)
        self.even = self.even and not self.world.group.settling

    @rule(session=sessions)
    def leave(self, session: str) -> None:
        before = self.world.group.generation
        assert self.world.leave(session) is (session in self.joined)
        assert self.world.group.generation == before + (session in self.joined)
        self.even = self.even or session in self.joined
        self.joined.discard(session)

    @rule(session=sessions, partition_id=st.integers(0, 9), offset=st.integers(0, 20))
    def poll(self, session: str, partition_id: int, offset: int) -> None:
        allowed = self.world.group.may_poll(session, partition_id)
        assignment = self.world.group.assignment(session)
        assert allowed is (assignment is not None and partition_id in assignment[1])
        if allowed:
            self.world.group.polled(partition_id, offset)

    @rule(session=sessions, partition_id=st.integers(0, 9), offset=st.integers(0, 20))
    def commit(self, session: str, partition_id: int, offset: int) -> None:
        owners = [who for who, owned in self.world.owned().items() if partition_id in owned]
        assert self.world.group.may_commit(session, partition_id) is (owners == [session])
        if owners == [session]:
            self.world.committed[partition_id] = offset

    @rule(seconds=st.integers(0, 40))
    def wait(self, seconds: int) -> None:
        self.world.now += seconds * SECOND
        before = self.world.group.generation
        assert self.world.settle() is (self.world.group.generation > before)
        assert not self.world.settle()

    @rule(partitions=st.integers(0, 9))
    def repartition(self, partitions: int) -> None:
        self.world.group.forget_polled(range(partitions, len(self.world.partitions)))
        self.world.partitions = range(partitions)
        for gone in [partition_id for partition_id in self.world.committed if partition_id >= partitions]:
            del self.world.committed[gone]
        self.world.group.deal(self.world.partitions)
        self.even = True

    @precondition(lambda self: self.joined)
    @rule()
    def quiet_down(self) -> None:
        """Time ends every hand-over, and then every partition is polled by someone."""
        self.world.now += REBALANCING_TIMEOUT_MICROS
        self.world.settle()
        assert not self.world.group.settling
        assert sessions_of(self.world.polls().values()) == list(self.world.partitions)

    @precondition(lambda self: self.joined and self.even)
    @invariant()
    def shares_are_fair_unless_a_join_had_to_wait(self) -> None:
        sizes = [len(owned) for owned in self.world.owned().values()]
        assert max(sizes) - min(sizes) <= 1

    @invariant()
    def every_partition_has_exactly_one_owner(self) -> None:
        owned = sessions_of(self.world.owned().values())
        assert owned == (list(self.world.partitions) if self.joined else [])

    @invariant()
    def the_generation_never_goes_back(self) -> None:
        assert self.world.group.generation >= self.generation
        self.generation = self.world.group.generation

    @invariant()
    def hand_overs_go_from_owners_to_other_members(self) -> None:
        ids = {member.id for member in self.world.group.members}
        for member in self.world.group.members:
            for revocation in member.revocations:
                assert revocation.partition_id in member.partitions
                assert revocation.target in ids - {member.id}


TestGroupMachine = GroupMachine.TestCase
