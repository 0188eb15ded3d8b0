"""Nothing of tracing is loaded, and nothing is paid for it, until somebody sets a tracer provider."""

import subprocess
import sys

import pytest

from tests.waiting import PROGRAM_WITHIN

PROGRAM = """
import asyncio, sys
{before}
from rustok_iggy import EventEnvelope, MemoryTransport
from rustok_iggy.events import OrderCompleted
import uuid

async def main():
    async with MemoryTransport() as transport:
        order = OrderCompleted(order_id=uuid.uuid4())
        await transport.publish(EventEnvelope.new(uuid.uuid4(), order))
        loaded = ["opentelemetry" in sys.modules, "rustok_iggy.tracing.spans" in sys.modules]
        print(transport._tracing is not None, *loaded)

asyncio.run(main())
"""

SETS_PROVIDER = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
trace.set_tracer_provider(TracerProvider())
"""


@pytest.mark.parametrize(
    ("before", "printed"),
    [
        ("", "False False False"),
        ("import opentelemetry.trace", "False True True"),
        (SETS_PROVIDER, "True True True"),
        ("sys.modules['opentelemetry'] = None", "False True False"),
    ],
    ids=["nobody traces", "no provider", "a provider", "not installed"],
)
def test_tracing_begins_with_a_provider(before: str, printed: str) -> None:
    program = PROGRAM.format(before=before)
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=PROGRAM_WITHIN, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == printed
