"""Lanes at work, over a server in memory: side by side, failures, time limits, acknowledging, pausing, duplicates."""

import asyncio
import threading
from collections import Counter
from typing import Any

import pytest

from rustok_iggy import (
    Block,
    ConfigError,
    ConsumerError,
    HealthStatus,
    MemoryTransport,
    ParkTenant,
    Reject,
    Retry,
    RetryLater,
    Stop,
)
from rustok_iggy.consumer.breaker import FAILURES_IN_A_ROW
from rustok_iggy.consumer.lane_runner import LaneRunner
from rustok_iggy.consumer.member import GroupMember
from rustok_iggy_connector import InMemoryConnector, MemoryServer, OutgoingMessage, PublishBatch
from tests.consumer.hosts import TENANT, Recorder, counted, tenants, transport
from tests.consumer.scripted import SERIALIZER
from tests.waiting import until

pytestmark = pytest.mark.anyio

AT_ONCE = Retry(attempts=3, delay=0.001, max_delay=0.005)


async def test_tenants_run_side_by_side_and_each_in_order() -> None:
    running: Counter[Any] = Counter()
    most, seen = 0, []

    async def handler(envelope: Any, context: Any) -> None:
        nonlocal most
        running[envelope.tenant_id] += 1
        assert running[envelope.tenant_id] == 1, "one tenant at a time"
        most = max(most, running.total())
        await asyncio.sleep(0.001)
        running[envelope.tenant_id] -= 1
        seen.append(envelope)

    owners = tenants(8)
    async with transport(MemoryServer(), partitions=2) as host:
        host.subscribe(group="g", max_concurrency=4)(handler)
        await host.publish_batch([counted(number, owner) for number in range(20) for owner in owners])
        async with host.consuming():
            await until(lambda: len(seen) == 160)
        assert sum((await host.lag(group="g", topic="domain")).values()) == 0
    assert most == 4
    for owner in owners:
        assert [each.event.number for each in seen if each.tenant_id == owner] == list(range(20))


async def test_ordering_by_partition_has_one_lane() -> None:
    running = most = 0
    seen = []

    async def handler(envelope: Any, context: Any) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1
        seen.append(context.offset)

    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", ordering="partition")(handler)
        await host.publish_batch([counted(number, owner) for number in range(5) for owner in tenants(5)])
        async with host.consuming():
            await until(lambda: len(seen) == 25)
    assert (most, seen) == (1, list(range(25)))


async def test_a_blocked_tenant_holds_the_offset_and_nobody_else() -> None:
    broken = True
    ill, *well = tenants(4)

    def fail(envelope: Any) -> None:
        if broken and envelope.tenant_id == ill:
            raise LookupError

    handler = Recorder(fail)
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", on_failure=Block(retry=AT_ONCE))(handler)
        await host.publish_batch([counted(number, owner) for number in range(10) for owner in (ill, *well)])
        async with host.consuming():
            await until(lambda: len(handler.seen) == 30)
            assert (await host.lag(group="g", topic="domain"))[0] == 40
            await until(lambda: host.statistics().consuming.retried > 3)
            broken = False
            await until(lambda: len(handler.seen) == 40)
        assert await host.lag(group="g", topic="domain") == {0: 0}
    assert handler.per_tenant()[ill] == list(range(10))
    assert next(c for e, c in handler.seen if e.tenant_id == ill).attempt > 3


async def test_what_may_be_done_ahead_is_bounded_and_health_names_who_holds_it() -> None:
    ill, well = tenants(2)

    def fail(envelope: Any) -> None:
        if envelope.tenant_id == ill:
            raise LookupError

    handler = Recorder(fail)
    async with transport(MemoryServer(), max_ahead=20) as host:
        host.subscribe(group="g", on_failure=Block(retry=AT_ONCE))(handler)
        await host.publish_batch([counted(0, ill), *(counted(number, well) for number in range(50))])
        async with host.consuming():
            await until(lambda: any(str(ill) in each for each in host.health().reasons))
            await until(lambda: len(handler.seen) == 19)


async def test_retry_later_runs_the_same_delivery_again() -> None:
    def later(envelope: Any) -> None:
        if handler.entered < 4:
            raise RetryLater(0.001)

    handler = Recorder(later)
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", on_failure=Stop())(handler)
        await host.publish(counted(1))
        async with host.consuming():
            await until(lambda: bool(handler.seen))
    assert handler.seen[0][1].attempt == 4


async def open_breaker(host: MemoryTransport) -> GroupMember:
    """Everything has failed, and the first probe is due; return the only member."""
    await until(lambda: host._consuming.consumption)
    consumption = host._consuming.consumption
    assert consumption is not None
    (member,) = consumption.members
    for number in range(FAILURES_IN_A_ROW):
        member._services.breaker.failed(number, 0.0)
    assert member._services.breaker.is_open
    return member


async def test_the_breaker_counts_tenants_also_where_they_share_a_lane() -> None:
    def fail(envelope: Any) -> None:
        raise LookupError

    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", ordering="partition", on_failure=ParkTenant(retry=Retry(attempts=1)))(Recorder(fail))
        await host.publish_batch([counted(0, tenant) for tenant in tenants(2 * FAILURES_IN_A_ROW)])
        async with host.consuming():
            await until(lambda: host.statistics().groups[0].standing.is_breaker_open)
        assert host.statistics().consuming.letters == FAILURES_IN_A_ROW - 1


async def test_a_probe_that_fails_under_stop_is_followed_by_another() -> None:
    """The breaker does not count it, and must not take it for one that still runs: all lanes would wait for ever."""

    def fail_once(envelope: Any) -> None:
        if handler.entered == 1:
            raise LookupError

    handler = Recorder(fail_once)
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", on_failure=Stop(retry=AT_ONCE))(handler)
        async with host.consuming():
            await open_breaker(host)
            await host.publish(counted(1))
            await until(lambda: bool(handler.seen))


async def test_a_probe_that_fails_as_its_partition_is_lost_is_followed_by_another() -> None:
    entered = 0

    async def handler(envelope: Any, context: Any) -> None:
        nonlocal entered
        entered += 1
        if entered == 1:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise LookupError from None  # as libraries do that turn a cancellation into an error of theirs

    async with transport(MemoryServer()) as host:
        host.subscribe(group="g")(handler)
        async with host.consuming():
            member = await open_breaker(host)
            await host.publish(counted(1))
            await until(lambda: entered == 1)
            member.overtaken(0)
            await until(lambda: host.statistics().consuming.handled == 1)


async def test_a_rejected_event_stops_under_stop() -> None:
    def reject(envelope: Any) -> None:
        raise Reject("never")

    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", on_failure=Stop(retry=AT_ONCE))(Recorder(reject))
        await host.publish(counted(1))
        with pytest.raises(Reject):
            await host.run()
        assert await host.lag(group="g", topic="domain") == {0: 1}


@pytest.mark.parametrize("swallows", [False, True])
async def test_a_handler_that_runs_too_long_has_failed(swallows: bool) -> None:
    async def hang(envelope: Any, context: Any) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if not swallows:
                raise

    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", handler_timeout=0.05, on_failure=Stop())(hang)
        await host.publish(counted(1))
        with pytest.raises(TimeoutError, match=r"longer than 0\.05 s"):
            await host.run()
        assert await host.lag(group="g", topic="domain") == {0: 1}, "cancelled is not handled"


async def test_health_names_a_handler_that_does_not_end() -> None:
    handler = Recorder()
    handler.gate.clear()
    async with transport(MemoryServer(), stuck_after=0.05) as host:
        host.subscribe(group="g")(handler)
        async with host.consuming():
            await host.publish(counted(1))
            await until(lambda: any(str(TENANT) in each for each in host.health().reasons))
            assert host.health().status is HealthStatus.UNHEALTHY
            handler.gate.set()
            await until(lambda: host.health().is_healthy)


async def test_manual_acknowledgement_holds_the_lane_and_the_offset() -> None:
    handler = Recorder()
    async with transport(MemoryServer(), drain_timeout=0.2) as host:
        host.subscribe(group="g", ack="manual")(handler)
        await host.publish_batch([counted(number) for number in range(4)])
        async with host.consuming():
            await until(lambda: len(handler.seen) == 1)
            threading.Thread(target=handler.seen[0][1].ack).start()
            await until(lambda: len(handler.seen) == 2)
            await host.acknowledge(handler.seen[1][0].id)
            await until(lambda: len(handler.seen) == 3)
            with pytest.raises(ConsumerError, match="0 open deliveries"):
                await host.acknowledge(handler.seen[1][0].id)
        assert handler.numbers == [0, 1, 2]
        assert await host.lag(group="g", topic="domain") == {0: 2}


async def test_a_returning_handler_needs_no_ack() -> None:
    handler = Recorder()
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g")(handler)
        await host.publish(counted(1))
        async with host.consuming():
            await until(lambda: bool(handler.seen))
    with pytest.raises(ConsumerError, match="manual"):
        handler.seen[0][1].ack()


async def test_pausing_a_tenant_and_the_group() -> None:
    paused, other = tenants(2)
    handler = Recorder()
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g")(handler)
        host.pause(group="g", tenant_id=paused)
        async with host.consuming():
            await host.publish_batch([counted(1, paused), counted(1, other)])
            await until(lambda: len(handler.seen) == 1)
            host.pause(group="g")
            await host.publish(counted(2, other))
            host.resume(group="g", tenant_id=paused)
            await asyncio.sleep(0.1)  # nothing may happen, so there is nothing to wait for
            assert handler.per_tenant() == {other: [1]}
            host.resume(group="g")
            await until(lambda: len(handler.seen) == 3)
        with pytest.raises(ConfigError):
            host.pause(group="nobody")


async def test_a_tenant_that_cannot_be_paused_by_itself_is_refused() -> None:
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", ordering="partition")(Recorder())
        host.subscribe(group="h")(Recorder())
        with pytest.raises(ConfigError, match="pause the whole group"):
            host.pause(group="g", tenant_id=TENANT)
        with pytest.raises(ConfigError, match="must be a UUID, not str"):
            host.pause(group="h", tenant_id=str(TENANT))  # type: ignore[arg-type]  # what a request brings
        host.pause(group="g")


async def test_a_message_that_came_before_is_passed_over_also_after_a_new_start() -> None:
    server, handler = MemoryServer(), Recorder()
    event = counted(1)
    message = OutgoingMessage(id=event.id, payload=SERIALIZER.encode(event))
    copy = PublishBatch(stream="rustok", topic="domain", partition_id=0, messages=[message])
    for start, copies in enumerate((2, 1), start=1):
        async with transport(server) as host, InMemoryConnector(server) as raw:
            host.subscribe(group="g")(handler)
            for _ in range(copies):
                await raw.publish_batch(copy)
            async with host.consuming():
                await until(lambda host=host: host.statistics().consuming.polled > 0)  # type: ignore[misc]
                await host.publish(counted(2))
                await until(lambda start=start: handler.numbers.count(2) == start)  # type: ignore[misc]
            assert await host.lag(group="g", topic="domain") == {0: 0}
    assert handler.numbers.count(1) == 1


async def test_everything_failing_opens_the_breaker_and_it_closes_by_itself() -> None:
    broken = True

    def fail(envelope: Any) -> None:
        if broken:
            raise ConnectionError

    handler, owners = Recorder(fail), tenants(6)
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", on_failure=Block(retry=AT_ONCE))(handler)
        async with host.consuming():
            await host.publish_batch([counted(number, owner) for number in range(3) for owner in owners])
            await until(lambda: any("nearly every delivery fails" in each for each in host.health().reasons))
            broken = False
            await until(lambda: len(handler.seen) == 18)
            await until(lambda: host.health().is_healthy)
    assert all(numbers == [0, 1, 2] for numbers in handler.per_tenant().values())


async def test_members_that_join_leave_and_die_lose_nothing_and_keep_each_tenant_in_order() -> None:
    """Three members with slow handlers and failures; one is cut off in the middle, one leaves."""
    server, owners = MemoryServer(), tenants(9)
    done: list[tuple[Any, Any]] = []
    failed: set[Any] = set()

    async def handler(envelope: Any, context: Any) -> None:
        await asyncio.sleep(0.001)
        if envelope.event.number % 17 == 3 and envelope.id not in failed:
            failed.add(envelope.id)
            raise LookupError
        done.append((envelope.tenant_id, envelope.event.number))

    async def member(host: Any, stop: asyncio.Event) -> None:
        async with host.consuming():
            await stop.wait()

    async with (
        transport(server, partitions=3) as a,
        transport(server, partitions=3) as b,
        transport(server, partitions=3) as c,
    ):
        stops = [asyncio.Event() for _ in range(3)]
        for host in (a, b, c):
            host.subscribe(group="g", on_failure=Block(retry=AT_ONCE))(handler)
        async with asyncio.TaskGroup() as group:
            for number in range(60):
                await a.publish_batch([counted(number, owner) for owner in owners])
                if number in {5, 15, 25}:
                    index = (5, 15, 25).index(number)
                    group.create_task(member((a, b, c)[index], stops[index]))
                if number == 35:
                    server.hang_up()
                if number == 45:
                    stops[1].set()
                await asyncio.sleep(0.01)
            await until(lambda: len(set(done)) == 60 * len(owners))
            for stop in stops:
                stop.set()
        assert sum((await a.lag(group="g", topic="domain")).values()) == 0
    for owner in owners:
        firsts = list(dict.fromkeys(number for tenant, number in done if tenant == owner))
        assert firsts == list(range(60))


async def test_handlers_that_never_wait_need_no_task_for_each_tenant(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = counting_drains(monkeypatch)
    handler = Recorder()
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g")(handler)
        await host.publish_batch([counted(number, owner) for number in range(5) for owner in tenants(50)])
        async with host.consuming():
            await until(lambda: len(handler.seen) == 250)
    # About twelve polls of some twenty tenants each; while an offset is stored, further tasks go on.
    assert len(begun) < 50


async def test_an_open_breaker_costs_nothing_until_its_probe_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = counting_drains(monkeypatch)

    def fail(envelope: Any) -> None:
        raise LookupError

    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", on_failure=Block(retry=AT_ONCE))(Recorder(fail))
        await host.publish_batch([counted(number, owner) for number in range(10) for owner in tenants(10)])
        async with host.consuming():
            await until(lambda: any("nearly every delivery fails" in each for each in host.health().reasons))
            begun.clear()
            for _ in range(1000):
                await asyncio.sleep(0)
    assert len(begun) < 100


def counting_drains(monkeypatch: pytest.MonkeyPatch) -> list[LaneRunner]:
    """Return what grows by one with every task that is begun for lanes."""
    begun = []
    drain = LaneRunner._drain

    async def counting(self: LaneRunner) -> None:
        begun.append(self)
        await drain(self)

    monkeypatch.setattr(LaneRunner, "_drain", counting)
    return begun
