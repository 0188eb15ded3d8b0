"""Replays over real servers: bounds by time, a live group beside them, a run that is killed."""

import asyncio
import json
import os
import signal
import sys
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from rustok_iggy import EventEnvelope, IggyConfig, IggyTransport, ReplayError, ReplayOptions, ReplayPlan, to_file
from tests.architecture.source_tree import ROOT
from tests.consumer.hosts import Counted, catalog
from tests.replay.histories import Handled
from tests.waiting import until

pytestmark = pytest.mark.anyio

ENGINES = [
    "local",
    pytest.param(
        "iggy-server",
        marks=pytest.mark.skipif("RUSTOK_IGGY_SERVER" not in os.environ, reason="RUSTOK_IGGY_SERVER names no binary"),
    ),
]


def config_of(engine: str, data: Path) -> IggyConfig:
    server = {"server_path": os.environ["RUSTOK_IGGY_SERVER"]} if engine == "iggy-server" else {}
    return IggyConfig(
        embedded={"data_dir": data, "engine": engine, **server},
        topology={"domain_partitions": 3},
        consumer={"heartbeat_interval": 0.2, "commit_interval": 0.1},
    )


@pytest.mark.parametrize("engine", ENGINES)
async def test_history_again_beside_a_live_group(engine: str, tmp_path: Path) -> None:
    tenants, live, again = [uuid4() for _ in range(5)], Handled(), Handled()

    def batch(numbers: range) -> list[EventEnvelope]:
        return [EventEnvelope.new(tenant, Counted(number=number)) for number in numbers for tenant in tenants]

    async with IggyTransport(config_of(engine, tmp_path / "data"), catalog=catalog) as transport:
        (await transport.publish_batch(batch(range(100)))).raise_for_failures()
        transport.subscribe(group="live")(live)
        async with transport.consuming():
            await until(lambda: len(live.seen) == 500)
            between = datetime.now(UTC)
            (await transport.publish_batch(batch(range(100, 150)))).raise_for_failures()
            early = await transport.plan_replay(end=between)
            late = await transport.plan_replay(start=between)
            assert (early.events, late.events) == (500, 250)
            await transport.run_replay(early, again)
            await until(lambda: len(live.seen) == 750)
        assert again.numbers == {tenant: list(range(100)) for tenant in tenants}
        assert live.numbers == {tenant: list(range(150)) for tenant in tenants}, "the replay took or gave events"
        assert set((await transport.lag(group="live", topic="domain")).values()) == {0}
        await transport.run_replay(late, again)
        assert set((await transport.lag(group="live", topic="domain")).values()) == {0}
        assert again.numbers == live.numbers


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_topic_made_anew_is_not_taken_for_the_one_that_was_planned(engine: str, tmp_path: Path) -> None:
    tenants, again = [uuid4() for _ in range(5)], Handled()
    old, new = (
        [EventEnvelope.new(tenant, Counted(number=each)) for each in range(5) for tenant in tenants] for _ in "12"
    )
    async with IggyTransport(config_of(engine, tmp_path / "data"), catalog=catalog) as transport:
        (await transport.publish_batch(old)).raise_for_failures()
        (await transport.plan_replay()).save(tmp_path / "plan.json")
        plan = ReplayPlan.load(tmp_path / "plan.json")
        await transport.run_replay(plan, again)
        assert len(again.seen) == len(old)
        await transport._connector.admin.delete_topic(stream="rustok", topic="domain")
        await transport.topology.apply()
        (await transport.publish_batch(old + new)).raise_for_failures()  # the same ids at the same offsets
        with pytest.raises(ReplayError, match="begun again since the plan was made"):
            await transport.run_replay(plan, again)
        assert len(again.seen) == len(old)


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_run_that_is_killed_goes_on_and_writes_each_event_once(engine: str, tmp_path: Path) -> None:
    tenants, data = [uuid4() for _ in range(5)], tmp_path / "data"
    async with IggyTransport(config_of(engine, data), catalog=catalog) as transport:
        events = [EventEnvelope.new(tenant, Counted(number=number)) for number in range(1000) for tenant in tenants]
        (await transport.publish_batch(events)).raise_for_failures()
        plan = await transport.plan_replay()
        plan.save(tmp_path / "plan.json")
        await transport.run_replay(plan, to_file(tmp_path / "whole"))
        for handled in (100, 250):  # of 5000: they would go on for ten seconds and more, and are killed long before
            await kill_when(tmp_path, data, engine, handled=handled)
        options = ReplayOptions(checkpoint=tmp_path / "checkpoint", resume=True)
        progress = await transport.run_replay(plan, to_file(tmp_path / "cut"), options=options)
        assert progress.handled == plan.events
        assert (tmp_path / "cut").read_bytes() == (tmp_path / "whole").read_bytes()


async def kill_when(directory: Path, data: Path, engine: str, *, handled: int) -> None:
    def done() -> int:
        with suppress(FileNotFoundError):
            return int(json.loads((directory / "checkpoint").read_bytes())["handled"])
        return 0

    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.replay.long_run", str(data), str(directory), engine),
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        await until(lambda: done() >= handled or process.returncode is not None)
        assert process.returncode is None, "it ended by itself"
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
        await process.wait()
