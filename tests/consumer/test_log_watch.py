"""A log that is begun again under whoever reads it, however long it has become."""

import asyncio

import pytest

from rustok_iggy import OffsetOutOfRangeError
from rustok_iggy.consumer.context import GroupLife
from rustok_iggy.consumer.log_watch import LogWatch
from rustok_iggy_connector import Assignment, ConnectionLostError, PolledMessages, ReceivedMessage
from tests.consumer.hosts import Recorder
from tests.consumer.scripted import ScriptedSubscriber, services, stored
from tests.dead_letters.journal_records import claim, epoch, folded, letter

pytestmark = pytest.mark.anyio
OWNER = epoch(1)
AT_ONCE, NEVER = 0.0, 3600.0
NOTED_AT = 1_500_000
"""After the events that stored() makes, before those of another log."""


class Member:
    """As much of one as is asked for."""

    def __init__(self, subscriber: ScriptedSubscriber) -> None:
        self.subscriber = subscriber
        self.life = GroupLife(topic_created_at=0, group_id=3)

    def may_begin(self) -> bool:
        return True

    def ask(self) -> None:
        return

    async def assignment(self) -> Assignment:
        return Assignment(generation=1, partitions=(0,))

    async def next_answer(self) -> None:
        await asyncio.sleep(0)

    def overtaken(self, partition_id: int) -> None:
        raise AssertionError(partition_id)


def watch_over(subscriber: ScriptedSubscriber, *, interval: float = AT_ONCE) -> LogWatch:
    return LogWatch(services(Recorder(), heartbeat_interval=interval), Member(subscriber), partition_id=0)


def log_of(*offsets: int) -> ScriptedSubscriber:
    subscriber = ScriptedSubscriber()
    subscriber.logs[0] = stored(*offsets)
    return subscriber


def another_log(*offsets: int) -> list[ReceivedMessage]:
    """Events at the same offsets, stored a second later."""
    messages = stored(*offsets)
    for message in messages:
        message.timestamp += 1_000_000
    return messages


async def poll(watch: LogWatch, subscriber: ScriptedSubscriber, *, offset: int) -> PolledMessages:
    messages = await subscriber.poll(0, offset=offset, max_messages=100)
    await watch.polled(messages)
    return messages


async def test_the_log_that_the_journal_knows_is_let_pass() -> None:
    journal = folded(claim(OWNER, committed=4), letter(OWNER, 7))
    watch = watch_over(log_of(*range(10)))
    await watch.compare(journal, noted_at=NOTED_AT, committed=8)
    await watch.look()
    assert not watch.saw_another


async def test_nothing_is_polled_to_look_at_it() -> None:
    """A letter may stand above what is committed: polled by the member, it would hold up a hand-over for 30 s."""
    subscriber = log_of(*range(10))
    watch = watch_over(subscriber)
    await watch.compare(folded(claim(OWNER, committed=4), letter(OWNER, 7)), noted_at=NOTED_AT, committed=4)
    await watch.look()
    assert [offset for _, offset, _ in subscriber.peeked] == [4, 7, 7]
    assert subscriber.polled == []


async def test_an_event_younger_than_the_record_that_says_it_was_committed_is_of_another_log() -> None:
    subscriber = log_of()
    subscriber.logs[0] = another_log(*range(10))
    watch = watch_over(subscriber)
    with pytest.raises(OffsetOutOfRangeError, match="offset 4 was committed, as the dead letters say, but the event"):
        await watch.compare(folded(claim(OWNER, committed=4)), noted_at=NOTED_AT, committed=-1)
    assert watch.saw_another


async def test_an_event_that_is_not_the_one_its_dead_letter_keeps_is_of_another_log() -> None:
    """Whatever clocks say: it would be taken for that letter, and never run."""
    subscriber = log_of()
    subscriber.logs[0] = another_log(*range(10))
    watch = watch_over(subscriber)
    with pytest.raises(OffsetOutOfRangeError, match="offset 7 has a dead letter, but"):
        await watch.compare(folded(claim(OWNER), letter(OWNER, 7)), noted_at=NOTED_AT, committed=-1)


async def test_a_log_that_ends_before_what_the_journal_knows_was_begun_again() -> None:
    watch = watch_over(log_of(0, 1, 2))
    with pytest.raises(OffsetOutOfRangeError, match=r"offset 4 was .* but the log ends before it") as caught:
        await watch.compare(folded(claim(OWNER, committed=4)), noted_at=NOTED_AT, committed=-1)
    assert (caught.value.expected, caught.value.found) == (5, 2)
    assert not watch.saw_another, "what is noted of it now is still below what it will be"


async def test_what_retention_removed_tells_nothing() -> None:
    watch = watch_over(log_of(6, 7))
    await watch.compare(folded(claim(OWNER, committed=4)), noted_at=1, committed=5)
    await watch.look()


@pytest.mark.parametrize("known", ["compared", "polled"])
async def test_a_log_that_is_begun_again_between_two_polls_is_told_before_what_comes_is_taken_in(known: str) -> None:
    subscriber = log_of(*range(5))
    watch = watch_over(subscriber)
    if known == "compared":
        await watch.compare(folded(), noted_at=0, committed=4)
    else:
        await poll(watch, subscriber, offset=0)
    subscriber.logs[0] = another_log(*range(9))
    with pytest.raises(OffsetOutOfRangeError, match="offset 4 was polled, but"):
        await poll(watch, subscriber, offset=5)
    assert watch.saw_another


async def test_what_was_polled_of_another_log_meanwhile_does_not_hide_it() -> None:
    subscriber = log_of(*range(5))
    watch = watch_over(subscriber, interval=NEVER)
    await poll(watch, subscriber, offset=0)
    subscriber.logs[0] = another_log(*range(9))
    await poll(watch, subscriber, offset=5)
    error = await watch.last_look()
    assert error is not None
    assert "offset 4 was polled, but" in str(error)


async def test_a_look_goes_on_with_what_was_polled_since() -> None:
    subscriber = log_of(*range(5))
    watch = watch_over(subscriber, interval=NEVER)
    await poll(watch, subscriber, offset=0)
    subscriber.logs[0] += stored(5, 6)
    await poll(watch, subscriber, offset=5)
    await watch.look()
    subscriber.peeked.clear()
    await watch.look()
    assert subscriber.peeked == [(0, 6, 1)]


async def test_when_nothing_comes_nobody_looks() -> None:
    subscriber = log_of(*range(5))
    watch = watch_over(subscriber)
    await watch.compare(folded(), noted_at=0, committed=4)
    subscriber.peeked.clear()
    for _ in range(5):
        await poll(watch, subscriber, offset=5)
    assert subscriber.peeked == []


async def test_what_came_last_is_looked_at_once_though_nothing_follows() -> None:
    subscriber = log_of(*range(5))
    watch = watch_over(subscriber)
    await watch.compare(folded(), noted_at=0, committed=2)
    await poll(watch, subscriber, offset=3)
    subscriber.peeked.clear()
    for _ in range(5):
        await poll(watch, subscriber, offset=5)
    assert subscriber.peeked == [(0, 2, 1)]


async def test_a_last_look_at_a_server_that_is_away_ends_nothing() -> None:
    subscriber = log_of(*range(5))
    watch = watch_over(subscriber)
    await poll(watch, subscriber, offset=0)
    subscriber.fail_next("peek", ConnectionLostError("cut"))
    assert await watch.last_look() is None
