"""Two processes that apply the same topology to the same server at the same moment."""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest

from rustok_iggy_connector import EmbeddedConnector, EmbeddedConnectorConfig, Engine
from tests.waiting import PROGRAM_WITHIN, WITHIN

pytestmark = pytest.mark.anyio

STREAMS = 20
"""So many that in some of them both find the same thing missing."""
APPLY = f"""
import asyncio, sys
from rustok_iggy import IggyConfig, TopologyManager
from rustok_iggy.topology import desired_topology
from rustok_iggy_connector import EmbeddedConnector

async def main():
    config = IggyConfig(embedded={{"data_dir": sys.argv[1], "engine": "local"}})
    async with EmbeddedConnector(config.embedded) as connector:
        print("ready", flush=True)
        sys.stdin.readline()
        for number in range({STREAMS}):
            desired = desired_topology(IggyConfig(topology={{"stream_name": f"shared-{{number}}"}}))
            manager = TopologyManager(connector.admin, desired)
            await manager.apply()
            assert not (await manager.drift()).differences

asyncio.run(main())
"""


async def start(directory: Path) -> Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", APPLY, str(directory), stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    assert process.stdout is not None
    assert await asyncio.wait_for(process.stdout.readline(), WITHIN) == b"ready\n"
    return process


async def test_both_find_everything_as_they_want_it(tmp_path: Path) -> None:
    async with EmbeddedConnector(EmbeddedConnectorConfig(data_dir=str(tmp_path), engine=Engine.LOCAL)):
        both = [await start(tmp_path) for _ in range(2)]
        working = asyncio.gather(*(process.communicate(b"go\n") for process in both))
        ended = await asyncio.wait_for(working, PROGRAM_WITHIN)
        assert [process.returncode for process in both] == [0, 0], [err.decode()[-2000:] for _, err in ended]
