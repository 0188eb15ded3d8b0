"""A group member over a scripted server: what it does when partitions come, go, and come back."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import Any

import pytest

from rustok_iggy.consumer.context import GroupLife
from rustok_iggy.consumer.member import GroupMember
from rustok_iggy.consumer.subscription import Handler, Start
from rustok_iggy.errors import OffsetOutOfRangeError
from rustok_iggy_connector import Assignment, ConnectionLostError, GroupInfo, InvalidRequestError, NotFoundError
from tests.consumer.hosts import TENANT, Recorder
from tests.consumer.journals import ListedTopic
from tests.consumer.scripted import ScriptedSubscriber, services, stored
from tests.waiting import until

pytestmark = pytest.mark.anyio


class Server:
    """As much of a connector as a member uses."""

    def __init__(self, subscriber: ScriptedSubscriber) -> None:
        self.subscriber = subscriber
        self.groups: list[str] = []
        self.life = GroupLife(topic_created_at=9, group_id=5)

    @property
    def admin(self) -> "Server":
        return self

    async def describe_group(self, *, stream: str, topic: str, group: str) -> GroupInfo | None:
        return GroupInfo(id=self.life.group_id, name=group, members={}) if group in self.groups else None

    async def describe_topic(self, *, stream: str, topic: str) -> Any:
        return SimpleNamespace(created_at=self.life.topic_created_at)

    async def create_group(self, *, stream: str, topic: str, group: str) -> None:
        self.groups.append(group)

    async def subscribe(self, **names: str) -> ScriptedSubscriber:
        return self.subscriber


@asynccontextmanager
async def member(
    subscriber: ScriptedSubscriber, handler: Handler, *, topic: ListedTopic | None = None, **config: float
) -> AsyncIterator[tuple[GroupMember, asyncio.Task[None]]]:
    connector: Any = Server(subscriber)
    subject = GroupMember(
        connector,
        stream="s",
        start=Start.EARLIEST,
        services=services(handler, **config),
        journals=(topic or ListedTopic()).journals(),
    )
    task = asyncio.create_task(subject.run())
    yield subject, task
    subject.stop()
    await asyncio.wait({task})


def subscriber_with(*partitions: int, messages: int = 3) -> ScriptedSubscriber:
    subscriber = ScriptedSubscriber()
    subscriber.logs = {partition: stored(*range(messages)) for partition in partitions}
    subscriber.owned = partitions
    return subscriber


async def test_it_creates_its_group_consumes_what_it_owns_and_leaves() -> None:
    subscriber, handler = subscriber_with(0, 2), Recorder()
    async with member(subscriber, handler) as (subject, task):
        await until(lambda: len(handler.seen) == 6)
        assert subject.partitions == (0, 2)
        assert subject.life == GroupLife(topic_created_at=9, group_id=5)
    assert task.exception() is None
    assert subscriber.left
    assert subscriber.offsets == {0: 2, 2: 2}


class FarAway(ScriptedSubscriber):
    """A store takes its time."""

    async def commit(self, partition_id: int, *, offset: int) -> None:
        await asyncio.sleep(0.05)
        await super().commit(partition_id, offset=offset)


async def test_what_was_handled_before_one_that_hangs_is_committed_at_the_end() -> None:
    """The partition gives the handler up after the drain timeout; then the member must leave it time to commit."""
    subscriber, handler = FarAway(), Recorder(lambda envelope: handler.gate.clear() if handler.entered == 2 else None)
    subscriber.logs[0], subscriber.owned = stored(0, 1), (0,)
    async with member(subscriber, handler, drain_timeout=0.1, commit_interval=60.0):
        await until(lambda: handler.entered == 2)
    assert handler.cancelled == 1
    assert subscriber.offsets == {0: 0}


async def test_a_partition_that_comes_is_read_after_its_committed_offset() -> None:
    subscriber, handler = subscriber_with(0), Recorder()
    subscriber.logs[1], subscriber.offsets[1] = stored(*range(5)), 2
    async with member(subscriber, handler) as (subject, _):
        await until(lambda: len(handler.seen) == 3)
        subscriber.owned, subscriber.generation = (0, 1), 2
        await until(lambda: len(handler.seen) == 5)
        assert subject._services.statistics.rebalances == 2, "its own joining, and the one that brought the partition"
    assert [c.offset for _, c in handler.seen if c.partition_id == 1] == [3, 4]
    assert {c.generation for _, c in handler.seen if c.partition_id == 1} == {2}


async def test_a_missing_partition_that_still_takes_stores_is_finished_and_committed() -> None:
    subscriber, handler = subscriber_with(0, messages=5), Recorder()
    subscriber.offsets[0] = 0
    handler.gate.clear()
    async with member(subscriber, handler) as (subject, _):
        await until(lambda: handler.entered == 1)
        subscriber.owned = ()
        await until(lambda: (0, 0) in subscriber.commits)  # the probe: the last stored offset again
        handler.gate.set()
        await until(lambda: subject.partitions == ())
    assert handler.numbers == [1, 2, 3, 4]
    assert subscriber.offsets[0] == 4
    assert handler.cancelled == 0


class LateOnce(ScriptedSubscriber):
    """The first answer in which the partition is missing comes when it is too old to store anything by it."""

    waited = 0.0

    async def assignment(self) -> Assignment:
        answer = await super().assignment()
        if not answer.partitions and not self.waited:
            self.waited = 3600.0
        return answer


async def test_an_answer_that_came_too_late_is_asked_for_again_and_loses_nothing() -> None:
    """The process was stopped meanwhile: nobody has refused a store, and the server waits for what was polled."""
    subscriber, handler, time = LateOnce(), Recorder(), asyncio.get_running_loop().time
    subscriber.logs[0], subscriber.owned, subscriber.offsets[0] = stored(*range(5)), (0,), 0
    handler.gate.clear()
    async with member(subscriber, handler) as (subject, _):
        subject._clock = lambda: time() + subscriber.waited
        await until(lambda: handler.entered == 1)
        subscriber.owned = ()
        await until(lambda: (0, 0) in subscriber.commits)
        handler.gate.set()
        await until(lambda: subject.partitions == ())
    assert handler.numbers == [1, 2, 3, 4]
    assert (subscriber.offsets[0], handler.cancelled, subject._services.statistics.lost_partitions) == (4, 0, 0)


async def test_a_handler_that_holds_a_lost_partition_is_told_of() -> None:
    """The partition is ours again, and waits for a handler that does not end: nothing else would show that."""
    may_end = asyncio.Event()

    async def stubborn(envelope: Any, context: Any) -> None:
        while not may_end.is_set():
            with suppress(asyncio.CancelledError):
                await may_end.wait()

    async with member(subscriber_with(0), stubborn, stuck_after=0.01, handler_timeout=0.01) as (subject, _):
        try:
            await until(lambda: any("has not ended" in each for each in subject.unhealthy()))
            subject.overtaken(0)
            assert subject.partitions == ()
            assert any("has not ended" in each for each in subject.unhealthy())
        finally:
            may_end.set()
        await until(lambda: subject.partitions == (0,) and not list(subject.unhealthy()))


async def test_a_missing_partition_whose_log_was_reset_ends_it_with_advice() -> None:
    subscriber, handler = subscriber_with(0), Recorder()
    subscriber.offsets[0] = 0
    handler.gate.clear()
    async with member(subscriber, handler, drain_timeout=0.1) as (_, task):
        await until(lambda: handler.entered == 1)
        subscriber.fail_next("commit", InvalidRequestError("Invalid offset: 0"))
        subscriber.owned = ()
        await until(task.done)
    with pytest.raises(OffsetOutOfRangeError, match="it was reset"):
        await task


async def test_a_missing_partition_that_takes_no_stores_is_lost() -> None:
    subscriber, handler = subscriber_with(0, messages=5), Recorder()
    subscriber.offsets[0] = 0
    handler.gate.clear()
    async with member(subscriber, handler) as (subject, _):
        await until(lambda: handler.entered == 1)
        subscriber.owned, subscriber.generation = (), 2
        subscriber.refused.add(0)
        await until(lambda: handler.cancelled == 1)
        await until(lambda: subject.partitions == ())
    assert (handler.seen, subscriber.commits) == ([], [])


async def test_another_members_commit_in_between_starts_the_partition_anew() -> None:
    """Ownership went away and came back within one heartbeat."""
    subscriber, handler = subscriber_with(0, messages=10), Recorder()
    subscriber.offsets[0] = 0
    handler.gate.clear()
    async with member(subscriber, handler) as (subject, _):
        await until(lambda: handler.entered == 1)
        subscriber.offsets[0], subscriber.generation = 6, 3
        await until(lambda: handler.cancelled == 1)
        handler.gate.set()
        await until(lambda: len(handler.seen) == 3)
        assert subject.partitions == (0,)
    assert handler.numbers == [7, 8, 9]
    assert all(offset >= 7 for _, offset in subscriber.commits)


@pytest.mark.parametrize("anew", [GroupLife(9, 6), GroupLife(10, 0)], ids=["group", "topic"])
async def test_a_group_or_topic_that_was_made_anew_is_claimed_under_its_own_life(anew: GroupLife) -> None:
    """Its generations are counted from one again: claims under the old life would be void beside those of others."""
    subscriber, handler = subscriber_with(0), Recorder()
    subscriber.generation = 4
    async with member(subscriber, handler) as (subject, _):
        await until(lambda: subscriber.offsets == {0: 2})
        subject._connector.life = anew  # type: ignore[attr-defined]  # of Server
        subscriber.generation = 1
        await until(lambda: subject.life == anew)
        subscriber.logs[0] += stored(3)
        await until(lambda: len(handler.seen) == 4)
    assert [context.fence[:3] for _, context in handler.seen] == [(9, 5, 4)] * 3 + [(*anew, 1)]


async def test_a_new_generation_without_another_commit_changes_nothing() -> None:
    subscriber, handler = subscriber_with(0, messages=10), Recorder()
    subscriber.offsets[0] = 0
    handler.gate.clear()
    async with member(subscriber, handler):
        await until(lambda: handler.entered == 1)
        asked = subscriber.asked
        subscriber.generation = 3
        await until(lambda: subscriber.asked >= asked + 2)
        handler.gate.set()
        await until(lambda: len(handler.seen) == 9)
    assert handler.numbers == list(range(1, 10))
    assert handler.seen[-1][1].generation == 3


async def test_a_lost_partition_waits_for_its_old_handler_before_it_runs_again() -> None:
    subscriber, running, most = subscriber_with(0, messages=2), 0, 0
    subscriber.offsets[0] = 0
    release = asyncio.Event()
    entered: list[int] = []

    async def stubborn(envelope: Any, context: Any) -> None:
        nonlocal running, most
        running += 1
        entered.append(context.offset)
        most = max(most, running)
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue
        running -= 1

    async with member(subscriber, stubborn) as (subject, _):  # type: ignore[arg-type]
        await until(lambda: len(entered) == 1)
        subscriber.owned, subscriber.generation = (), 2
        subscriber.refused.add(0)
        await until(lambda: subject.partitions == ())
        subscriber.owned, subscriber.generation = (0,), 3
        subscriber.refused.clear()
        asked = subscriber.asked
        await until(lambda: subscriber.asked >= asked + 3)
        assert len(entered) == 1
        release.set()
        await until(lambda: len(entered) == 2)
    assert most == 1


async def test_nothing_begins_when_the_server_has_been_silent_for_three_heartbeats() -> None:
    subscriber, handler = subscriber_with(0, messages=0), Recorder()
    async with member(subscriber, handler) as (subject, _):
        await until(lambda: subject.partitions == (0,))
        subscriber.silent.clear()
        await until(lambda: not subject.may_begin())
        subscriber.logs[0] = stored(0)
        polls = len(subscriber.polled)
        await until(lambda: len(subscriber.polled) > polls)
        await asyncio.sleep(0.05)
        assert handler.entered == 0
        subscriber.silent.set()
        await until(lambda: handler.numbers == [0])


async def test_a_server_that_cannot_be_asked_is_asked_again() -> None:
    subscriber, handler = subscriber_with(0), Recorder()
    subscriber.fail_next("assignment", ConnectionLostError("cut"))
    subscriber.fail_next("committed", ConnectionLostError("cut"))
    async with member(subscriber, handler):
        await until(lambda: len(handler.seen) == 3)


async def test_a_group_that_is_gone_ends_it() -> None:
    subscriber = subscriber_with(0)
    subscriber.fail_next("assignment", NotFoundError("no such group"))
    async with member(subscriber, Recorder()) as (_, task):
        await asyncio.wait({task})
        assert isinstance(task.exception(), NotFoundError)
        assert subscriber.left


async def test_an_offset_is_committed_also_while_a_handler_is_slow() -> None:
    subscriber, handler = subscriber_with(0, messages=2), Recorder()

    def stop_at_1(envelope: Any) -> None:
        if envelope.event.number == 1:
            handler.gate.clear()

    handler.before = stop_at_1
    async with member(subscriber, handler):
        await until(lambda: subscriber.commits == [(0, 0)])
        assert handler.numbers == [0]
        handler.gate.set()


async def test_a_stop_before_a_partition_could_be_claimed_anew_does_not_wait_for_it() -> None:
    """Nobody asks any more, so nobody says under which generation to claim it."""
    subscriber, handler = subscriber_with(0), Recorder()
    async with member(subscriber, handler, drain_timeout=3600.0) as (subject, task):
        await until(lambda: subscriber.offsets == {0: 2})
        (consumer,) = subject._consumers.values()
        subscriber.fail_next("committed", ConnectionLostError("cut"))
        subscriber.generation = 2
        await until(lambda: consumer.commits.frozen)
        subject.stop()
        await until(task.done)
    assert subscriber.left


async def test_a_stop_while_a_partition_is_claimed_anew_waits_for_the_claim_and_commits() -> None:
    subscriber, handler, topic = subscriber_with(0), Recorder(), ListedTopic()
    async with member(subscriber, handler, topic=topic, commit_interval=60.0, commit_every=100) as (subject, task):
        await until(lambda: len(handler.seen) == 3)
        (consumer,) = subject._consumers.values()
        topic.writing.clear()
        subscriber.generation = 2
        await until(lambda: consumer.commits.frozen and consumer.generation == 2)
        subject.stop()
        await until(lambda: consumer.tenure._unanswered)
        for _ in range(50):
            await asyncio.sleep(0)  # it has its turn, and does not end
        assert subscriber.offsets == {}
        topic.writing.set()
        await until(task.done)
    assert subscriber.offsets == {0: 2}


async def test_a_slot_goes_on_to_the_next_when_who_waits_longest_cannot_begin() -> None:
    subscriber, handler = subscriber_with(0, 1, 2, messages=1), Recorder()
    handler.gate.clear()
    async with member(subscriber, handler, max_concurrency=1, heartbeat_interval=3600.0) as (subject, _):
        slots = subject._services.slots
        await until(lambda: len(slots._waiting) == 2)
        first, second = slots._waiting
        first.pause(TENANT)
        handler.gate.set()
        await until(lambda: len(handler.seen) == 2)
        assert (first.lanes.runnable, second.lanes.runnable) == (0, 0)
        first.resume(TENANT)
        await until(lambda: len(handler.seen) == 3)
