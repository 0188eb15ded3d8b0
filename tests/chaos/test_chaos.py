"""The chaos run: short in every test run, a minute long when asked for, each with a new seed that a failure prints."""

import os
import secrets
from pathlib import Path

import pytest

from tests.chaos.chaos_run import Plan, run

pytestmark = pytest.mark.anyio
needs_iggy_server = pytest.mark.skipif(
    "RUSTOK_IGGY_SERVER" not in os.environ, reason="RUSTOK_IGGY_SERVER names no binary"
)
ENGINES = [
    "local",
    pytest.param("iggy-server", marks=needs_iggy_server),
    pytest.param("remote", marks=needs_iggy_server),
]


@pytest.mark.timeout(180)  # a partition whose owner changed twice at once may wait for the server's 30 s
async def test_nothing_is_lost_and_every_tenant_keeps_its_order(tmp_path: Path) -> None:
    plan = Plan(engine="local", seed=secrets.randbits(32), seconds=5, bad_share=0.03, interval=0.8)
    report = await run(plan, tmp_path)
    assert not report.violations, report


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("engine", ENGINES)
async def test_a_process_killed_every_second_for_a_minute(engine: str, tmp_path: Path) -> None:
    report = await run(Plan(engine=engine, seed=secrets.randbits(32), seconds=60), tmp_path)
    print(report)
    assert not report.violations, report
