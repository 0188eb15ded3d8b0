"""One partition and its journal: when letters may be committed past, what a new claim changes, what is never run."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, cast
from uuid import UUID

import pytest

from rustok_iggy import EVERYTHING, DeadLetterError, RetryLater
from rustok_iggy.consumer.context import GroupLife
from rustok_iggy.consumer.partition import PartitionConsumer
from rustok_iggy.consumer.start import StartingPoint
from rustok_iggy.dead_letters.records import Action, Attempt, Claim, Epoch, Letter, Request, Settlement, Source
from rustok_iggy.dead_letters.selection import recorded
from rustok_iggy_connector import Assignment
from tests.consumer.hosts import Recorder
from tests.consumer.journals import ListedTopic
from tests.consumer.scripted import ScriptedSubscriber, services, stored
from tests.logs import event_of, facts_of
from tests.waiting import until

pytestmark = pytest.mark.anyio

SOURCE = Source(group="g", topic="domain", partition=0)


class Member:
    """Owns the partition as long as the test says so."""

    life = GroupLife(topic_created_at=0, group_id=3)

    def __init__(self, subscriber: ScriptedSubscriber) -> None:
        self.subscriber = subscriber
        self.overtaken_partitions: list[int] = []
        self.asked = 0

    def may_begin(self) -> bool:
        return True

    def ask(self) -> None:
        self.asked += 1

    async def assignment(self) -> Assignment:
        return await self.subscriber.assignment()

    async def next_answer(self) -> None:
        await asyncio.sleep(0.001)

    def overtaken(self, partition_id: int) -> None:
        self.overtaken_partitions.append(partition_id)


def failing(*numbers: int) -> Recorder:
    def fail(envelope: Any) -> None:
        if envelope.event.number in numbers:
            raise LookupError

    return Recorder(fail)


@asynccontextmanager
async def consuming(
    handler: Recorder,
    *,
    messages: int = 3,
    topic: ListedTopic | None = None,
    committed: int | None = None,
    max_ahead: int = 10_000,
) -> AsyncIterator[tuple[PartitionConsumer, ListedTopic, ScriptedSubscriber]]:
    """A partition whose letters fail at once; ends by stopping it."""
    subscriber, topic = ScriptedSubscriber(), topic or ListedTopic()
    subscriber.logs[0] = stored(*range(messages))
    if committed is not None:
        subscriber.offsets[0] = committed
    subject = PartitionConsumer(
        services(handler, at_once=True, heartbeat_interval=0.005, commit_interval=0.001, max_ahead=max_ahead),
        Member(subscriber),
        topic.journals(),
        partition_id=0,
        generation=1,
        point=StartingPoint(next_offset=0 if committed is None else committed + 1, stored=committed),
    )
    task = asyncio.create_task(subject.run())
    try:
        yield subject, topic, subscriber
    finally:
        subject.stop()
        await asyncio.wait({task})


async def test_a_letter_is_committed_past_only_when_an_answer_asked_afterwards_shows_our_claim() -> None:
    async with consuming(failing(1)) as (subject, topic, subscriber):
        await until(lambda: len(topic.letters()) == 2)
        await until(lambda: len(subject.letters.confirmations) == 2)
        await until(lambda: subscriber.offsets.get(0) == 0)
        subject.asking()
        subject.answered(2)
        await subject.commits.store()
        assert subscriber.offsets[0] == 0, "another generation than that of our claim"
        subject.answered(1)
        await subject.commits.store()
        assert subscriber.offsets[0] == 2
    assert topic.kinds()[-1] == "Release"


async def test_the_log_tells_of_the_letter_that_parks_and_not_of_those_behind_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with consuming(failing(1)) as (subject, topic, _):
        await until(lambda: len(topic.letters()) == 2)
        await until(lambda: len(subject.letters.confirmations) == 2)
    (told,) = [facts_of(record) for record in caplog.records if event_of(record) == "dead_letter_kept"]
    assert (told["group"], told["topic"], told["partition_id"], told["offset"]) == ("g", "domain", 0, 1)
    assert (told["cause"], told["error"], told["parks_tenant"]) == ("failed", "LookupError", True)


async def test_each_letter_that_cannot_be_written_is_told_of_once() -> None:
    topic = ListedTopic(refusing=[DeadLetterError("too big")] * 3)  # the batch, then each of the two
    async with consuming(failing(0, 1), messages=0, topic=topic) as (subject, _, subscriber):
        subscriber.logs[0] = [*stored(0, tenant=UUID(int=1)), *stored(1, tenant=UUID(int=2))]
        await until(lambda: not topic.refusing)
        await until(lambda: not subject.letters.parking.is_writing)
        assert [each.delivery.offset for each in subject.letters.parking.refused] == [0, 1]
        assert len([each for each in subject.unhealthy() if "too big" in each]) == 2


async def test_nothing_of_a_tenant_passes_one_of_its_events_that_no_letter_can_hold() -> None:
    broken = {0}
    handler = until_fixed(broken)
    async with consuming(handler, messages=1) as (subject, topic, subscriber):
        await until(lambda: len(topic.letters()) == 1)
        broken.clear()
        topic.refusing = [DeadLetterError("too big")] * 2  # the batch, then the first of its tenant
        subscriber.logs[0] = [*stored(0, 1, 2), *others(3), *stored(4)]
        await until(lambda: any("offset 1 with" in each for each in subject.unhealthy()))
        await until(lambda: 3 in handler.numbers and subject.letters.parking.waiting == 2)
        subscriber.logs[0] += stored(5)
        topic.log.append(request())
        await until(lambda: "RequestEnd" in topic.kinds())
        await until(lambda: subject.letters.parking.waiting == 3)
        assert subject.letters.is_idle, "it is given back without waiting for them"
    assert [each.offset for each in topic.letters()] == [0]
    assert handler.numbers == [3, 0]


async def test_the_last_letters_are_confirmed_when_it_ends() -> None:
    async with consuming(failing(1)) as (subject, topic, subscriber):
        subscriber.owned = (0,)
        await until(lambda: len(subject.letters.confirmations) == 2)
    assert subscriber.offsets[0] == 2
    assert topic.kinds() == ["Claim", "Letter", "Letter", "Release"]


async def test_events_that_follow_a_letter_gather_until_another_fails_or_the_partition_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rustok_iggy.consumer.letters.GATHERING", 60.0)
    async with consuming(failing(0, 6), messages=1) as (subject, topic, subscriber):
        await until(lambda: topic.appends == [1])
        for last in range(1, 6):
            subscriber.logs[0] = stored(*range(last + 1))
            await until(partial(subject.is_polled, last))
        assert topic.appends == [1]
        subscriber.logs[0] = [*stored(*range(6)), *others(6)]
        await until(lambda: topic.appends == [1, 6])
        subscriber.logs[0] = [*stored(*range(6)), *others(6), *stored(7)]
        await until(lambda: subject.is_polled(7))
    assert topic.appends == [1, 6, 1]


async def test_letters_that_hold_half_of_what_may_be_ahead_are_written_and_asked_about_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rustok_iggy.consumer.letters.GATHERING", 60.0)
    async with consuming(failing(0), messages=1, max_ahead=20) as (subject, topic, subscriber):
        member = cast(Member, subject.member)
        await until(lambda: len(subject.letters.confirmations) == 1)
        subscriber.logs[0] = stored(*range(8))
        await until(lambda: subject.is_polled(7))
        assert (topic.appends, member.asked) == ([1], 0)
        subscriber.logs[0] = stored(*range(10))
        await until(lambda: member.asked == 1)
        assert topic.appends == [1], "what was read back is confirmed first"
        subject.asking()
        subject.answered(1)
        subscriber.logs[0] = stored(*range(12))
        await until(lambda: topic.appends == [1, 11])
        await until(lambda: member.asked == 2)


async def test_letters_go_on_gathering_while_something_else_holds_the_partition(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rustok_iggy.consumer.letters.GATHERING", 60.0)

    def fail(envelope: Any) -> None:
        if envelope.event.number < 2:
            raise (RetryLater(60), LookupError)[envelope.event.number]

    async with consuming(Recorder(fail), messages=0, max_ahead=20) as (subject, topic, subscriber):
        subscriber.logs[0] = [*others(0), *stored(1)]
        await until(lambda: len(subject.letters.confirmations) == 1)
        subscriber.logs[0] = [*others(0), *stored(*range(1, 16))]
        await until(lambda: subject.is_polled(15))
        assert subject.commits.held_at == 0
        assert (topic.appends, cast(Member, subject.member).asked) == ([1], 0)


async def test_many_letters_are_written_before_they_have_gathered_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rustok_iggy.consumer.letters.GATHERING", 60.0)
    monkeypatch.setattr("rustok_iggy.consumer.letters.ENOUGH_TO_WRITE", 5)
    async with consuming(failing(0), messages=1) as (subject, topic, subscriber):
        await until(lambda: len(subject.letters.confirmations) == 1)
        subscriber.logs[0] = stored(*range(5))
        await until(lambda: subject.is_polled(4))
        assert topic.appends == [1]
        subscriber.logs[0] = stored(*range(6))
        await until(lambda: topic.appends == [1, 5])


async def test_an_event_above_the_committed_offset_that_has_a_letter_is_not_run() -> None:
    topic, first, second = ListedTopic(), failing(1), Recorder()
    async with consuming(first, topic=topic) as (subject, _, _):
        await until(lambda: len(topic.letters()) == 2)
        subject.lose()  # what was handled and lettered was not committed
    async with consuming(second, topic=topic, messages=5, committed=None) as (subject, _, _):
        await until(lambda: len(topic.letters()) == 4)
        await until(lambda: second.numbers == [0])
        assert subject.services.statistics.letters == 4
    assert [letter.offset for letter in topic.letters()] == [1, 2, 3, 4]


async def test_a_new_generation_commits_nothing_before_it_is_claimed() -> None:
    handler = Recorder()
    async with consuming(handler, messages=2) as (subject, topic, subscriber):
        await until(lambda: subscriber.offsets.get(0) == 1)
        topic.writing.clear()
        subject.tenure.freeze(2)
        subject.tenure.renew(2)
        subscriber.logs[0] = stored(*range(4))
        await until(lambda: handler.numbers == [0, 1, 2, 3])
        await subject.commits.store()
        assert subscriber.offsets[0] == 1
        topic.writing.set()
        await until(lambda: subscriber.offsets[0] == 3)
    claims = [record for record, _ in topic.log if isinstance(record, Claim)]
    assert [(claim.epoch.generation, claim.committed) for claim in claims] == [(1, -1), (2, 1)]


async def test_a_claim_that_a_later_generation_overtook_is_not_enough() -> None:
    async with consuming(Recorder(), messages=1) as (subject, topic, subscriber):
        await until(lambda: subscriber.offsets.get(0) == 0)
        topic.writing.clear()
        subject.tenure.freeze(2)
        subject.tenure.renew(2)
        await asyncio.sleep(0)
        subject.tenure.freeze(3)
        topic.writing.set()
        await until(lambda: subject.journal.claim_generation == 2)
        assert subject.commits.frozen
        subject.tenure.renew(3)
        await until(lambda: not subject.commits.frozen)


async def test_a_higher_claim_ends_it_without_another_letter_or_commit() -> None:
    async with consuming(failing(2), messages=2) as (subject, topic, subscriber):
        await until(lambda: subscriber.offsets.get(0) == 1)
        epoch = Epoch(group_id=3, generation=9, member="other")
        topic.log.append((Claim(source=SOURCE, epoch=epoch, committed=1, handled_types="h"), b""))
        subscriber.logs[0] = stored(*range(4))
        member: Any = subject.member
        await until(lambda: member.overtaken_partitions == [0])
    assert (topic.kinds()[2:], subscriber.offsets[0]) in ((["Release"], 1), (["Letter", "Release"], 1))


async def test_a_letter_that_is_too_big_stays_in_the_topic_and_makes_it_unhealthy() -> None:
    topic = ListedTopic()
    async with consuming(failing(0), topic=topic, messages=1) as (subject, _, subscriber):
        topic.refusing = [DeadLetterError("too big")]
        await until(lambda: any("offset 0 with" in each for each in subject.unhealthy()))
        subscriber.logs[0] = [*stored(0), *others(1, 2)]
        await until(lambda: len(subject.runner.lanes._lanes) == 1 and subject.intake.next_offset == 3)
        assert subscriber.offsets == {}
    assert topic.letters() == []


def others(*offsets: int) -> list[Any]:
    return list(stored(*offsets, tenant=UUID(int=8)))


async def test_being_told_to_end_while_it_takes_over_ends_it_at_once() -> None:
    topic = ListedTopic()
    topic.writing.clear()
    async with consuming(Recorder(), topic=topic) as (_, _, subscriber):
        await until(lambda: bool(topic.opened))
    assert (subscriber.polled, topic.log) == ([], [])


def request(number: int = 1, **options: Any) -> tuple[Request, bytes]:
    selection = recorded(EVERYTHING)
    return (
        Request(
            id=UUID(int=number),
            group="g",
            action=Action.REDRIVE,
            selection=selection,
            requested_at=1,
            requested_by="test",
            reason="",
            **options,
        ),
        b"",
    )


async def test_what_became_of_a_letter_is_recorded_with_the_next_attempt() -> None:
    broken = {1}
    handler = Recorder(lambda envelope: 1 / 0 if envelope.event.number in broken else None)
    async with consuming(handler, messages=4) as (subject, topic, _):
        await until(lambda: len(topic.letters()) == 3)
        broken.clear()
        topic.log.append(request())
        await until(lambda: "RequestEnd" in topic.kinds())
        await until(lambda: handler.numbers == [0, 1, 2, 3])
        assert not list(subject.degraded())
    kinds = topic.kinds()[topic.kinds().index("Request") :]
    recorded = ["Attempt", "Settlement", "Attempt", "Attempt", "Settlement", "Settlement"]
    assert kinds == ["Request", *recorded, "RequestEnd", "Release"]
    assert [record.offset for record, _ in topic.log if isinstance(record, Settlement)] == [1, 2, 3]


def until_fixed(broken: set[int]) -> Recorder:
    return Recorder(lambda envelope: 1 / 0 if envelope.event.number in broken else None)


def attempts_of(topic: ListedTopic) -> list[int]:
    return [record.offset for record, _ in topic.log if isinstance(record, Attempt)]


def lose_at(number: int, envelope: Any, subject: PartitionConsumer) -> None:
    if envelope.event.number == number:
        subject.lose()


async def test_letters_are_announced_twice_as_many_at_a_time_as_long_as_all_are_handled() -> None:
    broken = {0}
    handler = until_fixed(broken)
    async with consuming(handler, messages=40) as (_, topic, _):
        await until(lambda: len(topic.letters()) == 40)
        broken.clear()
        before = len(topic.appends)
        topic.log.append(request())
        await until(lambda: "RequestEnd" in topic.kinds())
    assert handler.numbers == [*range(40)]
    assert topic.appends[before:] == [1, 1 + 2, 2 + 4, 4 + 8, 8 + 16, 16 + 9, 9, 1]


async def test_nothing_runs_after_a_letter_that_failed_though_it_was_announced() -> None:
    broken = {0, 4}
    handler = until_fixed(broken)
    async with consuming(handler, messages=10) as (subject, topic, _):
        await until(lambda: len(topic.letters()) == 10)
        broken.remove(0)
        topic.log.append(request())
        await until(lambda: "RequestEnd" in topic.kinds())
        assert handler.numbers == [0, 1, 2, 3]
        assert attempts_of(topic) == [0, 1, 2, 3, 4, 5, 6]
        left = subject.journal.journal.open_letters()
        assert [(each.offset, each.attempts) for each in left] == [(4, 1), *((offset, 0) for offset in range(5, 10))]
        broken.clear()
        topic.log.append(request(number=2))
        await until(lambda: topic.kinds().count("RequestEnd") == 2)
        assert handler.numbers == [*range(10)]
    assert attempts_of(topic)[7:] == [4, 5, 6, 7, 8, 9]


async def test_a_crash_repeats_no_more_of_a_tenant_than_was_announced_together() -> None:
    first = failing(0)
    async with consuming(first, messages=30) as (subject, topic, _):
        await until(lambda: len(topic.letters()) == 30)
        first.before = lambda envelope: lose_at(12, envelope, subject)
        topic.log.append(request())
        await until(lambda: subject.commits.lost)
    settled = [record.offset for record, _ in topic.log if isinstance(record, Settlement)]
    announced = [offset for offset in attempts_of(topic) if offset not in settled]
    assert first.numbers == [*range(13)]
    assert (settled, announced) == ([*range(7)], [*range(7, 15)])


async def test_letters_handled_before_one_that_takes_long_are_recorded_meanwhile() -> None:
    handler = failing(0)
    async with consuming(handler, messages=4) as (_, topic, _):
        await until(lambda: len(topic.letters()) == 4)

        def hold_the_third(envelope: Any) -> None:
            if envelope.event.number == 2:
                handler.gate.clear()

        handler.before = hold_the_third
        topic.log.append(request())
        await until(lambda: handler.entered == 4)
        await until(lambda: [record.offset for record, _ in topic.log if isinstance(record, Settlement)] == [0, 1])
        assert handler.numbers == [0, 1]
        handler.gate.set()
        await until(lambda: "RequestEnd" in topic.kinds())


async def test_a_request_is_given_up_when_too_many_of_its_letters_fail_again() -> None:
    handler = failing(*range(30))
    async with consuming(handler, messages=30, topic=ListedTopic()) as (subject, topic, _):
        subject.services.statistics.letters = 0
        await until(lambda: len(topic.letters()) == 30)
        topic.log.append(request(abort_ratio=0.0, break_order=True))
        await until(lambda: "RequestEnd" in topic.kinds())
    assert topic.kinds().count("Attempt") == 10
    ends: Any = [record for record, _ in topic.log if type(record).__name__ == "RequestEnd"]
    assert [(end.failed, end.aborted) for end in ends] == [(10, True)]


async def test_a_rate_spreads_letters_over_time() -> None:
    broken = {0}
    handler = Recorder(lambda envelope: 1 / 0 if envelope.event.number in broken else None)
    async with consuming(handler, messages=4) as (_, topic, _):
        await until(lambda: len(topic.letters()) == 4)
        broken.clear()
        began = asyncio.get_running_loop().time()
        topic.log.append(request(rate=50.0))
        await until(lambda: "RequestEnd" in topic.kinds())
        assert asyncio.get_running_loop().time() - began >= 0.06
    kinds = topic.kinds()[topic.kinds().index("Request") + 1 :]
    assert kinds[:2] == ["Attempt", "Settlement"]


async def test_a_letter_that_cannot_run_any_more_is_settled_as_failed() -> None:
    topic = ListedTopic()
    async with consuming(failing(0), messages=1, topic=topic) as (subject, _, _):
        await until(lambda: len(topic.letters()) == 1)
        record, _ = topic.log[1]
        assert isinstance(record, Letter)
        topic.log[1] = (record, b"\x00damaged")
        topic.log.append(request())
        await until(lambda: subject.services.statistics.redrives_failed == 1)
        await until(lambda: "RequestEnd" in topic.kinds())
    assert "Attempt" not in topic.kinds()
