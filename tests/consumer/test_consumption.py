"""Consuming in groups, end to end over a server in memory: order, commits, failures, joining and leaving."""

import asyncio
import gc
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from rustok_iggy import (
    Block,
    ConfigError,
    ConsumerError,
    DecodeError,
    DeliveryContext,
    EventEnvelope,
    IggyConfig,
    MemoryTransport,
    Retry,
    Stop,
    TransportClosedError,
)
from rustok_iggy_connector import (
    ConnectorClosedError,
    InMemoryConnector,
    MemoryServer,
    OutgoingMessage,
    PublishBatch,
)
from tests.cancelling import at_each_wait
from tests.consumer.hosts import QUICK, TENANT, Ignored, Recorder, catalog, counted, tenants, transport
from tests.waiting import WITHIN, until

pytestmark = pytest.mark.anyio


async def test_events_are_handled_in_order_and_committed() -> None:
    server, handler = MemoryServer(), Recorder()
    async with transport(server) as host:
        host.subscribe(group="g")(handler)
        async with host.consuming():
            for number in range(50):
                await host.publish(counted(number))
            await until(lambda: len(handler.seen) == 50)
        assert handler.numbers == list(range(50))
        assert await host.lag(group="g", topic="domain") == {0: 0}
    assert [context.offset for _, context in handler.seen] == list(range(50))


async def test_the_context_says_where_the_event_stands() -> None:
    server, handler = MemoryServer(), Recorder()
    before = datetime.now(UTC) - timedelta(seconds=1)
    async with transport(server) as host:
        host.subscribe(group="g")(handler)
        async with host.consuming():
            confirmation = await host.publish(counted(1))
            await until(lambda: bool(handler.seen))
    (_, context) = handler.seen[0]
    assert context.position == ("domain", confirmation.partition_id, confirmation.offset)
    assert (context.group, context.attempt) == ("g", 1)
    assert before < context.timestamp < before + timedelta(seconds=60)
    assert context.fence == (*context.life, context.generation, context.position)
    assert context.generation > 0


async def test_a_new_member_goes_on_after_the_committed_offset() -> None:
    server = MemoryServer()
    for number in range(3):
        handler = Recorder()
        async with transport(server) as host:
            host.subscribe(group="g")(handler)
            async with host.consuming():
                await host.publish(counted(number))
                await until(lambda seen=handler.seen: bool(seen))  # type: ignore[misc]
        assert handler.numbers == [number]


async def test_two_groups_each_get_every_event() -> None:
    one, other = Recorder(), Recorder()
    async with transport(MemoryServer()) as host:
        host.subscribe(group="one")(one)
        host.subscribe(group="other")(other)
        async with host.consuming():
            await host.publish_batch([counted(number) for number in range(20)])
            await until(lambda: len(one.seen) == len(other.seen) == 20)
    assert one.numbers == other.numbers == list(range(20))


async def test_other_event_types_are_passed_over_and_committed() -> None:
    handler = Recorder()
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", event_types=["thing.counted"])(handler)
        async with host.consuming():
            for number in range(10):
                await host.publish(EventEnvelope.new(TENANT, Ignored(number=number)))
                await host.publish(counted(number))
            await until(lambda: len(handler.seen) == 10)
        assert handler.numbers == list(range(10))
        assert await host.lag(group="g", topic="domain") == {0: 0}
        consuming = host.statistics().consuming
        assert (consuming.polled, consuming.handled, consuming.filtered) == (20, 10, 10)


async def test_a_plain_function_runs_in_a_thread_one_event_after_the_other() -> None:
    threads: list[threading.Thread] = []
    numbers: list[int] = []

    def handler(envelope: EventEnvelope, context: object) -> None:
        threads.append(threading.current_thread())
        numbers.append(envelope.event.number)  # type: ignore[attr-defined]

    async with transport(MemoryServer()) as host:
        host.subscribe(group="g")(handler)
        async with host.consuming():
            await host.publish_batch([counted(number) for number in range(30)])
            await until(lambda: len(numbers) == 30)
    assert numbers == list(range(30))
    assert threading.main_thread() not in threads


async def test_a_failing_handler_stops_with_its_error_and_its_event_comes_again() -> None:
    server = MemoryServer()

    def fail_at_7(envelope: EventEnvelope) -> None:
        if envelope.event.number == 7:  # type: ignore[attr-defined]
            raise LookupError("no such thing")

    first, second = Recorder(fail_at_7), Recorder()
    async with transport(server) as host:
        await host.publish_batch([counted(number) for number in range(10)])
        host.subscribe(group="g", on_failure=Stop())(first)
        with pytest.raises(LookupError) as caught:
            await host.run()
        assert "group g, topic domain, partition 0, offset 7" in caught.value.__notes__[0]
        assert await host.lag(group="g", topic="domain") == {0: 3}
        assert "LookupError" in host.health().reasons[0]
    async with transport(server) as host:
        host.subscribe(group="g")(second)
        async with host.consuming():
            await until(lambda: len(second.seen) == 3)
    assert (first.numbers, second.numbers) == ([0, 1, 2, 3, 4, 5, 6], [7, 8, 9])


async def test_a_failure_interrupts_the_body_of_consuming() -> None:
    def fail(envelope: EventEnvelope) -> None:
        raise LookupError("no such thing")

    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", on_failure=Stop())(Recorder(fail))
        with pytest.raises(LookupError):
            async with host.consuming():
                await host.publish(counted(1))
                await asyncio.sleep(30)
        await asyncio.sleep(0)  # the cancellation of the body is over


async def test_a_failure_of_one_group_drains_the_others() -> None:
    async def fail_beside_the_good(envelope: EventEnvelope, context: DeliveryContext) -> None:
        await until(lambda: good.entered == 1)
        raise LookupError("no such thing")

    good = Recorder()
    good.gate.clear()
    async with transport(MemoryServer()) as host:
        host.subscribe(group="bad", on_failure=Stop())(fail_beside_the_good)
        host.subscribe(group="good")(good)
        running = asyncio.create_task(host.run())
        await host.publish(counted(1))
        await until(lambda: host.statistics().consuming.failed == 1)
        good.gate.set()
        with pytest.raises(LookupError):
            await running
        assert good.numbers == [1]
        assert await host.lag(group="good", topic="domain") == {0: 0}


async def test_a_cancellation_that_a_handler_lets_escape_is_a_failure() -> None:
    def cancel(envelope: EventEnvelope) -> None:
        raise asyncio.CancelledError

    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", on_failure=Stop())(Recorder(cancel))
        await host.publish(counted(1))
        with pytest.raises(ConsumerError):
            await host.run()


class NoException(BaseException):
    """As pytest's own outcomes are."""


@pytest.mark.parametrize("in_thread", [False, True])
async def test_what_is_no_exception_is_a_failure_as_well(in_thread: bool) -> None:
    """Let out, it would hold its tenant for ever, and nobody would hear of it."""

    async def fail(envelope: EventEnvelope, context: object) -> None:
        raise NoException

    def fail_in_thread(envelope: EventEnvelope, context: object) -> None:
        raise NoException

    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", on_failure=Stop())(fail_in_thread if in_thread else fail)
        with pytest.raises(ConsumerError, match="NoException") as caught:
            async with host.consuming():
                await host.publish(counted(1))
                await asyncio.sleep(10)
    assert isinstance(caught.value.__cause__, NoException)


async def test_a_thread_that_asks_an_empty_iterator_has_failed() -> None:
    """No future can hold StopIteration: before Python 3.12 it would never be done."""

    def first_of_none(envelope: EventEnvelope, context: object) -> None:
        next(iter(()))

    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", on_failure=Stop())(first_of_none)
        with pytest.raises(RuntimeError, match="StopIteration"):
            async with host.consuming():
                await host.publish(counted(1))
                await asyncio.sleep(10)


async def test_a_cancellation_for_time_that_becomes_another_error_ends_there() -> None:
    """As drivers do that wrap what interrupts them: the next attempt has its own time, and counts when it succeeds."""
    attempts: list[int] = []

    async def wrap_the_first(envelope: EventEnvelope, context: DeliveryContext) -> None:
        attempts.append(context.attempt)
        if context.attempt == 1:
            try:
                await asyncio.sleep(10)
            except asyncio.CancelledError:
                raise OSError from None

    async with transport(MemoryServer(), handler_timeout=0.1) as host:
        host.subscribe(group="g", on_failure=Block(retry=Retry(delay=0.01)))(wrap_the_first)
        async with host.consuming():
            await host.publish(counted(1))
            await until(lambda: host.statistics().consuming.handled == 1)
    assert attempts == [1, 2]


async def test_cancelling_run_finishes_what_is_in_flight_and_commits_it() -> None:
    handler = Recorder()
    handler.gate.clear()
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g")(handler)
        await host.publish_batch([counted(number) for number in range(5)])
        running = asyncio.create_task(host.run())
        await until(lambda: handler.entered == 1)
        running.cancel()
        await asyncio.sleep(0.02)
        handler.gate.set()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert handler.numbers == [0]
        assert await host.lag(group="g", topic="domain") == {0: 4}


async def test_closing_the_transport_ends_run_as_its_signal_does() -> None:
    """On close, too: what is in flight ends, may publish, and is committed; run() returns."""
    server, follow_up = MemoryServer(), list[EventEnvelope]()
    entered, gate = asyncio.Event(), asyncio.Event()

    async def handle(envelope: EventEnvelope, context: DeliveryContext) -> None:
        entered.set()
        await gate.wait()
        await host.publish(counted(100))
        follow_up.append(envelope)

    async with transport(server) as host:
        host.subscribe(group="g")(handle)
        await host.publish_batch([counted(number) for number in range(5)])
        running = asyncio.create_task(host.run())
        await entered.wait()
        closing = [asyncio.create_task(host.aclose()) for _ in range(2)]
        await asyncio.sleep(0.02)
        assert not any(task.done() for task in (running, *closing))
        gate.set()
        await asyncio.wait_for(asyncio.gather(running, *closing), WITHIN)
        with pytest.raises(TransportClosedError):
            await host.publish(counted(101))
    assert len(follow_up) == 1
    async with transport(server) as other:
        other.subscribe(group="g")(Recorder())
        assert await other.lag(group="g", topic="domain") == {0: 5}


async def test_closing_the_transport_leaves_the_body_of_consuming_alone() -> None:
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g")(Recorder())
        async with host.consuming():
            await asyncio.wait_for(host.aclose(), WITHIN)
            await asyncio.sleep(0)


async def test_a_transport_closes_though_a_handler_does_not_end(caplog: pytest.LogCaptureFixture) -> None:
    entered, may_end = asyncio.Event(), asyncio.Event()

    async def deaf(envelope: EventEnvelope, context: DeliveryContext) -> None:
        entered.set()
        while not may_end.is_set():
            try:
                await may_end.wait()
            except asyncio.CancelledError:
                continue

    config = IggyConfig(consumer={**QUICK, "drain_timeout": 0.05}, close_timeout=0.05)
    host = MemoryTransport(config, catalog=catalog)
    host.subscribe(group="g")(deaf)
    await host.open()
    await host.publish(counted(1))
    running = asyncio.create_task(host.run())
    await entered.wait()
    await asyncio.wait_for(host.aclose(), WITHIN)
    assert not running.done()
    assert "closed_while_consuming" in caplog.text
    may_end.set()
    await asyncio.wait([running])
    assert running.exception() is None or isinstance(running.exception(), ConnectorClosedError)


async def test_an_error_behind_a_cancellation_is_not_left_to_the_garbage_collector() -> None:
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))

    async def fail_beside_the_slow(envelope: EventEnvelope, context: DeliveryContext) -> None:
        await until(lambda: slow.entered == 1)
        raise LookupError

    slow = Recorder()
    slow.gate.clear()
    async with transport(MemoryServer()) as host:
        host.subscribe(group="slow")(slow)
        host.subscribe(group="ill", on_failure=Stop())(fail_beside_the_slow)
        running = asyncio.create_task(host.run())
        await host.publish(counted(1))
        await until(lambda: host.statistics().consuming.failed == 1)
        running.cancel()  # while the other one drains
        with pytest.raises(asyncio.CancelledError):
            await running
        del running
    gc.collect()
    await asyncio.sleep(0)
    assert unseen == []


async def test_a_handler_that_does_not_end_is_cancelled_and_its_event_not_committed() -> None:
    handler = Recorder()
    handler.gate.clear()
    async with transport(MemoryServer(), drain_timeout=0.1) as host:
        host.subscribe(group="g")(handler)
        await host.publish(counted(1))
        running = asyncio.create_task(host.run())
        await until(lambda: handler.entered == 1)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert handler.cancelled == 1
        assert await host.lag(group="g", topic="domain") == {0: 1}


async def test_a_thread_is_waited_for_before_its_partition_is_given_up() -> None:
    ended = threading.Event()
    began = threading.Event()

    def handler(envelope: EventEnvelope, context: object) -> None:
        began.set()
        time.sleep(0.3)
        ended.set()

    async with transport(MemoryServer(), drain_timeout=0.05) as host:
        host.subscribe(group="g")(handler)
        await host.publish(counted(1))
        running = asyncio.create_task(host.run())
        await until(began.is_set)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert ended.is_set()


async def test_undecodable_bytes_stop_with_their_position() -> None:
    server = MemoryServer()
    async with transport(server) as host, InMemoryConnector(server) as raw:
        handler = Recorder()
        host.subscribe(group="g", undecodable="stop")(handler)
        await host.publish(counted(1))
        await raw.publish_batch(
            PublishBatch(
                stream="rustok",
                topic="domain",
                partition_id=0,
                messages=[OutgoingMessage(id=TENANT, payload=b"\x00secret")],
            )
        )
        with pytest.raises(DecodeError, match="topic domain, partition 0, offset 1") as caught:
            await host.run()
        assert "secret" not in str(caught.value)
        assert handler.numbers == [1]
        assert await host.lag(group="g", topic="domain") == {0: 1}


async def test_one_event_type_has_one_handler_in_a_group() -> None:
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", event_types=["thing.counted"])(Recorder())
        host.subscribe(group="g", event_types=["thing.ignored"])(Recorder())
        host.subscribe(group="other")(Recorder())
        with pytest.raises(ConfigError, match=r"both handle thing\.counted"):
            host.subscribe(group="g", event_types=["thing.counted"])(Recorder())


async def test_two_handlers_of_one_group_share_its_offset() -> None:
    counts, others = Recorder(), Recorder()
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", event_types=["thing.counted"])(counts)
        host.subscribe(group="g", event_types=["thing.ignored"])(others)
        async with host.consuming():
            for number in range(6):
                await host.publish(EventEnvelope.new(TENANT, Ignored(number=number)) if number % 2 else counted(number))
            await until(lambda: len(counts.seen) + len(others.seen) == 6)
    assert (counts.numbers, others.numbers) == ([0, 2, 4], [1, 3, 5])


async def test_subscribing_while_consuming_is_refused() -> None:
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g")(Recorder())
        async with host.consuming():
            await until(lambda: host._consumption is not None)
            with pytest.raises(ConfigError, match="before run"):
                host.subscribe(group="late")(Recorder())


async def test_latest_leaves_out_what_was_there_and_misses_nothing_later() -> None:
    server, first, second = MemoryServer(), Recorder(), Recorder()
    async with transport(server) as host:
        await host.publish(counted(1))
        host.subscribe(group="g", start="latest")(first)
        async with host.consuming():
            await until(lambda: host._consumption is not None and host._consumption.members[0].partitions == (0,))
        await host.publish(counted(2))
    async with transport(server) as host:
        host.subscribe(group="g", start="latest")(second)
        async with host.consuming():
            await host.publish(counted(3))
            await until(lambda: len(second.seen) == 2)
    assert (first.numbers, second.numbers) == ([], [2, 3])


async def test_latest_misses_nothing_either_that_comes_to_an_empty_partition() -> None:
    """There the offset at which the group began cannot be stored, and nothing may have been committed when it ends."""
    server, first, second = MemoryServer(), Recorder(), Recorder()
    first.gate.clear()
    async with transport(server, drain_timeout=0.05) as host:
        host.subscribe(group="g", start="latest")(first)
        async with host.consuming():
            await until(lambda: host._consumption is not None and host._consumption.members[0].partitions == (0,))
            await host.publish_batch([counted(1), counted(2)])
            await until(lambda: first.entered == 1)
    async with transport(server) as host:
        host.subscribe(group="g", start="latest")(second)
        async with host.consuming():
            await until(lambda: len(second.seen) == 2)
    assert (first.numbers, second.numbers) == ([], [1, 2])


@pytest.mark.parametrize("start", ["latest", datetime.now(UTC) + timedelta(days=1)])
async def test_a_group_that_is_reset_to_the_earliest_event_begins_there_wherever_a_new_one_would(
    start: str | datetime,
) -> None:
    server, handler = MemoryServer(), Recorder()
    async with transport(server) as host:
        await host.publish_batch([counted(1), counted(2)])
        host.subscribe(group="g", start=start)(handler)
        async with host.consuming():
            await until(lambda: host.statistics().groups[0].standing.partitions == 1)
            await host.publish(counted(3))
            await until(lambda: handler.numbers == [3])
    async with transport(server) as operator:
        await operator.groups.reset(await operator.groups.plan_reset(topic="domain", group="g", to="earliest"))
    async with transport(server) as host:
        host.subscribe(group="g", start=start)(handler)
        async with host.consuming():
            await until(lambda: handler.numbers == [3, 1, 2, 3])


def has_dealt(host: MemoryTransport, times: int) -> bool:
    return host.statistics().consuming.rebalances >= times


async def made_anew(server: MemoryServer, *, events: int) -> None:
    """A group claims under several generations; then its topic is deleted and made again, with as many events."""
    handler = Recorder()
    async with transport(server) as one, transport(server) as other:
        one.subscribe(group="g")(handler)
        other.subscribe(group="g")(Recorder())
        await one.publish_batch([counted(number) for number in range(events)])
        async with one.consuming():
            await until(lambda: len(handler.seen) == events and one.statistics().groups[0].standing.partitions == 1)
            for _ in range(5):
                before = one.statistics().consuming.rebalances
                async with other.consuming():
                    await until(partial(has_dealt, one, before + 1))
                await until(partial(has_dealt, one, before + 2))
        admin, stream = one._connector.admin, one.config.topology.stream_name
        spec = next(each for each in one.topology.desired.topics if each.name == "domain")
        await admin.delete_topic(stream=stream, topic="domain")
        await admin.create_topic(stream=stream, spec=spec)
        await one.publish_batch([counted(number) for number in range(events)])


async def test_a_topic_made_anew_does_not_have_its_groups_claim_for_ever() -> None:
    """Its groups' ids and generations begin again: without the topic's own time each claim would be void."""
    server, handler = MemoryServer(), Recorder()
    await made_anew(server, events=0)
    async with transport(server) as host:
        host.subscribe(group="g")(handler)
        async with host.consuming():
            await host.publish(counted(7))
            await until(lambda: handler.numbers == [7])
            assert host.statistics().consuming.lost_partitions == 0


async def test_a_group_of_a_topic_made_anew_can_be_reset() -> None:
    server, handler = MemoryServer(), Recorder()
    await made_anew(server, events=3)
    async with transport(server) as operator:
        await operator._connector.admin.create_group(
            stream=operator.config.topology.stream_name, topic="domain", group="g"
        )
        await operator.groups.reset(await operator.groups.plan_reset(topic="domain", group="g", to="earliest"))
    async with transport(server) as host:
        host.subscribe(group="g")(handler)
        async with host.consuming():
            await until(lambda: len(handler.seen) == 3, within=1)


async def test_a_group_may_start_at_a_time() -> None:
    server, handler = MemoryServer(), Recorder()
    async with transport(server) as host:
        await host.publish(counted(1))
        await asyncio.sleep(0.002)
        moment = datetime.now(UTC)
        await asyncio.sleep(0.002)
        await host.publish(counted(2))
        host.subscribe(group="g", start=moment)(handler)
        async with host.consuming():
            await until(lambda: bool(handler.seen))
    assert handler.numbers == [2]


async def test_members_share_the_partitions_and_keep_each_tenant_in_order() -> None:
    """A second member joins under load, and later leaves: nothing is lost, each tenant's first deliveries in order."""
    server, one, two = MemoryServer(), Recorder(), Recorder()
    owners = tenants(12)
    async with transport(server, partitions=4) as a, transport(server, partitions=4) as b:
        a.subscribe(group="g")(one)
        b.subscribe(group="g")(two)
        async with a.consuming():
            for number in range(30):
                await a.publish_batch([counted(number, tenant) for tenant in owners])
            async with b.consuming():
                for number in range(30, 60):
                    await a.publish_batch([counted(number, tenant) for tenant in owners])
                    await asyncio.sleep(0.02)
                await until(lambda: b._consumption is not None and bool(b._consumption.members[0].partitions))
                for number in range(60, 90):
                    await a.publish_batch([counted(number, tenant) for tenant in owners])
                await until(lambda: bool(two.seen))
            for number in range(90, 100):
                await a.publish_batch([counted(number, tenant) for tenant in owners])
            await until(lambda: len({e.id for e, _ in one.seen + two.seen}) == 100 * len(owners))
        assert sum((await a.lag(group="g", topic="domain")).values()) == 0
    for tenant in owners:
        times = sorted((c.position, e.event.number) for e, c in one.seen + two.seen if e.tenant_id == tenant)
        firsts = list(dict.fromkeys(number for _, number in times))
        assert firsts == list(range(100))
    duplicates = Counter(e.id for e, _ in one.seen + two.seen)
    assert sum(duplicates.values()) - len(duplicates) < 600


async def test_members_share_an_empty_topic_without_fighting_over_it() -> None:
    """Nothing is stored there, so no store can tell a hand-over from a loss; nothing runs there either."""
    server, one, two = MemoryServer(), Recorder(), Recorder()
    async with transport(server, partitions=2) as a, transport(server, partitions=2) as b:
        a.subscribe(group="g")(one)
        b.subscribe(group="g")(two)
        async with a.consuming():
            await until(lambda: a._consumption is not None and len(a._consumption.members[0].partitions) == 2)
            async with b.consuming():
                await until(lambda: b._consumption is not None and len(b._consumption.members[0].partitions) == 1)
                await a.publish_batch([counted(number, owner) for number in range(5) for owner in tenants(12)])
                await until(lambda: len(one.seen) + len(two.seen) == 60)
                assert one.seen
                assert two.seen
                assert a.statistics().consuming.lost_partitions == 1
                assert b.statistics().consuming.lost_partitions == 0


async def test_the_first_handlers_may_end_when_another_member_joins() -> None:
    """Nothing was ever stored, but something runs: it ends, is stored, and is not run again."""
    server, one, two = MemoryServer(), Recorder(), Recorder()
    one.gate.clear()
    owners = tenants(12)
    async with transport(server, partitions=2) as a, transport(server, partitions=2) as b:
        a.subscribe(group="g")(one)
        b.subscribe(group="g")(two)
        async with a.consuming():
            await a.publish_batch([counted(number, owner) for number in range(5) for owner in owners])
            await until(lambda: one.entered == len(owners))
            async with b.consuming():
                assert a._consumption is not None
                await until(lambda: any(each.is_held for each in a._consumption.members[0]._consumers.values()))
                one.gate.set()
                await until(lambda: len(one.seen) + len(two.seen) >= 60)
                await until(lambda: b._consumption is not None and len(b._consumption.members[0].partitions) == 1)
    assert one.cancelled == 0
    assert max(Counter(e.id for e, _ in one.seen + two.seen).values()) == 1


async def test_a_cooperative_hand_over_repeats_nothing() -> None:
    server, one, two = MemoryServer(), Recorder(), Recorder()
    owners = tenants(12)
    async with transport(server, partitions=4) as a, transport(server, partitions=4) as b:
        a.subscribe(group="g")(one)
        b.subscribe(group="g")(two)
        async with a.consuming():
            results = await a.publish_batch([counted(number, tenant) for number in range(50) for tenant in owners])
            filled = {each.confirmation.partition_id for each in results if each.confirmation is not None}
            # Polled and not begun, a partition is given up: what was polled holds it at the server for 30 s.
            await until(lambda: {context.partition_id for _, context in one.seen} == filled)
            joined = asyncio.create_task(b.run())
            await until(lambda: b._consumption is not None and len(b._consumption.members[0].partitions) == 2)
            assert a._consumption is not None
            await until(lambda: len(a._consumption.members[0].partitions) == 2)
            await a.publish_batch([counted(number, tenant) for number in range(50, 100) for tenant in owners])
            await until(lambda: len(one.seen) + len(two.seen) >= 100 * len(owners))
        joined.cancel()
        with pytest.raises(asyncio.CancelledError):
            await joined
    assert max(Counter(e.id for e, _ in one.seen + two.seen).values()) == 1
    assert two.seen


async def test_a_cut_connection_is_mended_and_nothing_is_lost() -> None:
    server, handler = MemoryServer(), Recorder()
    async with transport(server, partitions=2) as host:
        host.subscribe(group="g")(handler)
        async with host.consuming():
            owners = tenants(6)
            for number in range(40):
                await host.publish_batch([counted(number, tenant) for tenant in owners])
                if number % 10 == 5:
                    server.hang_up()
            await until(lambda: len({e.id for e, _ in handler.seen}) == 240)
            await until(lambda: host.health().is_healthy)
    for tenant in owners:
        assert list(dict.fromkeys(handler.per_tenant()[tenant])) == list(range(40))


async def test_after_a_handler_that_blocked_the_loop_nothing_begins_before_the_server_was_asked() -> None:
    known: list[bool] = []

    def block_in_the_first(envelope: EventEnvelope) -> None:
        assert host._consumption is not None
        known.append(host._consumption.members[0].may_begin())
        if envelope.event.number == 0:  # type: ignore[attr-defined]
            time.sleep(0.3)  # six heartbeats, in which others may have got the partition

    handler = Recorder(block_in_the_first)
    async with transport(MemoryServer(), commit_interval=10.0) as host:  # a commit would ask as well
        host.subscribe(group="g")(handler)
        await host.publish_batch([counted(number) for number in range(5)])
        async with host.consuming():
            await until(lambda: len(handler.seen) == 5)
    assert handler.numbers == list(range(5))
    assert known == [True] * 5


async def test_wherever_its_end_is_cancelled_nothing_of_it_is_left() -> None:
    """The members have ended and left, the journals' session is closed, the threads of plain handlers are gone."""
    for cancellation in at_each_wait():
        async with transport(MemoryServer(), drain_timeout=0.5) as host:
            stop, blocked = asyncio.Event(), Recorder()
            blocked.gate.clear()
            host.subscribe(group="in-a-thread")(partial(tell, asyncio.get_running_loop(), stop))
            host.subscribe(group="blocked")(blocked)
            await host.publish(counted(1))
            before = set(threading.enumerate())
            await cancellation(host._consume(stop))
            assert [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("consume")] == []
            assert not connector_of(host)._subscribers, cancellation.place
            await until(partial(handler_threads_are_gone, before))


def connector_of(host: MemoryTransport) -> InMemoryConnector:
    assert isinstance(host._connector, InMemoryConnector)
    return host._connector


def handler_threads_are_gone(before: set[threading.Thread]) -> bool:
    return not [each for each in set(threading.enumerate()) - before if each.name.startswith("rustok-iggy-handler")]


def tell(loop: asyncio.AbstractEventLoop, stop: asyncio.Event, envelope: EventEnvelope, context: object) -> None:
    loop.call_soon_threadsafe(stop.set)
