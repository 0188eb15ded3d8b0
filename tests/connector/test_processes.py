"""What happens around a process: it ends cleanly however short it was, and it may not be forked."""

import asyncio
import contextlib
import multiprocessing
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rustok_iggy_connector import ConnectorClosedError, RemoteConnector, TopicSpec
from tests.connector.conftest import LocalServer

pytestmark = pytest.mark.anyio
REPOSITORY = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("short_process.py")


@pytest.fixture
async def stream(local_server: LocalServer, stream_name: str) -> AsyncIterator[str]:
    async with RemoteConnector(local_server.config()) as connector:
        await connector.admin.create_stream(stream_name)
        await connector.admin.create_topic(stream=stream_name, spec=TopicSpec(name="t", partitions=1))
        yield stream_name
        await connector.admin.delete_stream(stream_name)


async def run_in_a_row(server: LocalServer, stream: str, count: int, how: str) -> None:
    """Each process must exit with 0 and say nothing."""
    for number in range(count):
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(PROGRAM), server.address, server.username, server.password, stream, how),
            cwd=REPOSITORY,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), 20)
        assert (process.returncode, output) == (0, b""), f"process {number} of {count}: {output.decode()}"


@pytest.mark.parametrize(("how", "count"), [("shutdown", 8), ("cancelled", 4), ("refused", 12), ("connecting0.006", 8)])
async def test_short_processes_in_a_row_all_end_well(
    local_server: LocalServer, stream: str, how: str, count: int
) -> None:
    # Two rows side by side: it is the end of each process that is looked at, and starting them takes the time.
    await asyncio.gather(*(run_in_a_row(local_server, stream, count // 2, how) for _ in range(2)))


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "how", ["shutdown", "cancelled", "refused", "connecting0.004", "connecting0.006", "connecting0.008"]
)
async def test_a_hundred_short_processes_in_a_row_all_end_well(
    local_server: LocalServer, stream: str, how: str
) -> None:
    await run_in_a_row(local_server, stream, 100, how)


def use_in_child(server: LocalServer, connector: RemoteConnector | None) -> str:
    """What a child sees of the parent's connector, or of one of its own."""

    async def use() -> str:
        try:
            if connector is None:
                async with RemoteConnector(server.config()) as own:
                    return own.server.engine
            await connector.admin.describe_stream("any")
        except ConnectorClosedError as error:
            return str(error)
        return "it worked"

    return asyncio.run(use())


def report(server: LocalServer, connector: RemoteConnector | None, path: str) -> None:
    Path(path).write_text(use_in_child(server, connector))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # the very thing that is tested
@pytest.mark.parametrize("whose", ["the parent's", "its own"])
async def test_a_forked_child_is_told_instead_of_hanging(local_server: LocalServer, tmp_path: Path, whose: str) -> None:
    async with RemoteConnector(local_server.config()) as connector:
        path = tmp_path / "answer"
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                asyncio.events._set_running_loop(None)
                report(local_server, connector if whose == "the parent's" else None, str(path))
            os._exit(0)
        waiting = asyncio.get_running_loop().run_in_executor(None, os.waitpid, child, 0)
        await asyncio.wait_for(waiting, 20)
        assert "fork" in path.read_text()
        assert "spawn" in path.read_text()
        assert await connector.admin.describe_stream("any") is None


def test_a_spawned_child_has_a_client_of_its_own(local_server: LocalServer, tmp_path: Path) -> None:
    path = tmp_path / "answer"
    child = multiprocessing.get_context("spawn").Process(target=report, args=(local_server, None, str(path)))
    child.start()
    child.join(30)
    assert child.exitcode == 0
    assert path.read_text() == "iggy-server"
