"""Groups across topics: ids that are never used again, lost connections, hand-overs that wait, restarts."""

import json

import pytest

from rustok_iggy_connector.local_server.catalog import Catalog
from rustok_iggy_connector.local_server.changes import Change
from rustok_iggy_connector.local_server.entries import Partition, Topic
from rustok_iggy_connector.local_server.groups import REBALANCING_TIMEOUT_MICROS
from rustok_iggy_connector.local_server.refusal import Refusal


class Server:
    """A catalog of one stream with topics t and u of two partitions, a group g in each, and stored offsets."""

    def __init__(self) -> None:
        self.offsets: dict[tuple[int, int], int] = {}
        self.catalog = Catalog(group_offsets=self.stored)
        self.catalog.create_stream("s", now=0)
        for name in ("t", "u"):
            topic = self.catalog.create_topic("s", name=name, partitions_count=2, now=0)
            self.catalog.groups.create(topic, "g")
        self.groups = self.catalog.groups

    def stored(self, partition: Partition, group_id: int) -> int | None:
        return self.offsets.get((partition.incarnation, group_id))

    def topic(self, name: str = "t") -> Topic:
        return self.catalog.topic("s", name)

    def join(self, session: str, *, topic: str = "t", now: int = 0) -> None:
        self.groups.join(self.topic(topic), "g", session, now=now)

    def shares(self, topic: str = "t") -> dict[object, list[int]]:
        return {member.session: member.partitions for member in self.groups.get(self.topic(topic), "g").members}

    def hand_over_waits(self) -> None:
        """Member a polled partition 1 and did not commit; b joined."""
        self.join("a")
        self.groups.get(self.topic(), "g").polled(1, 3)
        self.join("b")


@pytest.fixture
def server() -> Server:
    return Server()


def test_group_ids_are_never_used_again(server: Server) -> None:
    for used in (1, 2, 3):
        server.groups.delete(server.topic(), "g")
        assert server.groups.create(server.topic(), "g").id == used
    assert server.groups.create(server.topic("u"), "other").id == 1


def test_a_group_made_anew_starts_its_generations_again(server: Server) -> None:
    server.join("a")
    server.groups.delete(server.topic(), "g")
    assert server.groups.create(server.topic(), "g").generation == 0


def test_commands_on_a_missing_group_or_by_a_stranger_are_refused_in_the_result(server: Server) -> None:
    for status, call in (
        (5000, lambda: server.groups.join(server.topic(), "x", "a", now=0)),
        (5000, lambda: server.groups.leave(server.topic(), 7, "a")),
        (5000, lambda: server.groups.delete(server.topic(), "x")),
        (5006, lambda: server.groups.leave(server.topic(), "g", "a")),
    ):
        with pytest.raises(Refusal) as caught:
            call()
        assert (caught.value.status, caught.value.committed) == (status, True)


def test_a_lost_connection_leaves_every_group_it_was_in(server: Server) -> None:
    for topic in ("t", "u"):
        server.join("a", topic=topic)
        server.join("b", topic=topic)
    assert server.groups.memberships("a") == [(0, 0, 0), (0, 1, 0)]
    assert server.groups.drop_session("a")
    assert server.shares("t") == server.shares("u") == {"b": [0, 1]}
    assert server.groups.memberships("a") == []
    assert not server.groups.drop_session("a")


def test_a_hand_over_waits_for_the_stored_offset_of_this_group_in_this_partition(server: Server) -> None:
    server.hand_over_waits()
    first, second = server.topic().partitions
    for place, offset in (((first.incarnation, 0), 9), ((second.incarnation, 1), 9), ((second.incarnation, 0), 2)):
        server.offsets[place] = offset
        assert server.groups.settle(now=1)
    server.offsets[second.incarnation, 0] = 3
    assert not server.groups.settle(now=1)
    assert server.shares() == {"a": [0], "b": [1]}


def test_a_hand_over_ends_after_the_timeout(server: Server) -> None:
    server.hand_over_waits()
    assert server.groups.settle(now=REBALANCING_TIMEOUT_MICROS - 1)
    assert not server.groups.settle(now=REBALANCING_TIMEOUT_MICROS)
    assert server.shares() == {"a": [0], "b": [1]}


def test_nothing_waits_after_a_leave_a_purge_or_a_deal(server: Server) -> None:
    server.hand_over_waits()
    server.groups.leave(server.topic(), "g", "b")
    assert not server.groups.settle(now=0)
    server.join("b")
    assert server.groups.settle(now=0)
    server.catalog.purge_topic("s", "t")
    assert not server.groups.settle(now=0)
    assert server.shares() == {"a": [0], "b": [1]}
    server.groups.leave(server.topic(), "g", "b")
    server.groups.get(server.topic(), "g").polled(1, 3)
    server.join("b")
    assert server.groups.settle(now=0)
    server.catalog.create_partitions("s", "t", 1, now=0)
    assert not server.groups.settle(now=0)
    assert server.shares() == {"a": [0, 2], "b": [1]}


def test_a_deleted_topic_takes_waiting_hand_overs_along(server: Server) -> None:
    server.hand_over_waits()
    server.catalog.delete_topic("s", "t")
    assert not server.groups.settle(now=0)
    assert server.groups.memberships("a") == []


def test_a_deleted_group_waits_no_more(server: Server) -> None:
    server.hand_over_waits()
    server.groups.delete(server.topic(), "g")
    assert not server.groups.settle(now=0)


def test_a_lost_connection_deals_the_partitions_there_are_now(server: Server) -> None:
    server.join("a")
    server.join("b")
    server.catalog.create_partitions("s", "t", 2, now=0)
    server.groups.drop_session("a")
    assert server.shares() == {"b": [0, 1, 2, 3]}


def test_a_partition_made_anew_has_nothing_in_flight(server: Server) -> None:
    server.join("a")
    server.groups.get(server.topic(), "g").polled(1, 9)
    server.catalog.delete_partitions("s", "t", 1)
    server.catalog.create_partitions("s", "t", 1, now=0)
    server.join("b")
    assert server.shares() == {"a": [0], "b": [1]}


def test_other_numbers_of_partitions_are_dealt_to_every_group(server: Server) -> None:
    server.join("a")
    server.join("b")
    server.catalog.delete_partitions("s", "t", 1)
    assert server.shares() == {"a": [0], "b": []}
    assert server.groups.get(server.topic(), "g").generation == 3


def test_identity_and_generation_survive_a_restart_and_membership_does_not(server: Server) -> None:
    server.hand_over_waits()
    server.groups.create(server.topic(), "gone")
    server.groups.delete(server.topic(), "gone")
    stored = [
        Change(table=change.table, key=change.key, row=json.loads(json.dumps(change.row)))
        for change in server.catalog.take_changes()
    ]
    again = Catalog.from_rows(stored, group_offsets=server.stored)
    topic = again.topic("s", "t")
    group = again.groups.get(topic, "g")
    assert (group.id, group.generation, group.members_count) == (0, 2, 0)
    assert again.groups.create(topic, "gone").id == 2
    again.groups.join(topic, "g", "a", now=0)
    assert group.assignment("a") == (3, [0, 1])


def test_every_change_of_a_generation_is_told(server: Server) -> None:
    def told() -> list[object]:
        return [
            change.row["generation"]
            for change in server.catalog.take_changes()
            if change.table == "groups" and change.row is not None
        ]

    told()
    server.hand_over_waits()
    assert told() == [2]
    server.groups.settle(now=0)
    assert told() == []
    server.groups.settle(now=REBALANCING_TIMEOUT_MICROS)
    assert told() == [3]
    server.groups.drop_session("a")
    assert told() == [4]
    server.catalog.create_partitions("s", "t", 1, now=0)
    assert told() == [5]
