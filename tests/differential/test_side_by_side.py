"""The local server beside iggy-server, in series that nobody has seen: each run draws its own seeds.

iggy-server purges after it has answered (docs/decisions/0005), so now and then a series meets messages there that are
gone here: what differs is run again, and only what differs every time is a difference.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from rustok_iggy_connector import EmbeddedConnectorConfig
from rustok_iggy_connector.data_directory import Credentials, DataDirectory
from rustok_iggy_connector.engines import Engine, find_program, launch
from rustok_iggy_connector.process import ServerProcess
from tests.differential.test_oracle import assert_same, outcomes
from tests.local_server.program import running

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.slow,
    pytest.mark.skipif("RUSTOK_IGGY_SERVER" not in os.environ, reason="RUSTOK_IGGY_SERVER names no binary"),
]
SEEDS = [f"seed-{random.randrange(10**6, 10**9)}" for _ in range(12)]
GROUPS = [f"groups-{random.randrange(10**6, 10**9)}" for _ in range(2)]
TRIES = 4
STOP_TIMEOUT = 10.0


@asynccontextmanager
async def iggy_server(path: Path) -> AsyncIterator[int]:
    """Its port, on data of its own; the series logs in as iggy/iggy."""
    binary = os.environ["RUSTOK_IGGY_SERVER"]
    config = EmbeddedConnectorConfig(data_dir=str(path), engine=Engine.IGGY_SERVER, server_path=binary)
    directory, program = DataDirectory(config.data_dir), find_program(config, holds=None)
    directory.prepare()
    lock = directory.try_lock()
    assert lock is not None
    settings = launch(
        program, data_dir=directory.path, port=0, credentials=Credentials(username="iggy", password="iggy")
    )
    process = ServerProcess(settings, directory=directory, secret="iggy")
    process.start(lock)
    try:
        address = await process.listening()
        assert address is not None, "\n".join(process.log_tail())
        yield int(address.rpartition(":")[2])
    finally:
        await process.stop(STOP_TIMEOUT)
        lock.release()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("series", range(len(SEEDS + GROUPS)))
async def test_a_new_series_ends_as_on_iggy_server(series: int, tmp_path: Path) -> None:
    name = Path((SEEDS + GROUPS)[series])
    with running(tmp_path / "local") as (_, port):
        found = await asyncio.to_thread(outcomes, port, name)
    for attempt in range(TRIES):
        async with iggy_server(tmp_path / f"iggy-{attempt}") as port:
            expected = await asyncio.to_thread(outcomes, port, name)
        if found == expected:
            return
    print(f"drawn: {name}")
    assert_same(found, expected)
