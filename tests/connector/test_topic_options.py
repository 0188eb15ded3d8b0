"""Retention and durability between words and wire."""

import pytest

from rustok_iggy_connector import Durability, TopicSpec
from rustok_iggy_connector.topic_options import (
    WITHOUT_LIMIT,
    durability_in_force,
    durability_options,
    expiry_seconds,
    limit_bytes,
    retention_options,
    segment_bytes,
    segment_options,
)
from rustok_iggy_connector.wire.fields import Field


@pytest.mark.parametrize("durability", list(Durability))
def test_each_way_of_asking_leads_to_what_was_asked(durability: Durability) -> None:
    for options in durability_options(durability):
        # A server fills in what was not set; one that knows enforce_fsync has it off.
        derived = (Field.boolean("enforce_fsync", False), Field.u32("messages_required_to_save", 1024))
        assert durability_in_force((*derived, *options)) is durability


def test_gathering_in_memory_before_the_sync_is_not_persisted() -> None:
    options = (Field.boolean("enforce_fsync", True), Field.u32("messages_required_to_save", 1024))
    assert durability_in_force(options) is Durability.REPLICATED


def test_a_server_that_says_nothing_or_something_unknown_is_not_guessed_at() -> None:
    assert durability_in_force(()) is None
    assert durability_in_force((Field.text("durability", "quorum"),)) is None


def test_only_what_is_given_is_sent() -> None:
    spec = TopicSpec(name="t", partitions=1)
    assert list(retention_options(spec)) == list(segment_options(spec)) == []
    spec = TopicSpec(name="t", partitions=1, max_age=1.5, max_bytes=10, segment_bytes=5)
    assert list(retention_options(spec)) == [
        Field.u64("message_expiry", 1_500_000),
        Field.u64("max_topic_size", 10),
    ]
    assert list(segment_options(spec)) == [Field.u64("segment_size", 5)]


def test_an_age_below_a_microsecond_is_not_the_servers_default() -> None:
    (option,) = retention_options(TopicSpec(name="t", partitions=1, max_age=0))
    assert option == Field.u64("message_expiry", 1)


def test_no_limit_reads_as_none() -> None:
    assert expiry_seconds(WITHOUT_LIMIT) is expiry_seconds(0) is limit_bytes(WITHOUT_LIMIT) is limit_bytes(0) is None
    assert expiry_seconds(2_500_000) == 2.5
    assert limit_bytes(7) == 7
    assert segment_bytes((Field.u64("segment_size", 1 << 20),)) == 1 << 20
    assert segment_bytes(()) is None
