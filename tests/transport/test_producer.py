"""The coalescing producer: what is sent together, what is repeated, what callers are told."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
from msgspec.structs import replace

from rustok_iggy.backpressure import BackpressureConfig, BackpressurePolicy
from rustok_iggy.errors import BackpressureError, PredecessorFailedError, TransportClosedError, ValidationError
from rustok_iggy.producer import Producer
from rustok_iggy.publish_lane import PartitionMessages
from rustok_iggy_connector import (
    ConnectionLostError,
    ConnectorError,
    NotFoundError,
    PermissionDeniedError,
    RequestTimeoutError,
    ServerUnreachableError,
)
from tests.transport.fakes import ScriptedConnector
from tests.transport.producing import ANN, BOB, message, producing, publishing
from tests.waiting import until

pytestmark = pytest.mark.anyio


async def test_one_publish_is_one_batch_and_has_its_offset() -> None:
    connector = ScriptedConnector()
    async with producing(connector) as producer:
        assert [await publishing(producer) for _ in range(3)] == [0, 1, 2]
    assert [len(batch) for batch in connector.batches] == [1, 1, 1]


async def test_publishes_gather_while_a_batch_is_under_way() -> None:
    connector = ScriptedConnector()
    connector.gate.clear()
    async with producing(connector) as producer:
        first = publishing(producer)
        await until(lambda: len(connector.batches) == 1)
        messages = [message() for _ in range(50)]
        later = [publishing(producer, each, tenant=UUID(int=9 + index)) for index, each in enumerate(messages)]
        await asyncio.sleep(0)
        connector.gate.set()
        assert await first == 0
        assert await asyncio.gather(*later) == list(range(1, 51))
    assert connector.batches[1:] == [[each.id for each in messages]]


async def test_those_confirmed_together_meet_again_in_the_next_batch() -> None:
    connector = ScriptedConnector()

    async def publisher(producer: Producer) -> None:
        for _ in range(10):
            await producer.publish(message(), topic="domain", partition_id=0, tenant_id=ANN)

    async with producing(connector) as producer:
        await asyncio.gather(*(publisher(producer) for _ in range(64)))
    assert len(connector.batches) <= 12


async def test_one_batch_in_flight_per_partition_and_partitions_side_by_side() -> None:
    connector = ScriptedConnector()
    connector.gate.clear()
    async with producing(connector) as producer:
        tasks = [publishing(producer, partition=index % 3) for index in range(30)]
        await until(lambda: sum(connector.in_flight.values()) == 3)
        connector.gate.set()
        await asyncio.gather(*tasks)
    assert connector.most_in_flight == 1


async def test_a_lost_connection_is_repeated_with_the_same_ids() -> None:
    connector = ScriptedConnector(ConnectionLostError("cut"), ServerUnreachableError("down"))
    async with producing(connector) as producer:
        assert await publishing(producer) == 0
        assert producer.statistics.retries == 2
        assert producer.statistics.retrying == 0
    assert connector.batches[0] == connector.batches[1] == connector.batches[2]


async def test_nothing_of_the_partition_is_sent_while_an_outcome_is_unknown() -> None:
    connector = ScriptedConnector(ConnectionLostError("cut"), ConnectionLostError("cut"))
    async with producing(connector) as producer:
        first, second = message(), message()
        await asyncio.gather(publishing(producer, first), publishing(producer, second, tenant=BOB))
    assert connector.logs["domain", 0] == [first.id, second.id]
    assert connector.batches[0] == connector.batches[1] == connector.batches[2]


@pytest.mark.parametrize("refusal", [NotFoundError("no topic"), PermissionDeniedError("no right")])
async def test_a_refusal_is_not_repeated(refusal: ConnectorError) -> None:
    connector = ScriptedConnector(refusal)
    async with producing(connector) as producer:
        with pytest.raises(type(refusal)):
            await publishing(producer)
        assert producer.statistics.failed == 1
        assert await publishing(producer) == 0, "the partition goes on"
    assert len(connector.batches) == 2


async def test_queued_events_of_a_failed_tenant_are_not_sent_and_others_are() -> None:
    connector = ScriptedConnector(NotFoundError("no topic"))
    connector.gate.clear()
    async with producing(connector) as producer:
        failing = message()
        first = publishing(producer, failing, tenant=ANN)
        await until(lambda: len(connector.batches) == 1)
        held_back, innocent = publishing(producer, tenant=ANN), publishing(producer, tenant=BOB)
        await asyncio.sleep(0)
        connector.gate.set()
        with pytest.raises(NotFoundError):
            await first
        with pytest.raises(PredecessorFailedError) as caught:
            await held_back
        assert caught.value.predecessor_id == failing.id
        assert await innocent == 0
        assert await publishing(producer, tenant=ANN) == 1, "only what was queued is held back"
        statistics = producer.statistics
        assert (statistics.confirmed, statistics.failed, statistics.unsent, statistics.queued) == (2, 1, 1, 0)


async def test_a_deadline_in_flight_leaves_the_outcome_unknown() -> None:
    connector = ScriptedConnector()
    connector.gate.clear()
    async with producing(connector, timeout=0.3) as producer:
        with pytest.raises(RequestTimeoutError) as caught:
            await publishing(producer)
        assert caught.value.outcome_unknown
        assert producer.statistics.unknown == 1


async def test_a_deadline_while_the_server_is_away_says_that_nothing_was_stored() -> None:
    connector = ScriptedConnector(*[ServerUnreachableError("down")] * 100_000)
    async with producing(connector, timeout=0.3) as producer:
        with pytest.raises(ServerUnreachableError):
            await publishing(producer)
        assert producer.statistics.failed == 1


async def test_an_unknown_try_makes_a_later_refusal_unknown_too() -> None:
    connector = ScriptedConnector(ConnectionLostError("cut"), PermissionDeniedError("no right"))
    async with producing(connector) as producer:
        with pytest.raises(ConnectionLostError) as caught:
            await publishing(producer)
        assert caught.value.outcome_unknown
        assert isinstance(caught.value.__cause__, PermissionDeniedError)
        assert producer.statistics.unknown == 1


async def test_what_waited_too_long_behind_others_is_not_sent() -> None:
    connector = ScriptedConnector()
    connector.gate.clear()
    async with producing(connector, timeout=0.3) as producer:
        first = publishing(producer)
        await until(lambda: len(connector.batches) == 1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(producer, "_timeout", 0.0)
            late = publishing(producer, tenant=BOB)
            await asyncio.sleep(0)
        with pytest.raises(RequestTimeoutError):
            await first
        with pytest.raises(BackpressureError):
            await late
    assert len(connector.batches) == 1


async def test_what_waited_too_long_takes_nobody_along() -> None:
    connector = ScriptedConnector()
    connector.gate.clear()
    async with producing(connector) as producer:
        first = publishing(producer)
        await until(lambda: len(connector.batches) == 1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(producer, "_timeout", 0.0)
            late = publishing(producer, tenant=BOB)
            await asyncio.sleep(0)
        young = publishing(producer, tenant=UUID(int=3))
        await asyncio.sleep(0)
        connector.gate.set()
        assert await first == 0
        with pytest.raises(BackpressureError):
            await late
        assert await young == 1


async def test_cancelling_a_caller_does_not_take_back_what_was_sent() -> None:
    connector = ScriptedConnector()
    connector.gate.clear()
    async with producing(connector) as producer:
        sent = message()
        task = publishing(producer, sent)
        await until(lambda: len(connector.batches) == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        connector.gate.set()
        assert await publishing(producer) == 1
    assert connector.logs["domain", 0][0] == sent.id


async def test_closing_waits_for_what_is_queued() -> None:
    connector = ScriptedConnector()
    connector.gate.clear()
    async with producing(connector) as producer:
        tasks = [publishing(producer) for _ in range(5)]
        await until(lambda: len(connector.batches) == 1)
        closing = asyncio.create_task(producer.aclose(timeout=5.0))
        await asyncio.sleep(0)
        connector.gate.set()
        await closing
        assert await asyncio.gather(*tasks) == [0, 1, 2, 3, 4]
        with pytest.raises(TransportClosedError):
            await publishing(producer)


async def test_closing_fails_what_is_left_after_its_deadline() -> None:
    connector = ScriptedConnector()
    connector.gate.clear()
    async with producing(connector) as producer:
        in_flight = publishing(producer, tenant=ANN)
        await until(lambda: len(connector.batches) == 1)
        queued = publishing(producer, tenant=BOB)
        await asyncio.sleep(0)
        await producer.aclose(timeout=0.01)
        with pytest.raises(RequestTimeoutError):
            await in_flight
        with pytest.raises(TransportClosedError):
            await queued
        assert (producer.statistics.unknown, producer.statistics.unsent, producer.statistics.queued) == (1, 1, 0)
        await producer.aclose(timeout=0.01)


async def test_a_bug_below_fails_its_batch_and_no_other() -> None:
    connector = ScriptedConnector(ZeroDivisionError("bug"))
    async with producing(connector) as producer:
        with pytest.raises(ZeroDivisionError):
            await publishing(producer)
        assert await publishing(producer) == 0


FULL_AT_TEN = BackpressureConfig(max_queue_depth=10, critical_threshold=1.0)
WAIT_AT_TEN = replace(FULL_AT_TEN, policy=BackpressurePolicy.WAIT)
WAIT_AT_TWO = BackpressureConfig(max_queue_depth=2, critical_threshold=1.0, policy=BackpressurePolicy.WAIT)


async def test_a_queue_that_does_not_move_is_bounded() -> None:
    connector = ScriptedConnector()
    connector.gate.clear()
    async with producing(connector, backpressure=FULL_AT_TEN) as producer:
        tasks = [publishing(producer) for _ in range(10)]
        await asyncio.sleep(0)
        with pytest.raises(BackpressureError, match=r"10 of at most 10 events.*raise backpressure") as caught:
            await publishing(producer)
        assert caught.value.depth == 10
        assert producer.statistics.rejected == 1
        connector.gate.set()
        await asyncio.gather(*tasks)
        assert await publishing(producer) == 10


async def test_who_waits_for_room_goes_in_the_order_of_the_calls() -> None:
    connector = ScriptedConnector()
    connector.gate.clear()
    async with producing(connector, backpressure=WAIT_AT_TEN) as producer:
        depths: list[int] = []
        connector.on_batch = lambda batch: depths.append(producer.statistics.queued)
        sent = [message() for _ in range(20)]
        tasks = [publishing(producer, each, tenant=(ANN, BOB)[n % 2]) for n, each in enumerate(sent)]
        await until(lambda: producer.statistics.waiting == 10)
        connector.gate.set()
        assert await asyncio.gather(*tasks) == list(range(20))
        assert producer.statistics.queued == producer.statistics.waiting == 0
    assert connector.logs["domain", 0] == [each.id for each in sent]
    assert max(depths) == 10


async def test_health_says_how_full_the_queue_is() -> None:
    connector = ScriptedConnector()
    connector.gate.clear()
    async with producing(connector, backpressure=FULL_AT_TEN) as producer:
        seen, tasks = [], []
        for _ in range(10):
            tasks.append(publishing(producer))
            await asyncio.sleep(0)
            seen.append(producer.statistics.health().status.value)
        assert seen == ["healthy"] * 6 + ["degraded"] * 3 + ["unhealthy"]
        connector.gate.set()
        await asyncio.gather(*tasks)
        assert producer.statistics.health().status.value == "healthy"


async def test_not_more_wait_for_room_than_the_queue_holds() -> None:
    connector = ScriptedConnector()
    connector.gate.clear()
    async with producing(connector, backpressure=WAIT_AT_TWO) as producer:
        tasks = [publishing(producer) for _ in range(4)]
        await until(lambda: producer.statistics.waiting == 2)
        with pytest.raises(BackpressureError, match="2 wait for room"):
            await publishing(producer)
        connector.gate.set()
        await asyncio.gather(*tasks)


async def test_waiting_for_room_has_the_publish_timeout() -> None:
    connector = ScriptedConnector()
    connector.gate.clear()
    async with producing(connector, backpressure=WAIT_AT_TWO) as producer:
        first = [publishing(producer), publishing(producer)]
        await until(lambda: producer.statistics.queued == 2)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(producer, "_timeout", 0.05)
            late = publishing(producer)
            await until(lambda: producer.statistics.waiting == 1)
        with pytest.raises(BackpressureError):
            await late
        assert (producer.statistics.waiting, producer.statistics.queued) == (0, 2)
        connector.gate.set()
        assert await asyncio.gather(*first) == [0, 1]


async def test_who_is_cancelled_while_waiting_for_room_is_not_sent_and_lets_others_in() -> None:
    connector = ScriptedConnector()
    connector.gate.clear()
    async with producing(connector, backpressure=WAIT_AT_TEN) as producer:
        first = [publishing(producer) for _ in range(9)]
        await until(lambda: producer.statistics.queued == 9)
        large = asyncio.create_task(producer.publish_together([together(2)]))
        behind = publishing(producer)
        await until(lambda: producer.statistics.waiting == 3)
        large.cancel()
        with pytest.raises(asyncio.CancelledError):
            await large
        assert (producer.statistics.waiting, producer.statistics.queued) == (0, 10)
        connector.gate.set()
        assert await asyncio.gather(*first, behind) == list(range(10))


async def test_what_waits_for_room_behind_a_failed_event_of_its_tenant_is_not_sent() -> None:
    connector = ScriptedConnector(PermissionDeniedError("no", status=41, command="send"))
    connector.gate.clear()
    async with producing(connector, backpressure=WAIT_AT_TWO) as producer:
        failing = publishing(producer)
        await until(lambda: len(connector.batches) == 1)
        queued, waiting, other = publishing(producer), publishing(producer), publishing(producer, tenant=BOB)
        await until(lambda: producer.statistics.waiting == 2)
        connector.gate.set()
        for task, error in (
            (failing, PermissionDeniedError),
            *((each, PredecessorFailedError) for each in (queued, waiting)),
        ):
            with pytest.raises(error):
                await task
        assert await other == 0
        statistics = producer.statistics
        assert (statistics.confirmed, statistics.failed, statistics.unsent) == (1, 1, 2)
        assert (statistics.queued, statistics.waiting) == (0, 0)


async def test_closing_turns_away_what_waits_for_room() -> None:
    connector = ScriptedConnector()
    connector.gate.clear()
    async with producing(connector, backpressure=WAIT_AT_TWO) as producer:
        taken = [publishing(producer), publishing(producer)]
        waiting = publishing(producer)
        await until(lambda: producer.statistics.waiting == 1)
        closing = asyncio.create_task(producer.aclose(timeout=5.0))
        with pytest.raises(TransportClosedError):
            await waiting
        connector.gate.set()
        await closing
        assert await asyncio.gather(*taken) == [0, 1]


async def test_a_call_with_more_than_the_queue_can_hold_is_refused_whole() -> None:
    connector = ScriptedConnector()
    async with producing(connector, backpressure=WAIT_AT_TWO) as producer:
        with pytest.raises(ValidationError, match="publish them in parts"):
            await producer.publish_together([together(2), together(1, partition=1)])
        [submission] = await producer.publish_together([together(2)])
        assert submission.confirmed == [(range(2), 0)]


def together(count: int, *, partition: int = 0) -> PartitionMessages:
    return PartitionMessages("domain", partition, [message() for _ in range(count)], [ANN] * count)


@asynccontextmanager
async def idle(connector: ScriptedConnector, *outcomes: Exception, timeout: float = 5.0) -> AsyncIterator[Producer]:
    """A producer whose next publish is sent by its caller: one event is stored, and the worker waits."""
    async with producing(connector, timeout=timeout) as producer:
        await publishing(producer)
        lane = producer._lanes["domain", 0]
        await until(lambda: lane.is_idle)
        connector.outcomes += outcomes
        connector.batches.clear()
        yield producer


async def test_a_publish_alone_is_sent_by_its_caller() -> None:
    connector = ScriptedConnector()
    async with idle(connector) as producer:
        senders: list[asyncio.Task[object] | None] = []
        connector.on_batch = lambda batch: senders.append(asyncio.current_task())
        await producer.publish(message(), topic="domain", partition_id=0, tenant_id=ANN)
        assert senders == [asyncio.current_task()]


async def test_what_gathers_behind_a_publish_alone_goes_together() -> None:
    connector = ScriptedConnector()
    async with idle(connector) as producer:
        connector.gate.clear()
        tasks = [publishing(producer) for _ in range(20)]
        await until(lambda: len(connector.batches) == 1)
        connector.gate.set()
        assert await asyncio.gather(*tasks) == list(range(1, 21))
    assert [len(batch) for batch in connector.batches] == [1, 19]
    assert connector.most_in_flight == 1


async def test_a_publish_alone_that_fails_is_repeated_by_the_worker() -> None:
    connector = ScriptedConnector()
    async with idle(connector, ConnectionLostError("cut"), ServerUnreachableError("down")) as producer:
        assert await publishing(producer) == 1
        assert producer.statistics.retries == 2
    assert connector.batches[0] == connector.batches[1] == connector.batches[2]


async def test_a_publish_alone_that_is_refused_fails_at_once() -> None:
    connector = ScriptedConnector()
    async with idle(connector, PermissionDeniedError("no right")) as producer:
        with pytest.raises(PermissionDeniedError):
            await publishing(producer)
        assert await publishing(producer) == 1
    assert len(connector.batches) == 2


async def test_cancelling_a_publish_alone_leaves_it_to_the_worker_before_all_others() -> None:
    connector = ScriptedConnector()
    async with idle(connector) as producer:
        connector.gate.clear()
        first, second = message(), message()
        cancelled = publishing(producer, first)
        await until(lambda: len(connector.batches) == 1)
        later = publishing(producer, second)
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        connector.gate.set()
        assert await later == 2
        assert producer.statistics.confirmed == 3
    assert connector.logs["domain", 0][1:] == [first.id, second.id]
    assert connector.most_in_flight == 1


async def test_a_publish_alone_has_the_deadline() -> None:
    connector = ScriptedConnector()
    async with idle(connector) as producer:
        producer._timeout = 0.05
        connector.gate.clear()
        with pytest.raises(RequestTimeoutError):
            await publishing(producer)
        assert producer.statistics.unknown == 1


async def test_closing_waits_for_a_publish_alone() -> None:
    connector = ScriptedConnector()
    async with idle(connector) as producer:
        connector.gate.clear()
        task = publishing(producer)
        await until(lambda: len(connector.batches) == 1)
        closing = asyncio.create_task(producer.aclose(timeout=5.0))
        await asyncio.sleep(0.01)
        assert not closing.done()
        connector.gate.set()
        assert await task == 1
        await closing


@pytest.mark.parametrize("outcome", [None, ZeroDivisionError("bug")])
async def test_a_publish_alone_that_is_answered_after_closing_is_settled_once(outcome: Exception | None) -> None:
    connector = ScriptedConnector()
    async with idle(connector) as producer:
        connector.gate.clear()
        task = publishing(producer)
        await until(lambda: len(connector.batches) == 1)
        await producer.aclose(timeout=0.01)
        connector.outcomes.append(outcome)  # the server answers all the same, before its connection ends
        connector.gate.set()
        await until(task.done)
        assert isinstance(task.exception(), RequestTimeoutError)
        counted = producer.statistics
        assert (counted.confirmed, counted.unknown, counted.queued) == (1, 1, 0)


async def test_a_bug_below_a_publish_alone_fails_it_and_no_other() -> None:
    connector = ScriptedConnector()
    async with idle(connector, ZeroDivisionError("bug")) as producer:
        with pytest.raises(ZeroDivisionError):
            await publishing(producer)
        assert await publishing(producer) == 1


async def test_any_mix_of_failures_cancellations_and_calls_keeps_order_and_counts() -> None:
    """Many publishers of four tenants, a third of the batches lost after they were stored, callers cancelled."""
    connector = ScriptedConnector(
        *[ConnectionLostError("cut") if index % 3 == 0 else None for index in range(150)], stores_before_failing=True
    )
    sent: dict[UUID, list[UUID]] = {UUID(int=tenant): [] for tenant in range(1, 5)}

    async def publisher(producer: Producer, tenant: UUID) -> None:
        for number in range(40):
            each = message()
            sent[tenant].append(each.id)
            task = publishing(producer, each, tenant=tenant)
            if number % 7 == 3:
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                task.cancel()
            await asyncio.wait({task})

    async with producing(connector) as producer:
        await asyncio.gather(*(publisher(producer, tenant) for tenant in sent))
        await until(lambda: producer.statistics.queued == 0)
        assert producer.statistics.confirmed == 160
    firsts = list(dict.fromkeys(connector.logs["domain", 0]))
    for ids in sent.values():
        assert [event for event in firsts if event in ids] == ids
    assert connector.most_in_flight == 1


async def test_a_cancelled_publish_alone_that_is_refused_later_may_be_stored_all_the_same() -> None:
    connector = ScriptedConnector()
    async with idle(connector) as producer:
        connector.gate.clear()
        cancelled = publishing(producer)
        await until(lambda: len(connector.batches) == 1)
        connector.outcomes.append(PermissionDeniedError("no right any more"))
        cancelled.cancel()
        await until(lambda: len(connector.batches) == 2)
        connector.gate.set()
        await until(lambda: producer.statistics.queued == 0)
        assert (producer.statistics.unknown, producer.statistics.failed) == (1, 0)
