"""A replay to a file in a process of its own, to be killed: python -m tests.replay.long_run DATA DIRECTORY ENGINE."""

import asyncio
import sys
from pathlib import Path

from rustok_iggy import IggyTransport, ReplayOptions, ReplayPlan, to_file
from tests.consumer.hosts import catalog
from tests.replay.test_over_servers import config_of

PACE = 400
"""Events a second: slow enough to be killed in the middle, also by a test that has to wait for its own turn."""


async def main(data: Path, directory: Path, engine: str) -> None:
    async with IggyTransport(config_of(engine, data), catalog=catalog) as transport:
        plan = await asyncio.to_thread(ReplayPlan.load, directory / "plan.json")
        options = ReplayOptions(checkpoint=directory / "checkpoint", resume=True, rate=PACE, interval=0.05)
        await transport.run_replay(plan, to_file(directory / "cut"), options=options)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]))
