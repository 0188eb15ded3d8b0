"""What the doctor says of what it was told."""

from datetime import UTC, datetime, timedelta

import pytest

from rustok_iggy.cli import findings
from rustok_iggy.cli.findings import LastEvent
from rustok_iggy.consumer_groups import ConsumerGroup, PartitionProgress, Pin
from rustok_iggy.errors import AuthenticationError, ServerUnreachableError
from rustok_iggy.topology import ActualTopology
from rustok_iggy_connector import Durability, ServerInfo, TopicInfo

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def topic(durability: Durability | None = Durability.PERSISTED, *, segment_bytes: int = 2**20) -> TopicInfo:
    return TopicInfo(
        id=0,
        name="domain",
        created_at=0,
        partitions=1,
        messages=10_000,
        size_bytes=10_000 * 1024,
        durability=durability,
        max_age=None,
        max_bytes=None,
        segment_bytes=segment_bytes,
        current_offsets={0: 9_999},
    )


def group(committed: int | None, *, member: int | None = 1, current: int = 99) -> ConsumerGroup:
    part = PartitionProgress(partition_id=0, committed=committed, current=current, member=member)
    members = () if member is None else (member,)
    return ConsumerGroup(topic="domain", group="billing", id=1, members=members, partitions=(part,))


def last(*, stored: float, made: float | None) -> LastEvent:
    made_at = None if made is None else NOW + timedelta(seconds=made)
    return LastEvent(topic="domain", partition_id=0, stored_at=NOW + timedelta(seconds=stored), made_at=made_at)


@pytest.mark.parametrize(
    ("event", "state", "said"),
    [
        (last(stored=-5, made=-6), "ok", "in the future"),
        (last(stored=5, made=None), "problem", "server's clock is at least 5.0 s ahead"),
        (last(stored=-60, made=-50), "problem", "publisher's clock is at least 10.0 s ahead"),
        (last(stored=0.5, made=1.2), "ok", ""),
    ],
)
def test_clocks_that_cannot_all_be_right(event: LastEvent, state: str, said: str) -> None:
    (found,) = findings.clocks([event], now=NOW)
    assert (found.state, said in found.text) == (state, True), found


def test_without_events_clocks_cannot_be_told() -> None:
    assert [each.state for each in findings.clocks([], now=NOW)] == ["note"]


@pytest.mark.parametrize(
    ("durability", "state"),
    [(Durability.PERSISTED, "ok"), (Durability.REPLICATED, "warning"), (None, "warning")],
)
def test_what_an_acknowledgement_means(durability: Durability | None, state: str) -> None:
    actual = ActualTopology(stream_exists=True, topics={"domain": topic(durability)})
    assert [each.state for each in findings.durability(actual, in_memory=False)] == [state]


@pytest.mark.parametrize(("behind", "count"), [(1, 0), (1_000, 0), (2_000, 1)])
def test_only_who_is_more_than_a_segment_behind_pins_one(behind: int, count: int) -> None:
    pin = Pin(partition_id=0, holder="group billing", committed=0, behind=behind)
    found = list(findings.pinned(topic(), [pin]))
    assert len(found) == count
    assert all("groups forget" in (each.advice or "") for each in found)


def test_a_group_that_stands_still_with_members() -> None:
    (found,) = findings.groups([group(5)], [group(5)], apart=3)
    assert (found.state, "partitions 0" in found.text) == ("warning", True)
    (moving,) = findings.groups([group(5)], [group(6)], apart=3)
    assert moving.state == "ok"


def test_a_group_that_nobody_reads_in() -> None:
    (found,) = findings.groups([], [group(5, member=None)], apart=3)
    assert (found.state, "94 events waiting" in found.text) == ("warning", True)
    (idle,) = findings.groups([], [group(99, member=None)], apart=3)
    assert idle.state == "ok"


def test_a_group_far_behind_is_worth_a_word() -> None:
    (found,) = findings.groups([], [group(5, current=50_000)], apart=3)
    assert found.state == "note"


def test_why_a_server_was_not_reached_and_what_to_do() -> None:
    assert "remote.password" in (findings.unreachable(AuthenticationError("no")).advice or "")
    assert "server-away.md" in (findings.unreachable(ServerUnreachableError("no")).advice or "")


def test_the_development_server_is_named() -> None:
    local = ServerInfo(engine="local", version="0.9.0+local", address="a:1")
    real = ServerInfo(engine="iggy-server", version="0.9.0", address="a:1")
    assert [findings.server(each).state for each in (local, real)] == ["note", "ok"]
