"""The watermark of one partition is stored while its deliveries go on, one store at a time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rustok_iggy import OffsetOutOfRangeError
from rustok_iggy.consumer.commits import Commits
from rustok_iggy.consumer.intake import REFILL_AT
from rustok_iggy.consumer.partition import PartitionConsumer
from rustok_iggy.dead_letters.records import Source
from rustok_iggy_connector import ConnectionLostError, InvalidRequestError, NotAssignedError, PolledMessages
from tests.consumer.hosts import Recorder
from tests.consumer.journals import ListedJournal, ListedTopic
from tests.consumer.scripted import ScriptedSubscriber, stored
from tests.consumer.test_partition import consumer
from tests.waiting import until

pytestmark = pytest.mark.anyio

EVENTS = 100


class SlowStores(ScriptedSubscriber):
    """Answers a commit when `gate` is open."""

    def __init__(self, events: int = EVENTS) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.logs[0] = stored(*range(events))

    async def commit(self, partition_id: int, *, offset: int) -> None:
        self.committing += 1
        self.most_committing = max(self.most_committing, self.committing)
        try:
            await self.gate.wait()
        finally:
            self.committing -= 1
        await super().commit(partition_id, offset=offset)


@asynccontextmanager
async def consuming(subscriber: SlowStores, handler: Recorder, **config: float) -> AsyncIterator[PartitionConsumer]:
    subject = consumer(subscriber, handler, **{"commit_interval": 60.0, **config})
    task = asyncio.create_task(subject.run())
    try:
        yield subject
    finally:
        subscriber.gate.set()
        subject.stop()
        await asyncio.wait({task})


async def test_deliveries_go_on_while_an_offset_is_stored() -> None:
    subscriber, handler = SlowStores(), Recorder()
    async with consuming(subscriber, handler, commit_every=10):
        await until(lambda: len(handler.seen) == EVENTS)
        assert (subscriber.committing, subscriber.commits) == (1, [])
        subscriber.gate.set()
        await until(lambda: len(subscriber.commits) == 2)
    assert [offset for _, offset in subscriber.commits] == [9, EVENTS - 1]
    assert subscriber.most_committing == 1


async def test_nothing_is_begun_for_the_events_that_end_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = 0
    store = Commits._store_or_ask

    async def counting(self: Commits) -> None:
        nonlocal begun
        begun += 1
        await store(self)

    monkeypatch.setattr(Commits, "_store_or_ask", counting)
    subscriber, handler = SlowStores(), Recorder()
    async with consuming(subscriber, handler, commit_every=10) as subject:
        await until(lambda: len(handler.seen) == EVENTS)
        assert (begun, subject.commits.until_due) == (1, 10), "no turn ends early for what cannot be begun"


@pytest.mark.parametrize("bound", [{"max_ahead": 20}, {"max_ahead_bytes": 20 * len(stored(0)[0].payload)}])
async def test_what_is_not_stored_counts_against_max_ahead(bound: dict[str, float]) -> None:
    subscriber, handler = SlowStores(), Recorder()
    async with consuming(subscriber, handler, max_prefetch=10, **bound) as subject:
        await until(lambda: subject.runner.is_drained and any("not stored yet" in each for each in subject.degraded()))
        assert 20 <= len(handler.seen) < 40, "as many as may come again, and one more poll where the bound is in bytes"
        subscriber.gate.set()
        await until(lambda: len(handler.seen) == EVENTS)
        assert not list(subject.degraded())
    assert subscriber.commits[-1] == (0, EVENTS - 1)


@pytest.mark.parametrize("error", [ConnectionLostError("cut"), NotAssignedError("not a member")])
async def test_a_store_that_fails_is_repeated_after_the_next_answer(error: Exception) -> None:
    subscriber, handler = SlowStores(), Recorder()
    subscriber.gate.set()
    subscriber.fail_next("commit", error, error)
    async with consuming(subscriber, handler, commit_every=10, max_ahead=20) as subject:
        await until(lambda: len(handler.seen) == EVENTS)
        assert subject.member.asked >= 2  # type: ignore[attr-defined]  # the test's member counts
    assert subscriber.commits[-1] == (0, EVENTS - 1)


async def test_a_store_beyond_the_end_of_the_log_ends_it_while_handlers_run() -> None:
    subscriber, handler = SlowStores(), Recorder()
    subscriber.gate.set()
    subscriber.fail_next("commit", *[InvalidRequestError("past the end")] * 9)
    subject = consumer(subscriber, handler, commit_every=1)
    with pytest.raises(OffsetOutOfRangeError, match="cannot be committed"):
        await subject.run()
    assert subject.services.statistics.gaps == 1


async def test_while_it_is_not_known_whose_it_is_nothing_is_stored_and_then_it_goes_on() -> None:
    subscriber, handler = SlowStores(), Recorder()
    subscriber.gate.set()
    async with consuming(subscriber, handler, commit_every=5, max_ahead=20, max_prefetch=10) as subject:
        subject.tenure.freeze(2)
        await until(lambda: subject.runner.is_drained and any("not stored yet" in each for each in subject.degraded()))
        assert (len(handler.seen), subscriber.commits) == (20, [])
        subject.tenure.renew(2)
        await until(lambda: len(handler.seen) == EVENTS)
    assert subscriber.commits[-1] == (0, EVENTS - 1)


async def test_a_lost_partition_does_not_wait_for_its_store() -> None:
    subscriber, handler = SlowStores(), Recorder()
    subject = consumer(subscriber, handler, commit_every=1, commit_interval=60.0)
    task = asyncio.create_task(subject.run())
    await until(lambda: subscriber.committing == 1)
    subject.lose()
    task.cancel()
    await asyncio.wait({task})
    subscriber.gate.set()
    assert (subscriber.committing, subscriber.commits) == (0, [])


class SlowRelease(ListedTopic):
    """A release is written when `gate` is open."""

    def open(self, source: Source, handled_types: str) -> ListedJournal:
        journal = super().open(source, handled_types)
        release, self.gate, self.released_at = journal.release, asyncio.Event(), 0

        async def slow(*, committed: int | None = None) -> None:
            self.released_at = len(self.log)
            await self.gate.wait()
            await release(committed=committed)

        journal.release = slow  # type: ignore[method-assign]  # a moment that the test holds
        return journal


@pytest.mark.parametrize("cancelled", [False, True])
async def test_a_partition_that_is_being_released_begins_no_store(cancelled: bool) -> None:
    """Its member looks after it until it has ended, and whoever comes next may have stored meanwhile."""
    subscriber, handler, topic = SlowStores(events=3), Recorder(), SlowRelease()
    subscriber.gate.set()
    subject = consumer(subscriber, handler, topic=topic, commit_interval=0.001, commit_every=1)
    subscriber.fail_next("commit", *[ConnectionLostError("cut")] * 10_000)  # always
    task = asyncio.create_task(subject.run())
    await until(lambda: len(handler.seen) == 3)
    subject.stop()
    await until(lambda: topic.released_at > 0)
    subscriber.failures.clear()
    if cancelled:
        task.cancel()
    else:
        topic.gate.set()
    subject.commits.store_soon()
    subject.turn()
    assert not subject._background
    await asyncio.wait({task})
    assert (subscriber.commits, subject.commits.watermark.to_store) == ([], 2)


async def ending_during_a_store(subscriber: SlowStores) -> tuple[PartitionConsumer, asyncio.Task[None]]:
    """A partition whose handlers have all ended, and its run, while its first store has no answer yet."""
    handler = Recorder()
    subject = consumer(subscriber, handler, commit_every=10, commit_interval=60.0)
    task = asyncio.create_task(subject.run())
    await until(lambda: len(handler.seen) == EVENTS)
    subject.stop()
    await until(lambda: subject.commits._is_over)
    return subject, task


async def test_the_last_store_waits_for_the_one_under_way() -> None:
    subscriber = SlowStores()
    subject, task = await ending_during_a_store(subscriber)
    assert (subscriber.committing, subscriber.commits) == (1, [])
    subscriber.gate.set()
    await task
    assert ([offset for _, offset in subscriber.commits], subscriber.most_committing) == ([9, EVENTS - 1], 1)
    assert not subject._background


async def test_what_is_known_of_the_owner_may_grow_too_old_while_the_last_store_waits_for_the_one_under_way() -> None:
    subscriber = SlowStores()
    subject, task = await ending_during_a_store(subscriber)
    subject.member.allowed = False  # type: ignore[attr-defined]  # until the test's member is asked again
    subscriber.gate.set()
    await task
    assert [offset for _, offset in subscriber.commits] == [9, EVENTS - 1]


async def test_a_store_that_was_cancelled_before_it_began_leaves_room_for_the_next() -> None:
    subscriber, handler = SlowStores(), Recorder()
    subscriber.gate.set()
    subject = consumer(subscriber, handler, commit_every=1)
    subject.commits.watermark.begin(0)
    subject.settle(0)
    subject.commits.store_soon()
    (task,) = subject._background
    task.cancel()
    await asyncio.wait({task})
    subject.commits.store_soon()
    await until(lambda: subscriber.commits == [(0, 0)])


async def test_giving_it_back_stores_what_ended_during_a_store() -> None:
    subscriber, handler = SlowStores(), Recorder()
    subject = consumer(subscriber, handler, commit_every=10, commit_interval=60.0)
    task = asyncio.create_task(subject.run())
    await until(lambda: len(handler.seen) == EVENTS)
    subject.hand_over()
    subscriber.gate.set()
    await task
    assert subscriber.commits == [(0, 9), (0, EVENTS - 1)]


async def test_the_next_poll_is_under_way_before_the_lanes_are_empty() -> None:
    waiting = []

    class Watched(SlowStores):
        async def poll(self, partition_id: int, *, offset: int, max_messages: int) -> PolledMessages:
            if 0 < offset < EVENTS:
                waiting.append(subject.runner.lanes.runnable)
            return await super().poll(partition_id, offset=offset, max_messages=max_messages)

    subscriber, handler = Watched(), Recorder()
    subscriber.gate.set()
    subject = consumer(subscriber, handler, max_prefetch=16, commit_interval=60.0)
    task = asyncio.create_task(subject.run())
    await until(lambda: len(handler.seen) == EVENTS)
    subject.stop()
    await task
    assert max(waiting) == int(16 * REFILL_AT), "some wait for the next poll, however slow the machine is"
