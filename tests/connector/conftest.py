"""A local server for the whole session, which tests that need a real connection share."""

import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from rustok_iggy_connector import RemoteConnectorConfig
from rustok_iggy_connector.client import Client
from rustok_iggy_connector.wire.commands.system import GetStats, Stats
from tests.faults import FaultProxy, fault_proxy

# Everything that has a meaning in a URL, a shell or a header.
PASSWORD = "p@ss:w/rd?&#%41+ =\"'\\${HOME}é✓"
USERNAME = "root@example.org:1"


@dataclass(frozen=True)
class LocalServer:
    address: str
    username: str = USERNAME
    password: str = PASSWORD

    def config(self, **settings: object) -> RemoteConnectorConfig:
        values = {"addresses": (self.address,), "username": self.username, "password": self.password, **settings}
        return RemoteConnectorConfig(**values)


def start_local_server(folder: Path, *arguments: str) -> tuple[subprocess.Popen[str], str]:
    """Start one that ends with this process; its address."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "rustok_iggy_connector.local_server", "--data-dir", str(folder)),
            *("--address", "127.0.0.1:0", "--exit-with-stdin", *arguments),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "IGGY_ROOT_USERNAME": USERNAME, "IGGY_ROOT_PASSWORD": PASSWORD},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, "the local server did not start"
    return process, line.split()[-1]


def stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.wait(timeout=20)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


@pytest.fixture(scope="session")
def local_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    process, address = start_local_server(tmp_path_factory.mktemp("server"))
    yield LocalServer(address)
    stop(process)


@pytest.fixture
def stream_name() -> str:
    return f"stream-{secrets.token_hex(6)}"


@pytest.fixture
async def proxy(local_server: LocalServer) -> AsyncIterator[FaultProxy]:
    async with fault_proxy(local_server.address) as opened:
        yield opened


async def stats(client: Client) -> Stats:
    answer = await client.ask(GetStats(), Stats, subject="the server")
    assert answer is not None
    return answer
