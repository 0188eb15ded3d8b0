"""Streams, topics and partitions: ids, names, limits, options, and what is there again after a restart."""

import json
from collections.abc import Callable

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from rustok_iggy_connector.local_server.catalog import MAX_PARTITIONS_PER_REQUEST, Catalog
from rustok_iggy_connector.local_server.changes import Change, Row
from rustok_iggy_connector.local_server.entries import Partition
from rustok_iggy_connector.local_server.options import NEVER
from rustok_iggy_connector.local_server.refusal import Refusal
from rustok_iggy_connector.wire.fields import Field

GIB = 1 << 30


def no_offsets(partition: Partition, group_id: int) -> int | None:
    return None


def new_catalog() -> Catalog:
    catalog = Catalog(group_offsets=no_offsets)
    catalog.create_stream("s", now=10)
    return catalog


def with_topic(partitions_count: int = 2, *options: Field) -> Catalog:
    catalog = new_catalog()
    catalog.create_topic("s", name="t", partitions_count=partitions_count, options=options, now=20)
    return catalog


def incarnations(catalog: Catalog) -> list[int]:
    return [partition.incarnation for partition in catalog.topic("s", "t").partitions]


def assert_refused(status: int, call: Callable[[], object], *, committed: bool) -> None:
    with pytest.raises(Refusal) as caught:
        call()
    assert (caught.value.status, caught.value.committed) == (status, committed)


class Rows:
    """What a storage would hold: JSON text, replaced and removed as the changes say."""

    def __init__(self) -> None:
        self.texts: dict[tuple[str, str], str] = {}

    def apply(self, changes: list[Change]) -> None:
        for change in changes:
            if change.row is None:
                self.texts.pop((change.table, change.key), None)
            else:
                self.texts[change.table, change.key] = json.dumps(change.row)

    def load(self) -> list[Change]:
        rows: dict[tuple[str, str], Row] = {place: json.loads(text) for place, text in self.texts.items()}
        return [Change(table=table, key=key, row=row) for (table, key), row in rows.items()]


def restarted(catalog: Catalog, rows: Rows) -> Catalog:
    rows.apply(catalog.take_changes())
    return Catalog.from_rows(rows.load(), group_offsets=no_offsets)


def test_ids_are_the_lowest_free_number() -> None:
    catalog = new_catalog()
    for name in ("b", "c"):
        catalog.create_stream(name, now=0)
    catalog.delete_stream("s")
    catalog.delete_stream("b")
    assert [catalog.create_stream(name, now=0).id for name in ("d", "e", "f")] == [0, 1, 3]


def test_topic_ids_are_counted_in_each_stream() -> None:
    catalog = with_topic()
    catalog.create_stream("other", now=0)
    assert catalog.create_topic("other", name="t", partitions_count=1, now=0).key == (1, 0)
    assert catalog.create_topic("s", name="u", partitions_count=1, now=0).key == (0, 1)


def test_things_are_found_by_id_and_by_name() -> None:
    catalog = with_topic()
    group = catalog.groups.create(catalog.topic("s", "t"), "g")
    assert catalog.find_topic(0, 0) is catalog.find_topic("s", "t")
    assert catalog.find_group(0, "t", 0) is catalog.find_group("s", 0, "g") is group
    assert catalog.find_stream("0") is None
    assert catalog.find_topic("s", 7) is catalog.find_topic("x", 0) is catalog.find_group("x", "t", "g") is None


@pytest.mark.parametrize("committed", [False, True])
def test_the_status_of_a_miss_names_the_missing_level(committed: bool) -> None:
    catalog = with_topic()
    assert_refused(1009, lambda: catalog.topic("x", "t", committed=committed), committed=committed)
    assert_refused(2010, lambda: catalog.topic("s", "x", committed=committed), committed=committed)
    topic = catalog.topic("s", "t")
    assert_refused(5000, lambda: catalog.groups.get(topic, "x", committed=committed), committed=committed)


def test_taken_names_are_refused_in_the_result_and_nothing_changes() -> None:
    catalog = with_topic()
    catalog.create_stream("s2", now=0)
    catalog.create_topic("s", name="t2", partitions_count=1, now=0)
    catalog.groups.create(catalog.topic("s", "t"), "g")
    catalog.take_changes()
    assert_refused(1012, lambda: catalog.create_stream("s", now=0), committed=True)
    assert_refused(1012, lambda: catalog.update_stream("s2", name="s"), committed=True)
    assert_refused(2013, lambda: catalog.create_topic("s", name="t", partitions_count=1, now=0), committed=True)
    assert_refused(2013, lambda: catalog.update_topic("s", "t2", name="t"), committed=True)
    assert_refused(5004, lambda: catalog.groups.create(catalog.topic("s", "t"), "g"), committed=True)
    assert catalog.take_changes() == []


def test_renamed_things_free_their_names() -> None:
    catalog = with_topic()
    catalog.update_stream("s", name="s")
    catalog.update_stream("s", name="new")
    catalog.update_topic("new", "t", name="renamed")
    assert catalog.find_stream("s") is None
    assert catalog.topic("new", "renamed").key == (0, 0)
    assert catalog.create_stream("s", now=0).id == 1


@pytest.mark.parametrize(
    ("name", "fits"), [("a", True), ("12", True), ("é" * 127, True), ("", False), ("é" * 128, False)]
)
def test_names_have_one_to_255_bytes(name: str, fits: bool) -> None:
    catalog = with_topic()
    if fits:
        catalog.create_stream(name, now=0)
        catalog.create_topic("s", name=name, partitions_count=1, now=0)
        catalog.groups.create(catalog.topic("s", "t"), name)
    else:
        assert_refused(3, lambda: catalog.create_stream(name, now=0), committed=False)
        assert_refused(3, lambda: catalog.create_topic("s", name=name, partitions_count=1, now=0), committed=False)
        assert_refused(3, lambda: catalog.groups.create(catalog.topic("s", "t"), name), committed=False)


@pytest.mark.parametrize(
    ("count", "status"), [(0, None), (MAX_PARTITIONS_PER_REQUEST, None), (MAX_PARTITIONS_PER_REQUEST + 1, 2015)]
)
def test_a_topic_starts_with_up_to_1000_partitions(count: int, status: int | None) -> None:
    catalog = new_catalog()
    if status is None:
        topic = catalog.create_topic("s", name="t", partitions_count=count, now=0)
        assert [partition.id for partition in topic.partitions] == list(range(count))
    else:
        assert_refused(
            status, lambda: catalog.create_topic("s", name="t", partitions_count=count, now=0), committed=False
        )


def test_a_refused_topic_is_not_there() -> None:
    catalog = new_catalog()
    catalog.take_changes()
    bad = Field.u64("segment_size", 5)
    assert_refused(
        4042, lambda: catalog.create_topic("s", name="t", partitions_count=1, options=[bad], now=0), committed=False
    )
    assert catalog.topics(0) == []
    assert catalog.take_changes() == []


def test_streams_take_no_options() -> None:
    catalog = new_catalog()
    option = Field.text("anything", "x")
    assert_refused(4041, lambda: catalog.create_stream("x", options=[option], now=0), committed=False)
    assert_refused(4041, lambda: catalog.update_stream("s", name="x", options=[option]), committed=False)


def test_options_become_the_properties_of_the_topic() -> None:
    catalog = with_topic(
        1,
        Field.u64("message_expiry", 7_000_000),
        Field.u64("max_topic_size", 2 * GIB),
        Field.u64("segment_size", 1 << 20),
        Field.text("compression_algorithm", "gzip"),
    )
    topic = catalog.topic("s", "t")
    assert (topic.message_expiry, topic.max_topic_size, topic.segment_size) == (7_000_000, 2 * GIB, 1 << 20)
    assert (topic.compression, topic.compression_code) == ("gzip", 2)
    plain = catalog.create_topic("s", name="plain", partitions_count=1, now=0)
    assert (plain.message_expiry, plain.max_topic_size, plain.segment_size) == (NEVER, NEVER, GIB)
    assert plain.compression_code == 1


def test_a_topic_capped_below_one_segment_is_refused() -> None:
    catalog = with_topic(1)
    cap = [Field.u64("max_topic_size", GIB - 1)]
    assert_refused(
        1019, lambda: catalog.create_topic("s", name="x", partitions_count=1, options=cap, now=0), committed=False
    )
    assert_refused(1019, lambda: catalog.update_topic("s", "t", name="t", options=cap), committed=False)


def test_preallocation_has_a_ceiling() -> None:
    catalog = new_catalog()
    wanted = [Field.boolean("preallocate_segments", True)]
    catalog.create_topic("s", name="fits", partitions_count=64, options=wanted, now=0)
    assert_refused(
        4042, lambda: catalog.create_topic("s", name="no", partitions_count=65, options=wanted, now=0), committed=False
    )


def test_an_update_changes_what_is_given_and_keeps_the_rest() -> None:
    catalog = with_topic(2, Field.u64("message_expiry", 7_000_000))
    before = catalog.topic("s", "t")
    catalog.update_topic("s", "t", name="t", options=[Field.text("max_topic_size", "3 GiB")])
    topic = catalog.topic("s", "t")
    assert (topic.message_expiry, topic.max_topic_size) == (7_000_000, 3 * GIB)
    assert topic.partitions == before.partitions
    assert topic.explicit == (Field.text("max_topic_size", "3 GiB"), Field.u64("message_expiry", 7_000_000))
    assert b"max_topic_size" not in {option.key for option in topic.derived}


@pytest.mark.parametrize("key", ["segment_size", "durability", "enforce_fsync", "unheard_of"])
def test_what_is_fixed_at_creation_cannot_be_updated(key: str) -> None:
    catalog = with_topic()
    assert_refused(
        4041, lambda: catalog.update_topic("s", "t", name="t", options=[Field.text(key, "x")]), committed=False
    )


def test_partitions_are_added_and_removed_at_the_end() -> None:
    catalog = with_topic(2)
    assert [partition.id for partition in catalog.create_partitions("s", "t", 2, now=30)] == [2, 3]
    assert [partition.id for partition in catalog.delete_partitions("s", "t", 3)] == [1, 2, 3]
    assert [partition.id for partition in catalog.create_partitions("s", "t", 1, now=40)] == [1]
    topic = catalog.topic("s", "t")
    assert topic.partition(1) == topic.partitions[1]
    assert topic.partition(1).created_at == 40
    assert topic.partition(2) is topic.partition(-1) is None


@pytest.mark.parametrize("count", [0, MAX_PARTITIONS_PER_REQUEST + 1])
def test_at_least_one_and_at_most_1000_partitions_change_at_once(count: int) -> None:
    catalog = with_topic(2)
    assert_refused(2015, lambda: catalog.create_partitions("s", "t", count, now=0), committed=False)
    assert_refused(2015, lambda: catalog.delete_partitions("s", "t", count), committed=False)


def test_no_more_partitions_are_removed_than_there_are() -> None:
    catalog = with_topic(2)
    assert_refused(2019, lambda: catalog.delete_partitions("s", "t", 3), committed=True)
    assert len(catalog.delete_partitions("s", "t", 2)) == 2
    assert catalog.topic("s", "t").partitions == ()


def test_a_purge_retires_every_incarnation_and_keeps_ids_and_ages() -> None:
    catalog = with_topic(2)
    before = catalog.topic("s", "t").partitions
    assert tuple(catalog.purge_topic("s", "t")) == before
    after = catalog.topic("s", "t").partitions
    assert [(partition.id, partition.created_at) for partition in after] == [(0, 20), (1, 20)]
    assert not {partition.incarnation for partition in before} & {partition.incarnation for partition in after}


def test_purging_a_stream_purges_its_topics() -> None:
    catalog = with_topic(2)
    catalog.create_topic("s", name="u", partitions_count=1, now=0)
    retired = catalog.purge_stream("s")
    assert [partition.incarnation for partition in retired] == [1, 2, 3]
    assert incarnations(catalog) == [4, 5]


def test_no_incarnation_is_used_twice_also_not_after_a_restart() -> None:
    rows = Rows()
    catalog = with_topic(2)
    seen = set(incarnations(catalog))
    catalog.delete_topic("s", "t")
    catalog = restarted(catalog, rows)
    catalog.create_topic("s", name="t", partitions_count=2, now=0)
    assert not seen & set(incarnations(catalog))


def test_deleting_a_stream_takes_everything_in_it_along() -> None:
    rows = Rows()
    catalog = with_topic()
    catalog.groups.create(catalog.topic("s", "t"), "g")
    rows.apply(catalog.take_changes())
    assert [topic.name for topic in catalog.delete_stream("s")] == ["t"]
    rows.apply(catalog.take_changes())
    assert {table for table, _ in rows.texts} == {"incarnations"}
    assert catalog.streams == catalog.topics(0) == []


def test_balanced_sends_go_round_and_survive_a_smaller_topic() -> None:
    catalog = with_topic(3)
    topic = catalog.topic("s", "t")
    assert [catalog.next_balanced_partition(topic) for _ in range(4)] == [0, 1, 2, 0]
    catalog.delete_partitions("s", "t", 2)
    assert catalog.next_balanced_partition(catalog.topic("s", "t")) == 0
    catalog.delete_partitions("s", "t", 1)
    assert catalog.next_balanced_partition(catalog.topic("s", "t")) is None


def test_the_next_turn_is_counted_in_the_partitions_there_were() -> None:
    catalog = with_topic(3)
    assert [catalog.next_balanced_partition(catalog.topic("s", "t")) for _ in range(3)] == [0, 1, 2]
    catalog.create_partitions("s", "t", 1, now=30)
    assert [catalog.next_balanced_partition(catalog.topic("s", "t")) for _ in range(5)] == [0, 1, 2, 3, 0]


class CatalogMachine(RuleBasedStateMachine):
    """Random commands; after each, rows that went through JSON give the same catalog."""

    names = st.sampled_from(["a", "b", "c"])

    def __init__(self) -> None:
        super().__init__()
        self.rows = Rows()
        self.catalog = Catalog(group_offsets=no_offsets)

    def attempt(self, call: Callable[[], object]) -> None:
        try:
            call()
        except Refusal:
            assert self.catalog.take_changes() == []
        self.rows.apply(self.catalog.take_changes())

    @rule(stream=names)
    def create_stream(self, stream: str) -> None:
        self.attempt(lambda: self.catalog.create_stream(stream, now=1))

    @rule(stream=names, name=names)
    def rename_stream(self, stream: str, name: str) -> None:
        self.attempt(lambda: self.catalog.update_stream(stream, name=name))

    @rule(stream=names)
    def delete_stream(self, stream: str) -> None:
        self.attempt(lambda: self.catalog.delete_stream(stream))

    @rule(stream=names, topic=names, count=st.integers(0, 3))
    def create_topic(self, stream: str, topic: str, count: int) -> None:
        options = [Field.u64("message_expiry", count)]
        self.attempt(
            lambda: self.catalog.create_topic(stream, name=topic, partitions_count=count, options=options, now=2)
        )

    @rule(stream=names, topic=names, name=names)
    def rename_topic(self, stream: str, topic: str, name: str) -> None:
        self.attempt(lambda: self.catalog.update_topic(stream, topic, name=name))

    @rule(stream=names, topic=names)
    def delete_topic(self, stream: str, topic: str) -> None:
        self.attempt(lambda: self.catalog.delete_topic(stream, topic))

    @rule(stream=names, topic=names)
    def purge_topic(self, stream: str, topic: str) -> None:
        self.attempt(lambda: self.catalog.purge_topic(stream, topic))

    @rule(stream=names, topic=names, count=st.integers(0, 2), more=st.booleans())
    def repartition(self, stream: str, topic: str, count: int, more: bool) -> None:
        if more:
            self.attempt(lambda: self.catalog.create_partitions(stream, topic, count, now=3))
        else:
            self.attempt(lambda: self.catalog.delete_partitions(stream, topic, count))

    @rule(stream=names, topic=names, group=names, make=st.booleans())
    def group(self, stream: str, topic: str, group: str, make: bool) -> None:
        within = self.catalog.find_topic(stream, topic)
        if within is not None:
            change = self.catalog.groups.create if make else self.catalog.groups.delete
            self.attempt(lambda: change(within, group))

    @rule(stream=names, topic=names, group=names, session=st.integers(0, 2), join=st.booleans())
    def membership(self, stream: str, topic: str, group: str, session: int, join: bool) -> None:
        within = self.catalog.find_topic(stream, topic)
        if within is None:
            return
        if join:
            self.attempt(lambda: self.catalog.groups.join(within, group, session, now=4))
        else:
            self.attempt(lambda: self.catalog.groups.leave(within, group, session))

    @rule(session=st.integers(0, 2))
    def connection_lost(self, session: int) -> None:
        self.attempt(lambda: self.catalog.groups.drop_session(session))
        assert self.catalog.groups.memberships(session) == []

    @invariant()
    def rows_give_the_same_catalog(self) -> None:
        again = Catalog.from_rows(self.rows.load(), group_offsets=no_offsets)
        assert describe(again) == describe(self.catalog)

    @invariant()
    def incarnations_are_unique(self) -> None:
        live = [
            partition.incarnation
            for stream in self.catalog.streams
            for topic in self.catalog.topics(stream.id)
            for partition in topic.partitions
        ]
        assert len(live) == len(set(live))


def describe(catalog: Catalog) -> list[object]:
    topics = [topic for stream in catalog.streams for topic in catalog.topics(stream.id)]
    groups = [
        (topic.key, group.id, group.name, group.generation) for topic in topics for group in catalog.groups.of(topic)
    ]
    return [*catalog.streams, *topics, *groups]


TestCatalogMachine = CatalogMachine.TestCase
