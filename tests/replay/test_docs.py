"""The examples of docs/how-to/replay.md and docs/how-to/event-bus.md run as printed."""

from pathlib import Path

from tests.printed import code_blocks, run_printed

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
    (found,) = code_blocks(f"docs/{name}", "python")
    return found


def test_the_replay_runs_as_printed(tmp_path: Path) -> None:
    (tmp_path / "iggy.yaml").write_text(CONFIGURATION, encoding="utf-8")
    run_printed(PUBLISH, tmp_path)
    assert "3 of 3, 0 s to go" in run_printed(example("how-to/replay.md"), tmp_path)
    assert len((tmp_path / "orders.jsonl").read_bytes().splitlines()) == 3


def test_the_event_bus_runs_as_printed(tmp_path: Path) -> None:
    printed = run_printed(example("how-to/event-bus.md"), tmp_path)
    assert "billing 4200" in printed
    assert "1 handled" in printed
