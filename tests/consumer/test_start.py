"""Where a partition is read from once it is assigned."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from rustok_iggy import OffsetOutOfRangeError, Start
from rustok_iggy.consumer.start import StartingPoint, log_was_reset, starting_point
from rustok_iggy_connector import CommittedOffset
from tests.consumer.scripted import ScriptedSubscriber, stored

pytestmark = pytest.mark.anyio


class Topic:
    """As much of a description as is asked for."""

    def __init__(self, subscriber: ScriptedSubscriber) -> None:
        self.current_offsets = {partition: log[-1].offset for partition, log in subscriber.logs.items() if log}


class Admin:
    def __init__(self, subscriber: ScriptedSubscriber) -> None:
        self.subscriber = subscriber

    async def describe_topic(self, *, stream: str, topic: str) -> Topic:
        return Topic(self.subscriber)


async def start_at(
    subscriber: ScriptedSubscriber, start: Start | datetime, *, has_begun: bool = False
) -> StartingPoint:
    async def begun() -> bool:
        return has_begun

    admin: Any = Admin(subscriber)
    return await starting_point(
        subscriber, admin, stream="s", topic="domain", partition_id=0, start=start, has_begun=begun
    )


def log_of(*offsets: int, committed: int | None = None) -> ScriptedSubscriber:
    subscriber = ScriptedSubscriber()
    subscriber.logs[0] = stored(*offsets)
    if committed is not None:
        subscriber.offsets[0] = committed
    return subscriber


@pytest.mark.parametrize("start", [*Start, datetime.now(UTC)])
async def test_the_committed_offset_goes_before_everything(start: Start | datetime) -> None:
    subscriber = log_of(*range(10), committed=4)
    assert await start_at(subscriber, start) == StartingPoint(next_offset=5, stored=4)
    assert subscriber.commits == []


async def test_earliest_begins_at_the_first_there_is() -> None:
    assert await start_at(log_of(5, 6), Start.EARLIEST) == StartingPoint(next_offset=0, stored=None)


async def test_latest_is_stored_at_once() -> None:
    subscriber = log_of(*range(10))
    assert await start_at(subscriber, Start.LATEST) == StartingPoint(next_offset=10, stored=9)
    assert subscriber.commits == [(0, 9)]


async def test_latest_of_an_empty_partition_is_its_beginning() -> None:
    assert await start_at(log_of(), Start.LATEST) == StartingPoint(next_offset=0, stored=None)


async def test_latest_stays_where_it_began_when_that_could_not_be_stored() -> None:
    subscriber = log_of(*range(10))
    assert await start_at(subscriber, Start.LATEST, has_begun=True) == StartingPoint(next_offset=0, stored=None)
    assert subscriber.commits == []


async def test_a_time_begins_at_the_first_event_stored_since() -> None:
    subscriber = log_of(*range(10))
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=1_000_006)
    assert await start_at(subscriber, moment) == StartingPoint(next_offset=6, stored=5)
    assert subscriber.commits == [(0, 5)]
    assert await start_at(log_of(*range(10)), moment.replace(year=1960)) == StartingPoint(next_offset=0, stored=None)
    assert await start_at(log_of(*range(10)), moment.replace(year=2090)) == StartingPoint(next_offset=10, stored=9)


async def test_a_log_shorter_than_its_committed_offset_was_reset() -> None:
    with pytest.raises(OffsetOutOfRangeError, match="offset 9 is committed, but the log ends at 3") as caught:
        await start_at(log_of(*range(4), committed=9), Start.EARLIEST)
    assert (caught.value.expected, caught.value.found) == (10, 3)


@pytest.mark.parametrize(
    ("stored", "found", "was_reset"),
    [
        (9, None, True),  # a purge forgets offsets
        (None, None, False),  # nothing was committed yet
        (9, CommittedOffset(committed=9, current=4), True),  # a crash lost the end of the log
        (9, CommittedOffset(committed=4, current=4), False),  # a node that is behind
        (9, CommittedOffset(committed=9, current=9), False),
    ],
)
async def test_what_the_server_has_of_an_offset_tells_that_the_log_was_reset(
    stored: int | None, found: CommittedOffset | None, was_reset: bool
) -> None:
    assert log_was_reset(stored=stored, found=found) is was_reset
