"""Liveness and readiness tell what the brief of delivery.md asks: not green while a consumer is dead."""

import asyncio

import pytest

from rustok_iggy import ConsumerError, HealthStatus, Stop
from rustok_iggy.consumer.liveness import behind, stalled
from rustok_iggy_connector import MemoryServer
from tests.consumer.hosts import Recorder, counted, transport
from tests.waiting import until

pytestmark = pytest.mark.anyio


def task_named(name: str) -> asyncio.Task[object]:
    return next(task for task in asyncio.all_tasks() if task.get_name() == name)


async def test_a_killed_consumer_is_not_green_and_its_host_hears_of_it() -> None:
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g")(Recorder())
        with pytest.raises(ConsumerError, match="cancelled from outside"):
            async with host.consuming():
                await until(lambda: host.health().is_ready)
                task_named("consume g/domain").cancel()
                await asyncio.sleep(30)
        report = host.health()
        assert not report.is_ready
        assert report.status is HealthStatus.UNHEALTHY
        assert any("stopped with ConsumerError" in reason for reason in report.reasons)


async def test_a_killed_partition_is_taken_up_again() -> None:
    handler = Recorder()
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g")(handler)
        async with host.consuming():
            await until(lambda: host.health().is_ready)
            await until(lambda: host.statistics().groups[0].standing.partitions == 1)
            task_named("consume g/domain/0").cancel()
            await host.publish(counted(1))
            await until(lambda: handler.numbers == [1])
            await until(lambda: host.health().is_ready)


async def test_a_run_that_ended_is_not_green() -> None:
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g")(Recorder())
        running = asyncio.create_task(host.run())
        await until(lambda: host.health().is_ready)
        running.cancel()
        await asyncio.wait({running})
        assert not host.health().is_ready
        assert any("nothing is consumed" in reason for reason in host.health().reasons)
        assert host.health().is_live, "a restart would not help: nobody asked for consuming"


async def test_a_transport_that_only_publishes_is_ready() -> None:
    async with transport(MemoryServer()) as host:
        assert host.health().is_ready
        assert host.health().is_live


async def test_a_stopped_subscription_is_not_ready() -> None:
    def fail(envelope: object) -> None:
        raise LookupError

    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", on_failure=Stop())(Recorder(fail))
        await host.publish(counted(1))
        with pytest.raises(LookupError):
            await host.run()
        assert not host.health().is_ready


async def test_one_stuck_lane_is_unready_and_all_handlers_stuck_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rustok_iggy.consumer.liveness.PATIENCE", 3.0)
    handler = Recorder()
    handler.gate.clear()
    limits = {"stuck_after": 0.1, "handler_timeout": 0, "max_concurrency": 1}
    async with transport(MemoryServer(), **limits) as host:
        host.subscribe(group="g")(handler)
        async with host.consuming():
            await host.publish(counted(1))
            await until(lambda: not host.health().is_ready and host.statistics().groups[0].standing.stuck == 1)
            await until(lambda: not host.health().is_live)
            assert "g/domain: all 1 handlers" in host.health().stalled[0]
            handler.gate.set()
            await until(lambda: host.health().is_ready)


async def test_too_much_lag_is_not_ready_and_the_limit_is_the_hosts() -> None:
    handler = Recorder()
    handler.gate.clear()
    async with transport(MemoryServer(), max_lag=3, lag_interval=0.02) as host:
        host.subscribe(group="g")(handler)
        async with host.consuming():
            await until(lambda: host.health().is_ready)
            await host.publish_batch([counted(number) for number in range(5)])
            # It is unready too when this machine stood still for some heartbeats: that passes.
            await until(lambda: any("5 events behind, more than max_lag (3)" in each for each in host.health().reasons))
            assert not host.health().is_ready
            handler.gate.set()
            await until(lambda: host.health().is_ready)


def test_liveness_looks_at_rounds_and_at_all_slots() -> None:
    quiet = {"since_round": 1.0, "running_long": 1, "slots": 2, "limit": 10.0}
    assert not list(stalled(**quiet))
    assert "has not looked after" in next(stalled(**{**quiet, "since_round": 10.0}))
    assert "all 2 handlers" in next(stalled(**{**quiet, "running_long": 2}))


def test_no_limit_means_never_behind() -> None:
    assert not list(behind({0: 10**9}, limit=0))
    assert list(behind({1: 5, 0: 3}, limit=4)) == ["partition 1 is 5 events behind, more than max_lag (4)"]
