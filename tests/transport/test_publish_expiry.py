"""Events of one batch whose time is over one after another. The clock of the loop is moved by the test."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from rustok_iggy import publish_expiry
from rustok_iggy.backpressure import BackpressureConfig, BackpressurePolicy
from rustok_iggy.errors import PredecessorFailedError, RustokIggyError, TransportClosedError
from rustok_iggy.producer import Producer
from rustok_iggy.publish_lane import PartitionMessages
from rustok_iggy.publish_queue import PublishStatus
from rustok_iggy_connector import (
    ConnectionLostError,
    ConnectorError,
    PermissionDeniedError,
    RequestTimeoutError,
    ServerUnreachableError,
)
from tests.logs import event_of, facts_of
from tests.transport.fakes import ScriptedConnector
from tests.transport.producing import ANN, BOB, message, producing, publishing
from tests.waiting import until

pytestmark = pytest.mark.anyio

TIMEOUT = 1000.0
"""Seconds on the test's clock; far more than `until` ever waits, and than a test ever takes."""
APART = 100.0
"""Seconds between an old event and a young one."""
CAROL = UUID(int=3)
DOWN, LOST = ServerUnreachableError("down"), ConnectionLostError("cut")
ALWAYS = 100_000


class Clock:
    """The running loop's, which the test may move ahead."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self._real = loop.time
        self._ahead = 0.0
        patch.setattr(loop, "time", self.time)

    def time(self) -> float:
        return self._real() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Blocked:
    """A batch under way holds the partition; what is published meanwhile goes as the next one."""

    def __init__(self, connector: ScriptedConnector, producer: Producer, clock: Clock) -> None:
        self.connector = connector
        self.producer = producer
        self.clock = clock
        connector.gate.clear()
        self._first = publishing(producer, tenant=UUID(int=99))

    async def publish(self, *tenants: UUID) -> list[asyncio.Task[int]]:
        """One event of each, some time apart."""
        tasks: list[asyncio.Task[int]] = []
        for tenant in tenants:
            if tasks:
                self.clock.advance(APART)
            tasks.append(publishing(self.producer, tenant=tenant))
            await asyncio.sleep(0)
        return tasks

    async def send(self, *outcomes: Exception | None, hold: bool = False) -> None:
        """Let the first be stored and what was published go, `hold` until the gate is set."""
        self.connector.outcomes = [None, *outcomes]
        if hold:
            self.connector.on_batch = lambda batch: self.connector.gate.clear()
        self.connector.gate.set()
        await until(lambda: len(self.connector.batches) > 1)
        self.connector.on_batch = lambda batch: None
        assert await self._first == 0


@asynccontextmanager
async def blocked(
    connector: ScriptedConnector, clock: Clock, *, backpressure: BackpressureConfig | None = None
) -> AsyncIterator[tuple[Producer, Blocked]]:
    """A producer, and its partition once the first batch is under way."""
    async with producing(connector, timeout=TIMEOUT, backpressure=backpressure) as producer:
        partition = Blocked(connector, producer, clock)
        await until(lambda: len(connector.batches) == 1)
        yield producer, partition


async def outcome(task: Awaitable[int]) -> BaseException | int:
    [found] = await asyncio.gather(task, return_exceptions=True)
    return found


def assert_all_counted(producer: Producer, *, taken: int) -> None:
    counted = producer.statistics
    assert counted.confirmed + counted.failed + counted.unknown + counted.unsent == taken
    assert (counted.queued, counted.queued_bytes, counted.retrying) == (0, 0, 0)


async def test_an_event_has_its_whole_time_also_in_a_batch_with_an_older_one(clock: Clock) -> None:
    connector = ScriptedConnector()
    async with blocked(connector, clock) as (producer, partition):
        old, young = await partition.publish(ANN, BOB)
        await partition.send(*[DOWN] * ALWAYS)
        clock.advance(TIMEOUT - APART)
        assert await outcome(old) is DOWN
        connector.outcomes.clear()  # the server is back, before the young one's time is over
        assert await young == 1
        assert (producer.statistics.confirmed, producer.statistics.failed) == (2, 1)
        assert_all_counted(producer, taken=3)


async def test_the_request_under_way_goes_on_for_the_rest_and_its_offsets_count_all_it_holds(clock: Clock) -> None:
    connector = ScriptedConnector()
    async with blocked(connector, clock) as (producer, partition):
        old, young = await partition.publish(ANN, BOB)
        await partition.send(hold=True)
        clock.advance(TIMEOUT - APART)
        error = await outcome(old)
        assert isinstance(error, RequestTimeoutError)
        assert error.outcome_unknown
        assert len(connector.batches) == 2, "no second request while the first may still be answered"
        connector.gate.set()
        assert await young == 2
        assert (producer.statistics.confirmed, producer.statistics.unknown) == (2, 1)
        assert_all_counted(producer, taken=3)
    assert connector.most_in_flight == 1


async def test_what_is_repeated_leaves_out_the_expired_and_keeps_the_ids_of_the_rest(clock: Clock) -> None:
    connector = ScriptedConnector(stores_before_failing=True)
    async with blocked(connector, clock) as (producer, partition):
        old, young = await partition.publish(ANN, BOB)
        await partition.send(*[LOST] * ALWAYS)
        both = connector.batches[1]
        clock.advance(TIMEOUT - APART)
        error = await outcome(old)
        assert isinstance(error, ConnectionLostError)
        assert error.outcome_unknown, "a copy is stored"
        repeated = len(connector.batches)
        await until(lambda: len(connector.batches) > repeated)
        assert connector.batches[-1] == both[1:]
        connector.outcomes[:] = [PermissionDeniedError("no right any more")]
        refused = await outcome(young)
        assert isinstance(refused, ConnectionLostError), "an earlier try may have been stored"
        assert producer.statistics.unknown == 2
        assert_all_counted(producer, taken=3)


@pytest.mark.parametrize(
    ("failing", "old_is", "in_the_batch"),
    [(DOWN, ServerUnreachableError, PredecessorFailedError), (LOST, ConnectionLostError, ConnectionLostError)],
)
async def test_later_events_of_the_same_tenant_go_with_it_and_those_of_others_go_on(
    clock: Clock, failing: ConnectorError, old_is: type[Exception], in_the_batch: type[RustokIggyError]
) -> None:
    full_at_five = BackpressureConfig(max_queue_depth=5, critical_threshold=1.0, policy=BackpressurePolicy.WAIT)
    connector = ScriptedConnector()
    async with blocked(connector, clock, backpressure=full_at_five) as (producer, partition):
        old, other, same = await partition.publish(ANN, BOB, ANN)
        await partition.send(hold=True)
        queued, queued_of_other, waiting, let_in = await partition.publish(ANN, BOB, ANN, CAROL)
        assert producer.statistics.waiting == 1 + 1
        connector.outcomes = [failing] * ALWAYS
        connector.gate.set()
        await until(lambda: len(connector.batches) > 2)
        clock.advance(TIMEOUT - 5 * APART)
        assert isinstance(await outcome(old), old_is)
        held_back = await outcome(same)
        assert isinstance(held_back, in_the_batch)
        assert held_back.outcome_unknown == failing.outcome_unknown
        assert isinstance(await outcome(queued), PredecessorFailedError)
        assert isinstance(await outcome(waiting), PredecessorFailedError)
        assert not any(task.done() for task in (other, queued_of_other, let_in))
        connector.outcomes.clear()
        assert list(await asyncio.gather(other, queued_of_other, let_in)) == [1, 2, 3]


async def test_each_has_its_own_time_one_after_another(clock: Clock) -> None:
    connector = ScriptedConnector()
    tenants = [UUID(int=number) for number in range(1, 6)]
    async with blocked(connector, clock) as (producer, partition):
        tasks = await partition.publish(*tenants)
        await partition.send(hold=True)
        clock.advance(TIMEOUT - 5 * APART)
        for number, task in enumerate(tasks[:-1], start=1):
            clock.advance(APART)
            assert isinstance(await outcome(task), RequestTimeoutError)
            assert [each.done() for each in tasks] == [True] * number + [False] * (5 - number)
        connector.gate.set()
        assert await tasks[-1] == 5
        assert len(connector.batches) == 2
        assert_all_counted(producer, taken=6)


async def test_those_that_expire_shortly_after_one_another_are_told_together(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish_expiry, "EXPIRY_INTERVAL", 2 * APART)
    connector = ScriptedConnector()
    async with blocked(connector, clock) as (_, partition):
        tasks = await partition.publish(*[UUID(int=number) for number in range(1, 6)])
        await partition.send(hold=True)
        clock.advance(TIMEOUT - 4 * APART)
        assert isinstance(await outcome(tasks[0]), RequestTimeoutError)
        clock.advance(APART)
        for _ in range(5):
            await asyncio.sleep(0)
        assert [task.done() for task in tasks] == [True, False, False, False, False]
        clock.advance(APART)
        for task in tasks[1:3]:
            assert isinstance(await outcome(task), RequestTimeoutError)
        assert [task.done() for task in tasks] == [True, True, True, False, False]
        connector.gate.set()
        assert await asyncio.gather(*tasks[3:]) == [4, 5]


async def test_the_last_of_a_batch_is_not_told_late(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_expiry, "EXPIRY_INTERVAL", TIMEOUT)
    connector = ScriptedConnector()
    async with blocked(connector, clock) as (_, partition):
        old, last = await partition.publish(ANN, BOB)
        await partition.send(hold=True)
        clock.advance(TIMEOUT - APART)
        assert isinstance(await outcome(old), RequestTimeoutError)
        clock.advance(APART)
        await until(last.done)
        assert isinstance(last.exception(), RequestTimeoutError)


async def test_what_is_repeated_ends_when_nothing_is_left_of_it(clock: Clock) -> None:
    connector = ScriptedConnector()
    async with blocked(connector, clock) as (producer, partition):
        old, same = await partition.publish(ANN, ANN)
        await partition.send(*[DOWN] * ALWAYS)
        clock.advance(TIMEOUT - APART)
        assert await outcome(old) is DOWN
        assert isinstance(await outcome(same), PredecessorFailedError)
        connector.outcomes.clear()
        assert await publishing(producer) == 1
        assert_all_counted(producer, taken=4)
    assert all(connector.batches), "nothing empty was sent"


async def test_a_batch_of_which_nothing_is_left_ends_at_once_and_the_next_goes(clock: Clock) -> None:
    connector = ScriptedConnector()
    async with blocked(connector, clock) as (producer, partition):
        old, same = await partition.publish(ANN, ANN)
        await partition.send(hold=True)
        [next_one] = await partition.publish(BOB)
        clock.advance(TIMEOUT - APART)
        assert isinstance(await outcome(old), RequestTimeoutError)
        assert isinstance(await outcome(same), RequestTimeoutError), "it is in the same request"
        await until(lambda: len(connector.batches) == 3)
        connector.gate.set()
        assert await next_one == 1
        assert_all_counted(producer, taken=4)
    assert connector.most_in_flight == 1


async def test_what_is_published_again_after_its_expiry_is_not_held_back_by_the_rest_of_the_batch(
    clock: Clock,
) -> None:
    connector = ScriptedConnector()
    async with blocked(connector, clock) as (producer, partition):
        old, young = await partition.publish(ANN, BOB)
        await partition.send(hold=True)
        clock.advance(TIMEOUT - APART)
        await outcome(old)
        [again] = await partition.publish(ANN)
        clock.advance(APART)
        assert isinstance(await outcome(young), RequestTimeoutError)
        connector.gate.set()
        assert await again == 1
        assert producer.statistics.unknown == 2
        assert_all_counted(producer, taken=4)


async def test_a_call_of_several_tenants_may_fail_in_part(clock: Clock) -> None:
    connector = ScriptedConnector()
    async with blocked(connector, clock) as (producer, partition):
        [old] = await partition.publish(ANN)
        clock.advance(APART)
        part = PartitionMessages("domain", 0, [message() for _ in range(4)], [BOB, ANN, BOB, CAROL])
        together = asyncio.create_task(producer.publish_together([part]))
        await asyncio.sleep(0)
        await partition.send(hold=True)
        clock.advance(TIMEOUT - APART)
        await outcome(old)
        connector.gate.set()
        [submission] = await together
        assert {index: failure.status for index, failure in submission.failures.items()} == {1: PublishStatus.UNKNOWN}
        assert submission.confirmed == [((0,), 2), ((2,), 4), ((3,), 5)]
        assert (producer.statistics.confirmed, producer.statistics.unknown) == (4, 2)
        assert_all_counted(producer, taken=6)


async def test_closing_after_an_expiry_counts_each_once(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    connector = ScriptedConnector()
    async with blocked(connector, clock) as (producer, partition):
        old, young, youngest = await partition.publish(ANN, BOB, CAROL)
        await partition.send(hold=True)
        [queued] = await partition.publish(UUID(int=4))
        clock.advance(TIMEOUT - 2 * APART)
        await outcome(old)
        await producer.aclose(timeout=0.01)
        clock.advance(TIMEOUT)
        assert isinstance(await outcome(young), RequestTimeoutError)
        assert isinstance(await outcome(youngest), RequestTimeoutError)
        assert isinstance(await outcome(queued), TransportClosedError)
        assert (producer.statistics.unknown, producer.statistics.unsent) == (3, 1)
        told = [(event_of(record), facts_of(record)) for record in caplog.records]
        assert [facts["events"] for event, facts in told if event == "publish_failed"] == [1, 2]
        assert ("publishes_failed_at_close", {"unknown": 2, "unsent": 1}) in told


async def test_cancelled_callers_change_nothing_for_the_others(clock: Clock) -> None:
    connector = ScriptedConnector()
    async with blocked(connector, clock) as (producer, partition):
        old, gone, young = await partition.publish(ANN, BOB, CAROL)
        await partition.send(hold=True)
        for task in (old, gone):
            task.cancel()
            assert isinstance(await outcome(task), asyncio.CancelledError)
        clock.advance(TIMEOUT - 2 * APART)
        await until(lambda: producer.statistics.unknown == 1)
        connector.gate.set()
        assert await young == 3
        assert producer.statistics.confirmed == 3
        assert_all_counted(producer, taken=4)


@pytest.mark.parametrize("seed", range(8))
async def test_any_mix_of_outages_and_expiries_keeps_order_time_and_counts(clock: Clock, seed: int) -> None:
    """Calls of four tenants while the server answers, loses, or is away, and time passes in steps of any length."""
    chance = random.Random(seed)
    connector = ScriptedConnector(stores_before_failing=True)
    sent: dict[UUID, list[UUID]] = {UUID(int=number): [] for number in range(1, 5)}
    ended: dict[UUID, tuple[float, BaseException | int]] = {}

    async def call(producer: Producer, tenant: UUID) -> None:
        each = message()
        sent[tenant].append(each.id)
        began = clock.time()
        found = await outcome(producer.publish(each, topic="domain", partition_id=0, tenant_id=tenant))
        ended[each.id] = clock.time() - began, found

    async with producing(connector, timeout=TIMEOUT) as producer:
        calls = []
        for _ in range(300):
            calls.append(asyncio.create_task(call(producer, chance.choice(list(sent)))))
            if chance.random() < 0.1:
                connector.outcomes = [] if chance.random() < 0.3 else [chance.choice((LOST, DOWN))] * ALWAYS
                (connector.gate.set if chance.random() < 0.6 else connector.gate.clear)()
            if chance.random() < 0.2:
                clock.advance(chance.random() * 4 * APART)
            await asyncio.sleep(0)
        connector.outcomes = []
        connector.gate.set()
        await asyncio.wait(calls)
        assert_all_counted(producer, taken=300)
        assert min(producer.statistics.unknown, producer.statistics.unsent) > 0, "the mix has what it is for"
    log = connector.logs["domain", 0]
    firsts = list(dict.fromkeys(log))
    for ids in sent.values():
        assert [event for event in firsts if event in ids] == [event for event in ids if event in firsts], seed
        predecessor_stored = True
        for event in ids:
            seconds, found = ended[event]
            if isinstance(found, int):
                assert log[found] == event, seed
            else:
                assert seconds >= TIMEOUT or not predecessor_stored, (seed, found)
            predecessor_stored = isinstance(found, int)
    assert connector.most_in_flight == 1
