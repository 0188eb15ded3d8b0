"""The command line over a server in this process: what it prints, what it returns, and what a host did before."""

import asyncio
import json
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from rustok_iggy import EventEnvelope, IggyConfig, MemoryTransport
from rustok_iggy.cli.program import app
from rustok_iggy_connector import ConnectorConfig, IggyConnector, InMemoryConnector, MemoryServer
from tests.consumer.hosts import catalog, counted

CATALOG = "tests.consumer.hosts:catalog"
Beside = Callable[[IggyConnector], Coroutine[Any, Any, None]]
"""Runs beside a command, on the same server: somebody else's process, as far as the command can tell."""


class Result:
    """What a command left behind."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    def __repr__(self) -> str:
        return f"exit code {self.code}\n--- out\n{self.out}\n--- err\n{self.err}"


class CommandLine:
    """Runs `rustok-iggy` here. `mode: memory` in its configuration; every command sees the same server."""

    def __init__(self, folder: Path, **topology: int) -> None:
        self.server = MemoryServer()
        self.folder = folder
        self.beside: Beside | None = None
        self.config = IggyConfig(topology={"domain_partitions": 4, **topology}, mode="memory")
        self.file = folder / "iggy.yaml"
        self.file.write_text(
            f"mode: memory\ntopology: {{domain_partitions: {self.config.topology.domain_partitions}}}\n"
        )

    def connect(self, config: ConnectorConfig) -> IggyConnector:
        """What the session opens instead of the configured connector."""
        return InMemoryConnector(self.server) if self.beside is None else _Accompanied(self.server, self.beside)

    def run(self, *arguments: object, stdin: str | None = None, env: dict[str, str] | None = None) -> Result:
        given = [str(each) for each in arguments]
        surroundings = {"RUSTOK_IGGY_CONFIG": str(self.file), "RUSTOK_IGGY_CATALOG": CATALOG, **(env or {})}
        found = CliRunner().invoke(app, given, input=stdin, env=surroundings, catch_exceptions=False)
        return Result(found.exit_code, found.stdout, found.stderr)

    def publish(self, *envelopes: EventEnvelope) -> None:
        """Publish as a host does, topology included."""

        async def publish() -> None:
            transport = MemoryTransport(self.config, catalog=catalog, connector=InMemoryConnector(self.server))
            async with transport:
                results = await transport.publish_batch(envelopes)
                results.raise_for_failures()

        asyncio.run(publish())

    def publish_numbers(self, count: int) -> list[EventEnvelope]:
        envelopes = [counted(number) for number in range(count)]
        self.publish(*envelopes)
        return envelopes

    def on_server(self, work: Beside) -> None:
        """Do something on the server."""

        async def go() -> None:
            async with InMemoryConnector(self.server) as connector:
                await work(connector)

        asyncio.run(go())


class _Accompanied(InMemoryConnector):
    """A connector that has somebody else at work on its server while it is connected."""

    def __init__(self, server: MemoryServer, beside: Beside) -> None:
        super().__init__(server)
        self._theirs = InMemoryConnector(server)
        self._beside = beside
        self._task: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        await super().connect()
        if self._task is None:
            await self._theirs.connect()
            self._task = asyncio.create_task(self._beside(self._theirs))

    async def shutdown(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            await self._theirs.shutdown()
        await super().shutdown()
