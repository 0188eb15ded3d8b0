"""The server of a chaos run: always on the same port and data, killed and started again; or somebody else's."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rustok_iggy_connector import EmbeddedConnectorConfig, Engine
from rustok_iggy_connector.data_directory import Credentials, DataDirectory, DataDirectoryLock
from rustok_iggy_connector.engines import ServerProgram, find_program, launch
from rustok_iggy_connector.process import ServerProcess

STOP_TIMEOUT = 10.0


@dataclass
class Server:
    """Reached at `address` with `credentials`. One that is not ours is never killed."""

    address: str
    credentials: Credentials
    is_ours: bool = False
    data_dir: str | None = None

    @property
    def pid(self) -> int | None:
        """Its process, while it is ours and runs."""
        return None

    async def restart(self) -> None:
        """Start it again after it was killed; returns when it listens."""
        raise NotImplementedError("somebody else's server")


class OwnServer(Server):
    """Started by this process."""

    def __init__(
        self, program: ServerProgram, directory: DataDirectory, lock: DataDirectoryLock, *, data_dir: str | None
    ) -> None:
        super().__init__(
            address=f"127.0.0.1:{free_port()}",
            credentials=directory.make_credentials(),
            is_ours=True,
            data_dir=data_dir,
        )
        self._program = program
        lock.note(program.engine)  # this process runs it, and others attach
        self._directory = directory
        self._lock = lock
        self._process: ServerProcess | None = None

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    async def restart(self) -> None:
        if self._process is not None:
            await self._process.wait()
        self._directory.forget_address()
        port = int(self.address.rpartition(":")[2])
        settings = launch(self._program, data_dir=self._directory.path, port=port, credentials=self.credentials)
        self._process = ServerProcess(settings, directory=self._directory, secret=self.credentials.password)
        self._process.start(self._lock)
        assert await self._process.listening() is not None, "\n".join(self._process.log_tail())

    async def stop(self) -> None:
        if self._process is not None:
            await self._process.stop(STOP_TIMEOUT)


@asynccontextmanager
async def running_server(engine: str, directory: Path) -> AsyncIterator[Server]:
    """`engine`: local; iggy-server, as RUSTOK_IGGY_SERVER names it; or remote: at RUSTOK_IGGY_ADDRESS, and where that
    names nothing an iggy-server that the processes of the run know by its address alone.
    """
    if engine == "remote" and "RUSTOK_IGGY_ADDRESS" in os.environ:
        yield Server(
            address=os.environ["RUSTOK_IGGY_ADDRESS"],
            credentials=Credentials(
                username=os.environ.get("RUSTOK_IGGY_USERNAME", "iggy"),
                password=os.environ.get("RUSTOK_IGGY_PASSWORD", "iggy"),
            ),
        )
        return
    kind = Engine.LOCAL if engine == "local" else Engine.IGGY_SERVER
    binary = os.environ["RUSTOK_IGGY_SERVER"] if kind is Engine.IGGY_SERVER else None
    config = EmbeddedConnectorConfig(data_dir=str(directory), engine=kind, server_path=binary)
    data = DataDirectory(config.data_dir)
    data.prepare()
    lock = data.try_lock()
    assert lock is not None, f"{directory} is in use"
    program = await asyncio.to_thread(find_program, config, holds=None)
    server = OwnServer(program, data, lock, data_dir=None if engine == "remote" else str(directory))
    try:
        await server.restart()
        yield server
    finally:
        await server.stop()
        lock.release()


def kill(server: Server) -> None:
    if server.pid is not None:
        os.kill(server.pid, signal.SIGKILL)


def free_port() -> int:
    """A port that nobody listens on: it must be the same one after each restart."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
