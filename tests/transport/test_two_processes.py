"""Two processes that apply the same topology to the same server at the same moment."""

import asyncio
import sys
from pathlib import Path

import pytest

from rustok_iggy import IggyConfig, IggyTransport

pytestmark = pytest.mark.anyio

APPLY = """
import asyncio, sys
from rustok_iggy import IggyConfig, IggyTransport

async def main():
    directory, stream, days = sys.argv[1:]
    config = IggyConfig(
        embedded={"data_dir": directory, "engine": "local"},
        topology={"stream_name": stream},
        retention={"domain_max_age_days": float(days)},
    )
    async with IggyTransport(config) as transport:
        print((await transport.topology.drift()).differences)

asyncio.run(main())
"""


async def apply(directory: Path, stream: str, days: int) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", APPLY, str(directory), stream, str(days), stdout=-1, stderr=-1
    )
    out, err = await asyncio.wait_for(process.communicate(), 40)
    return process.returncode, out.decode() + err.decode()[-2000:] * (process.returncode != 0)


async def test_both_find_it_as_they_want_it(tmp_path: Path) -> None:
    config = IggyConfig(embedded={"data_dir": str(tmp_path), "engine": "local"}, topology={"stream_name": "keeper"})
    async with IggyTransport(config):  # keeps the server up, so that both start at the same thing: creating
        for days in (30, 5):  # all missing, then another retention
            results = await asyncio.gather(*(apply(tmp_path, "shared", days) for _ in range(2)))
            assert results == [(0, "()\n")] * 2
