"""The member and publisher processes of a chaos run: started, killed, held up, started again."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

READY_TIMEOUT = 60.0
"""Seconds until a program is through its start: a second of work, on a machine that several of them share."""
END_TIMEOUT = 30.0


@dataclass
class Running:
    """A process that is started again when it ends, until close(). `module` is its program, `name` how it is called.

    `failures`: what it said when it ended by itself and should not have; `failed_starts`: how often the server was away
    when it started.
    """

    name: str
    module: str
    directory: Path
    process: asyncio.subprocess.Process | None = None
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    failures: list[str] = field(default_factory=list)
    starts: int = 0
    failed_starts: int = 0
    _told_to_end: bool = False
    _closed: bool = False

    async def run(self) -> None:
        """Start it, again and again, until it ended after finish() or close()."""
        while not self._closed:
            self.ready.clear()
            killed = await self._run_once()
            if self._told_to_end and not killed:
                return
            self._told_to_end = False

    async def _run_once(self) -> bool:
        """Run it once; whether a signal ended it."""
        with (self.directory / f"{self.name}.log").open("ab") as output:
            start = output.tell()
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", self.module, str(self.directory)),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=output,
                cwd=self.directory,
                env=os.environ | {"PYTHONPATH": os.pathsep.join(str(Path(each).absolute()) for each in sys.path)},
            )
        self.starts += 1
        assert self.process.stdout is not None
        try:
            began = bool(await self.process.stdout.readline())
            if began:
                self.ready.set()
            code = await self.process.wait()
        finally:
            self.ready.clear()
            if self.process.returncode is None:
                self.process.kill()
        if code > 0 and not began:
            self.failed_starts += 1  # the server was away: whoever supervises services starts them again
        elif code > 0:
            log = (self.directory / f"{self.name}.log").read_bytes()[start:]
            self.failures.append(f"{self.name} ended with code {code}:\n{_tail(log)}")
        return code < 0

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.returncode is None

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; nothing happens when it has just ended."""
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)

    def terminate(self) -> None:
        """Ask it to end in its own time; it is started again."""
        self.send(signal.SIGTERM)

    def finish(self) -> None:
        """When it ends by itself the next time, it is not started again."""
        self._told_to_end = True

    def close(self) -> None:
        self._closed = True
        self.send(signal.SIGKILL)


@asynccontextmanager
async def running(*processes: Running) -> AsyncIterator[list[asyncio.Task[None]]]:
    """Run them all while inside; leaving kills what is left. The tasks end with their processes."""
    tasks = [asyncio.create_task(each.run(), name=each.name) for each in processes]
    try:
        yield tasks
    finally:
        for each in processes:
            each.close()
        await asyncio.wait(tasks, timeout=END_TIMEOUT)


def _tail(log: bytes) -> str:
    return "\n".join(f"    {line}" for line in log.decode("utf-8", "replace").splitlines()[-25:])
