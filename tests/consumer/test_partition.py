"""One partition over a scripted subscriber: gaps, commits, refusals, ending."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise

import pytest

from rustok_iggy import DeliveryContext, EventEnvelope, OffsetOutOfRangeError, OnGap, Reject, TransportClosedError
from rustok_iggy.consumer.context import GroupLife
from rustok_iggy.consumer.partition import PartitionConsumer
from rustok_iggy.consumer.start import StartingPoint
from rustok_iggy.dead_letters.records import Claim, Epoch, Source
from rustok_iggy_connector import (
    Assignment,
    ConnectionLostError,
    InvalidRequestError,
    MessageSubscriber,
    NotAssignedError,
    NotFoundError,
    PolledMessages,
)
from tests.consumer.hosts import TENANT, Recorder
from tests.consumer.journals import ListedTopic
from tests.consumer.scripted import ScriptedSubscriber, services, stored
from tests.waiting import until

pytestmark = pytest.mark.anyio


LIFE = GroupLife(topic_created_at=0, group_id=3)


@dataclass
class Member:
    """Always allowed; counts how often it was asked who owns what."""

    subscriber: MessageSubscriber
    life: GroupLife = LIFE
    allowed: bool = True
    asked: int = 0
    generation: int = 1

    def may_begin(self) -> bool:
        return self.allowed

    def ask(self) -> None:
        self.asked += 1

    def overtaken(self, partition_id: int) -> None:
        raise AssertionError(partition_id)

    async def assignment(self) -> Assignment:
        self.allowed = True
        return Assignment(generation=self.generation, partitions=(0,))

    async def next_answer(self) -> None:
        self.asked += 1
        await asyncio.sleep(0.001)


def consumer(
    subscriber: ScriptedSubscriber,
    handler: Recorder,
    *,
    committed: int | None = None,
    on_gap: OnGap = OnGap.STOP,
    topic: ListedTopic | None = None,
    **config: float,
) -> PartitionConsumer:
    if committed is not None:
        subscriber.offsets[0] = committed
    return PartitionConsumer(
        services(handler, on_gap=on_gap, **config),
        Member(subscriber),
        (topic or ListedTopic()).journals(),
        partition_id=0,
        generation=1,
        point=StartingPoint(next_offset=0 if committed is None else committed + 1, stored=committed),
    )


async def test_it_reads_by_explicit_offset_and_commits_at_the_end() -> None:
    subscriber, handler = ScriptedSubscriber(), Recorder()
    subscriber.logs[0] = stored(*range(10))
    subject = consumer(subscriber, handler, committed=3, commit_interval=60.0)
    task = asyncio.create_task(subject.run())
    await until(lambda: handler.numbers == [4, 5, 6, 7, 8, 9])
    assert subscriber.commits == []
    subject.stop()
    await task
    assert subscriber.commits == [(0, 9)]
    assert subscriber.peeked[0] == (0, 3, 1), "by which a log that is begun again is known"
    assert subscriber.peeked[1][:2] == (0, 0), "what came before, for its ids"
    assert subscriber.polled[0][:2] == (0, 4)


async def test_losing_it_in_the_step_in_which_a_delivery_was_to_begin_ends_it_and_gives_the_slot_back() -> None:
    subscriber, handler = ScriptedSubscriber(), Recorder()
    subscriber.logs[0] = stored(0)
    subject = consumer(subscriber, handler)
    slots = subject.services.slots
    subject.runner.pause(TENANT)
    task = asyncio.create_task(subject.run())
    await until(lambda: subject.runner.holding(0) is not None)
    subject.runner.resume(TENANT)
    assert not subject.runner.is_idle, "a task that has not begun"
    subject.lose()
    async with asyncio.timeout(20):
        await task
    assert (handler.seen, subscriber.commits, subject.runner.is_idle) == ([], [], True)
    assert all(slots.take(subject.runner) for _ in range(slots.limit)), "every slot is free again"


async def test_it_ends_at_once_when_its_letters_can_never_be_written() -> None:
    """Nothing that could still happen mends it: waiting for the drain timeout would only hide the error for as long."""
    subscriber, topic = ScriptedSubscriber(), ListedTopic(refusing=[TransportClosedError("closed")])

    def reject(envelope: EventEnvelope) -> None:
        raise Reject("never")

    subscriber.logs[0] = stored(0, 1)
    task = asyncio.create_task(consumer(subscriber, Recorder(reject), topic=topic, drain_timeout=25.0).run())
    await until(task.done, within=20)
    with pytest.raises(TransportClosedError):
        await task


async def test_it_ends_at_once_when_it_can_never_be_claimed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    subscriber, handler = ScriptedSubscriber(), Recorder()
    subscriber.logs[0] = stored(0)
    subject = consumer(subscriber, handler, drain_timeout=25.0)

    async def closed(**_: object) -> None:
        raise TransportClosedError("closed")

    monkeypatch.setattr(subject.journal, "renew", closed)
    task = asyncio.create_task(subject.run())
    await until(lambda: handler.seen)
    subject.tenure.freeze(2)
    subject.tenure.renew(2)
    await until(task.done, within=20)
    with pytest.raises(TransportClosedError):
        await task


async def test_what_is_lost_while_a_store_is_under_way_is_not_stored_again_after_it() -> None:
    under_way, may_end = asyncio.Event(), asyncio.Event()

    class Slow(ScriptedSubscriber):
        async def commit(self, partition_id: int, *, offset: int) -> None:
            under_way.set()
            await may_end.wait()
            await super().commit(partition_id, offset=offset)

    subscriber, handler = Slow(), Recorder()
    subscriber.logs[0] = stored(0)
    subject = consumer(subscriber, handler, commit_interval=60.0)
    task = asyncio.create_task(subject.run())
    await until(lambda: handler.seen)
    storing = asyncio.create_task(subject.commits.store())
    await under_way.wait()
    again = asyncio.create_task(subject.commits.store_again())
    await asyncio.sleep(0)
    subject.lose()
    may_end.set()
    assert await again is False
    await asyncio.gather(storing, task)
    assert subscriber.commits == [(0, 0)]


async def test_it_commits_every_so_many_events() -> None:
    subscriber, handler = ScriptedSubscriber(), Recorder()
    subscriber.logs[0] = stored(*range(10))
    subject = consumer(subscriber, handler, commit_every=4, commit_interval=60.0)
    task = asyncio.create_task(subject.run())
    await until(lambda: len(handler.seen) == 10)
    offsets = [-1, *(offset for _, offset in subscriber.commits)]
    assert offsets[1] == 3
    assert all(later - earlier >= 4 for earlier, later in pairwise(offsets))
    subject.stop()
    await task
    assert subscriber.commits[-1] == (0, 9)


async def test_it_commits_after_a_while_when_nothing_comes() -> None:
    subscriber, handler = ScriptedSubscriber(), Recorder()
    subscriber.logs[0] = stored(0)
    subject = consumer(subscriber, handler, commit_interval=0.03)
    task = asyncio.create_task(subject.run())
    await until(lambda: subscriber.commits == [(0, 0)])
    subject.stop()
    await task
    assert subscriber.commits == [(0, 0)]


async def test_a_gap_above_the_committed_offset_stops() -> None:
    subscriber, handler = ScriptedSubscriber(), Recorder()
    subscriber.logs[0] = stored(7, 8)
    subject = consumer(subscriber, handler, committed=3)
    with pytest.raises(OffsetOutOfRangeError, match="from offset 4 to 6 are gone") as caught:
        await subject.run()
    assert (caught.value.expected, caught.value.found) == (4, 7)
    assert (handler.seen, subscriber.commits, subject.services.statistics.gaps) == ([], [], 1)


async def test_a_gap_behind_what_only_the_journal_knows_is_no_less_one() -> None:
    subscriber, handler, topic = ScriptedSubscriber(), Recorder(), ListedTopic()
    subscriber.logs[0] = stored(5, 6)
    source, before = Source(group="g", topic="domain", partition=0), Epoch(group_id=2, generation=1, member="before")
    topic.log.append((Claim(source=source, epoch=before, committed=2, handled_types="h"), b""))
    with pytest.raises(OffsetOutOfRangeError, match="from offset 3 to 4 are gone"):
        async with asyncio.timeout(20):
            await consumer(subscriber, handler, topic=topic).run()
    assert not handler.seen


async def test_a_gap_may_be_accepted_and_is_counted() -> None:
    subscriber, handler = ScriptedSubscriber(), Recorder()
    subscriber.logs[0] = stored(7, 8)
    subject = consumer(subscriber, handler, committed=3, on_gap=OnGap.CONTINUE)
    task = asyncio.create_task(subject.run())
    await until(lambda: handler.numbers == [7, 8])
    subject.stop()
    await task
    assert (subscriber.commits[-1], subject.services.statistics.gaps) == ((0, 8), 1)


async def test_a_log_that_is_emptied_ends_it() -> None:
    subscriber, handler = ScriptedSubscriber(), Recorder()
    subscriber.logs[0] = stored(0, 1, 2)
    subject = consumer(subscriber, handler)
    task = asyncio.create_task(subject.run())
    await until(lambda: subscriber.commits[-1:] == [(0, 2)])
    subscriber.logs[0] = stored(0)
    del subscriber.offsets[0]
    with pytest.raises(OffsetOutOfRangeError, match="offset 2 is done, but the log ends before it") as caught:
        await task
    assert (caught.value.expected, caught.value.found, subject.services.statistics.gaps) == (3, None, 1)


async def test_a_log_that_is_emptied_before_anything_was_committed_ends_it() -> None:
    subscriber, handler = ScriptedSubscriber(), Recorder()
    subscriber.logs[0] = stored(0, 1, 2)
    subscriber.fail_next("commit", *[InvalidRequestError("past the end")] * 9)
    subject = consumer(subscriber, handler)
    with pytest.raises(OffsetOutOfRangeError, match="offset 2 is done and cannot be committed"):
        await subject.run()
    assert subject.services.statistics.gaps == 1


async def test_a_log_that_was_begun_again_is_neither_claimed_anew_nor_committed_in() -> None:
    subscriber, handler = ScriptedSubscriber(), Recorder()
    subscriber.logs[0] = stored(0, 1, 2)
    subject = consumer(subscriber, handler, heartbeat_interval=60.0, commit_interval=60.0)
    task = asyncio.create_task(subject.run())
    await until(lambda: handler.numbers == [0, 1, 2])
    for message in subscriber.logs[0]:
        message.timestamp += 1
    topic = subject.journals.opener
    assert isinstance(topic, ListedTopic)
    before = topic.kinds()
    subject.tenure.freeze(2)
    subject.tenure.renew(2)
    with pytest.raises(OffsetOutOfRangeError, match="offset 2 was polled, but the event there now"):
        await task
    assert (subscriber.commits, subject.services.statistics.gaps) == ([], 1)
    assert topic.opened[0].abandoned, "no checkpoint"
    assert topic.kinds() == [*before, "Release"]


async def test_a_node_that_is_behind_is_waited_for() -> None:
    """What the group has committed tells it from a log that was reset."""
    subscriber, handler = ScriptedSubscriber(), Recorder()
    log = subscriber.logs[0] = stored(0, 1, 2, 3)
    subject = consumer(subscriber, handler)
    task = asyncio.create_task(subject.run())
    await until(lambda: subscriber.commits[-1:] == [(0, 3)])
    subscriber.logs[0], subscriber.offsets[0], polls = log[:2], 1, len(subscriber.polled)
    await until(lambda: len(subscriber.polled) > polls + 5)
    subscriber.logs[0] = [*log, *stored(4)]
    await until(lambda: handler.numbers == [0, 1, 2, 3, 4])
    subject.stop()
    await task


async def test_an_idle_poll_asks_for_nothing_else() -> None:
    subscriber, handler = ScriptedSubscriber(), Recorder()
    subscriber.logs[0] = stored(0, 1, 2)
    subject = consumer(subscriber, handler)
    task = asyncio.create_task(subject.run())
    await until(lambda: subscriber.commits[-1:] == [(0, 2)])
    subscriber.fail_next("committed", AssertionError("asked"))
    polls = len(subscriber.polled)
    await until(lambda: len(subscriber.polled) > polls + 5)
    subject.stop()
    await task


async def test_a_group_without_an_offset_begins_at_the_first_event_there_is() -> None:
    subscriber, handler = ScriptedSubscriber(), Recorder()
    subscriber.logs[0] = stored(7, 8)
    subject = consumer(subscriber, handler)
    task = asyncio.create_task(subject.run())
    await until(lambda: handler.numbers == [7, 8])
    subject.stop()
    await task


@pytest.mark.parametrize("error", [ConnectionLostError("cut"), NotAssignedError("not a member")])
async def test_a_poll_that_fails_asks_who_owns_what_and_goes_on(error: Exception) -> None:
    subscriber, handler = ScriptedSubscriber(), Recorder()
    subscriber.logs[0] = stored(0)
    subscriber.fail_next("poll", error, error)
    subject = consumer(subscriber, handler)
    task = asyncio.create_task(subject.run())
    await until(lambda: handler.numbers == [0])
    subject.stop()
    await task
    assert subject.member.asked == 2  # type: ignore[attr-defined]


async def test_what_no_repetition_mends_ends_it() -> None:
    subscriber = ScriptedSubscriber()
    subscriber.fail_next("poll", NotFoundError("the topic is gone"))
    with pytest.raises(NotFoundError):
        await consumer(subscriber, Recorder()).run()


async def test_nothing_begins_while_ownership_is_unknown() -> None:
    subscriber, handler = ScriptedSubscriber(), Recorder()
    subscriber.logs[0] = stored(0)
    subject = consumer(subscriber, handler)
    member = subject.member
    assert isinstance(member, Member)
    member.allowed = False
    task = asyncio.create_task(subject.run())
    await until(lambda: subject.intake.next_offset == 1)
    assert handler.entered == 0
    member.allowed = True
    subject.runner.kick()
    await until(lambda: handler.numbers == [0])
    subject.stop()
    await task


async def test_handing_over_finishes_what_was_polled() -> None:
    subscriber, handler = ScriptedSubscriber(), Recorder()
    subscriber.logs[0] = stored(*range(5))
    handler.gate.clear()
    subject = consumer(subscriber, handler)
    task = asyncio.create_task(subject.run())
    await until(lambda: handler.entered == 1)
    subject.hand_over()
    polls = len(subscriber.polled)
    handler.gate.set()
    await task
    further = [offset for _, offset, _ in subscriber.polled[polls:]]
    assert further in ([], [5]), "one may have been about to be asked"
    assert subscriber.peeked[-1][1] == 4, "the last look back"
    assert (handler.numbers, subscriber.commits[-1]) == ([0, 1, 2, 3, 4], (0, 4))


async def test_stopping_finishes_only_what_was_begun() -> None:
    subscriber, handler = ScriptedSubscriber(), Recorder()
    subscriber.logs[0] = stored(*range(5))
    handler.gate.clear()
    subject = consumer(subscriber, handler)
    task = asyncio.create_task(subject.run())
    await until(lambda: handler.entered == 1)
    subject.stop()
    handler.gate.set()
    await task
    assert (handler.numbers, subscriber.commits) == ([0], [(0, 0)])


async def test_a_lost_partition_commits_nothing() -> None:
    subscriber, handler = ScriptedSubscriber(), Recorder()
    subscriber.logs[0] = stored(0, 1)
    subject = consumer(subscriber, handler, commit_interval=60.0)
    task = asyncio.create_task(subject.run())
    await until(lambda: len(handler.seen) == 2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert subscriber.commits == []


async def test_one_store_is_under_way_at_a_time() -> None:
    subscriber, handler = ScriptedSubscriber(), Recorder()
    subscriber.logs[0] = stored(*range(51))
    subject = consumer(subscriber, handler, committed=0, commit_every=1)
    task = asyncio.create_task(subject.run())
    while len(handler.seen) < 50:
        await asyncio.gather(subject.commits.store(), subject.commits.store_again(), subject.commits.is_still_ours())
    subject.stop()
    await task
    assert subscriber.most_committing == 1
    offsets = [offset for _, offset in subscriber.commits]
    assert offsets == sorted(offsets), "an offset never goes back"


async def test_storing_again_tells_whether_the_server_still_takes_it() -> None:
    subscriber, handler = ScriptedSubscriber(), Recorder()
    subscriber.logs[0] = stored(0)
    subject = consumer(subscriber, handler, committed=0)
    assert await subject.commits.store_again()
    assert subscriber.commits == [(0, 0)]
    subscriber.refused.add(0)
    assert not await subject.commits.store_again()


async def test_a_store_that_had_no_answer_is_not_undone_by_storing_again() -> None:
    subscriber, handler = ScriptedSubscriber(), Recorder()
    subscriber.logs[0] = stored(0, 1)
    subscriber.offsets[0] = 0
    subject = consumer(subscriber, handler, committed=0, commit_interval=60.0)
    task = asyncio.create_task(subject.run())
    await until(lambda: len(handler.seen) == 1)
    subscriber.fail_next("commit", ConnectionLostError("it may have been done"))
    with pytest.raises(ConnectionLostError):
        await subject.commits.store()
    assert await subject.commits.is_still_ours(), "it was not done yet"
    assert await subject.commits.store_again()
    assert subscriber.commits == [(0, 1)], "storing 0 again would have undone it, had it landed meanwhile"
    assert await subject.commits.is_still_ours()
    subject.stop()
    await task


async def test_nothing_is_stored_while_nobody_has_said_whose_partition_it_is() -> None:
    subscriber, handler = ScriptedSubscriber(), Recorder()
    subscriber.logs[0] = stored(0, 1)
    subject = consumer(subscriber, handler, committed=0, commit_interval=60.0)
    task = asyncio.create_task(subject.run())
    await until(lambda: len(handler.seen) == 1)
    member = subject.member
    assert isinstance(member, Member)
    member.allowed = False  # as after a long stop of the process
    with pytest.raises(NotAssignedError):
        await subject.commits.store()
    with pytest.raises(NotAssignedError):
        await subject.commits.store_again()
    assert subscriber.commits == []
    subject.stop()
    await task
    assert subscriber.commits == [(0, 1)], "asked first, then stored"


async def test_what_is_known_of_the_owner_may_grow_too_old_while_the_log_is_looked_at_for_the_last_time() -> None:
    class SlowLook(ScriptedSubscriber):
        async def peek(self, partition_id: int, *, offset: int, max_messages: int) -> PolledMessages:
            found = await super().peek(partition_id, offset=offset, max_messages=max_messages)
            subject.member.allowed = not stopped  # type: ignore[attr-defined]  # of Member
            return found

    subscriber, handler, stopped = SlowLook(), Recorder(), False
    subscriber.logs[0] = stored(0, 1)
    subject = consumer(subscriber, handler, commit_interval=60.0)
    task = asyncio.create_task(subject.run())
    await until(lambda: len(handler.seen) == 2)
    stopped = True
    subject.stop()
    await task
    assert subscriber.commits == [(0, 1)], "asked again, then stored"


async def test_what_is_given_back_under_a_new_generation_is_claimed_anew_and_committed() -> None:
    """What else is handed over went first. Left uncommitted, it would come again, and the server hold it for 30 s."""
    subscriber, handler = ScriptedSubscriber(), Recorder()
    subscriber.logs[0] = stored(0, 1)
    subject = consumer(subscriber, handler, commit_interval=60.0, drain_timeout=60.0)
    task = asyncio.create_task(subject.run())
    await until(lambda: len(handler.seen) == 2)
    member = subject.member
    assert isinstance(member, Member)
    member.allowed, member.generation = False, 2
    subject.hand_over()
    await until(lambda: subject.commits.frozen)
    subject.tenure.renew(2)  # as its member does with the next answer
    await task
    assert subscriber.commits == [(0, 1)]


async def test_a_refused_commit_at_the_end_is_not_an_error() -> None:
    subscriber, handler = ScriptedSubscriber(), Recorder()
    subscriber.logs[0] = stored(0)
    subject = consumer(subscriber, handler, commit_interval=60.0)
    task = asyncio.create_task(subject.run())
    await until(lambda: len(handler.seen) == 1)
    subscriber.refused.add(0)
    subject.stop()
    await task
    assert subscriber.commits == []


async def test_tenants_of_a_partition_that_is_gone_do_not_count_as_parked_however_often_it_was_cancelled() -> None:
    def reject(envelope: EventEnvelope) -> None:
        raise Reject("never")

    subscriber = ScriptedSubscriber()
    subscriber.logs[0] = stored(0)
    subject = consumer(subscriber, Recorder(reject))
    task = asyncio.create_task(subject.run())
    await until(lambda: subject.journals.parked.count == 1)
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)
    assert subject.journals.parked.count == 0


async def test_an_event_is_not_handled_whose_handler_swallowed_the_cancellation_of_everything() -> None:
    class Stubborn(Recorder):
        async def __call__(self, envelope: EventEnvelope, context: DeliveryContext) -> None:
            with suppress(asyncio.CancelledError):
                await super().__call__(envelope, context)

    subscriber, handler = ScriptedSubscriber(), Stubborn()
    subscriber.logs[0] = stored(0)
    handler.gate.clear()
    subject = consumer(subscriber, handler)
    task = asyncio.create_task(subject.run())
    await until(lambda: handler.entered == 1)
    for each in subject.runner._tasks:  # as asyncio.run() does at its end, with all tasks in any order
        each.cancel()
    await until(lambda: handler.cancelled == 1)
    task.cancel()
    await asyncio.wait({task})
    assert subject.commits.watermark.settled is None
