"""The examples of docs/replay.md and docs/event-bus.md run as printed."""

import re
import subprocess
import sys
from pathlib import Path

from tests.architecture.source_tree import ROOT

PUBLISH = """
import asyncio
from uuid import uuid4
from rustok_iggy import EventEnvelope, IggyConfig, IggyTransport
from rustok_iggy.events import OrderCompleted, OrderPlaced

async def main():
    async with IggyTransport(IggyConfig.load("iggy.yaml")) as transport:
        for _ in range(3):
            order, tenant = uuid4(), uuid4()
            placed = OrderPlaced(order_id=order, customer_id=None, total=4200, currency="EUR")
            await transport.publish(EventEnvelope.new(tenant, placed))
            await transport.publish(EventEnvelope.new(tenant, OrderCompleted(order_id=order)))

asyncio.run(main())
"""
CONFIGURATION = "mode: embedded\nembedded: {engine: local}\n"


def example(name: str) -> str:
    (found,) = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / name).read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return found


def run(code: str, directory: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=directory,
        env={"PATH": "", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_replay_runs_as_printed(tmp_path: Path) -> None:
    (tmp_path / "iggy.yaml").write_text(CONFIGURATION, encoding="utf-8")
    run(PUBLISH, tmp_path)
    assert "3 of 3, 0 s to go" in run(example("replay.md"), tmp_path)
    assert len((tmp_path / "orders.jsonl").read_bytes().splitlines()) == 3


def test_the_event_bus_runs_as_printed(tmp_path: Path) -> None:
    printed = run(example("event-bus.md"), tmp_path)
    assert "billing 4200" in printed
    assert "1 handled" in printed
