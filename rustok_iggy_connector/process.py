"""One server process: started, awaited until it listens, watched, stopped. It never outlives its parent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import ClassVar

from rustok_iggy_connector.data_directory import DataDirectory, DataDirectoryLock
from rustok_iggy_connector.engines import Launch
from rustok_iggy_connector.errors import ServerStartupError
from rustok_iggy_connector.logging import get_logger

log = get_logger(__name__)

LOG_LIMIT_BYTES = 8 << 20
"""A server prints a few lines an hour; this holds weeks of them, or the first seconds of one that goes mad."""
LOG_CHECK_INTERVAL = 5.0
TAIL_LINES = 30
"""As many as an error message can carry and a person will read."""
TAIL_BYTES = 16 << 10
ADDRESS_INTERVAL = 0.01
"""Seconds between looks for the server's address: a tenth of the fastest start."""
KILL_TIMEOUT = 5.0
"""Seconds. A killed process ends at once, unless the disk it waits for does not answer."""

TERMINAL_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


class Lifeline:
    """The pipe that is a server's standard input. It closes when this process ends, however it ends.

    A child made by fork would hold it open without knowing: there it is closed at once.
    """

    _open: ClassVar[weakref.WeakSet[Lifeline]] = weakref.WeakSet()

    def __init__(self) -> None:
        self.reader, self._writer = os.pipe()
        self._open.add(self)

    def close_reader(self) -> None:
        """After the server has inherited it. Idempotent."""
        if self.reader >= 0:
            os.close(self.reader)
            self.reader = -1

    def close(self) -> None:
        self.close_reader()
        if self._writer >= 0:
            os.close(self._writer)
            self._writer = -1

    @classmethod
    def close_all(cls) -> None:
        for lifeline in list(cls._open):
            lifeline.close()


os.register_at_fork(after_in_child=Lifeline.close_all)


class ServerProcess:
    """A server to be started by this process, from the thread of its event loop. Used once.

    `secret` is kept out of `log_tail`.
    """

    def __init__(self, launch: Launch, *, directory: DataDirectory, secret: str) -> None:
        self._launch = launch
        self._directory = directory
        self._secret = secret
        self._ended = asyncio.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._lifeline: Lifeline | None = None
        self._log_start = 0

    def start(self, lock: DataDirectoryLock) -> None:
        """Start it; it inherits `lock`. Raises ServerStartupError when it cannot be started at all."""
        trim_log(self._directory.log)
        self._lifeline = Lifeline()
        try:
            self._process = self._spawn(lock, self._lifeline)
        except OSError as error:
            self._lifeline.close()
            program = self._launch.arguments[0]
            raise ServerStartupError(f"{program} cannot be started: {error.strerror or error}") from error
        self._lifeline.close_reader()
        # asyncio's own subprocesses are killed when their transport is collected, in a forked child too.
        watcher = threading.Thread(
            target=_tell_when_ended, args=(self._process, asyncio.get_running_loop(), self._ended), daemon=True
        )
        watcher.start()

    def _spawn(self, lock: DataDirectoryLock, lifeline: Lifeline) -> subprocess.Popen[bytes]:
        # Straight to a file: no reader that could fall behind and so hold the server up.
        with self._directory.log.open("ab") as output:
            self._log_start = output.tell()
            return subprocess.Popen(  # noqa: S603 -- the program is the operator's choice
                self._launch.arguments,
                env=dict(self._launch.environment),
                cwd=self._directory.path,
                stdin=lifeline.reader,
                stdout=output,
                stderr=output,
                pass_fds=(lock.fileno(),),
                start_new_session=True,  # Ctrl-C reaches the application, which stops the server in its own time
            )

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    @property
    def exit_code(self) -> int | None:
        """Negative: the signal that ended it. None while it runs."""
        return self._process.returncode if self._process and self._ended.is_set() else None

    async def listening(self, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> str | None:
        """Its address as `host:port`, when it has written it down; None when it ended before. Has no deadline."""
        while not self._ended.is_set():
            address = self._directory.address()
            if address is not None:
                return address
            await sleep(ADDRESS_INTERVAL)
        return None

    async def wait(self) -> int:
        """Its exit code, when it has ended; meanwhile its log is kept short."""
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOG_CHECK_INTERVAL):
                    await self._ended.wait()
            if not self._ended.is_set() and trim_log(self._directory.log):  # what it said last is asked for
                self._log_start = 0
        self._cut_lifeline()
        return self.exit_code or 0

    async def stop(self, stop_timeout: float) -> None:
        """SIGTERM, `stop_timeout` seconds, SIGKILL. Returns when it has ended. Idempotent.

        When cancelled, kills it first: a server left behind would hold the data directory.
        """
        if self._process is None:
            return
        self._send(signal.SIGTERM)
        try:
            if not await self._ends_within(stop_timeout):
                log.warning("embedded_server_killed", pid=self.pid, stop_timeout=stop_timeout)
                self._send(signal.SIGKILL)
                await self._ends_within(KILL_TIMEOUT)
        except asyncio.CancelledError:
            self._send(signal.SIGKILL)
            raise
        finally:
            self._cut_lifeline()

    async def _ends_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._ended.wait()
        except TimeoutError:
            return False
        return True

    def _send(self, number: signal.Signals) -> None:
        if self._process and not self._ended.is_set():
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    def _cut_lifeline(self) -> None:
        if self._lifeline:
            self._lifeline.close()

    def log_tail(self) -> tuple[str, ...]:
        """The last lines that it printed."""
        try:
            with self._directory.log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(min(self._log_start, size), size - TAIL_BYTES))
                text = file.read(TAIL_BYTES).decode("utf-8", "replace")
        except OSError:
            return ()
        text = TERMINAL_COLOURS.sub("", text).replace(self._secret, "***")
        return tuple(line for line in text.splitlines() if line.strip())[-TAIL_LINES:]


def _tell_when_ended(process: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    process.wait()
    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
        loop.call_soon_threadsafe(ended.set)


def trim_log(path: Path) -> bool:
    """Keep what is there as `.1` and empty the file in place: the server goes on appending to the one it has open."""
    try:
        if not path.exists() or path.stat().st_size < LOG_LIMIT_BYTES:
            return False
        shutil.copyfile(path, path.with_name(path.name + ".1"))
        os.truncate(path, 0)
    except OSError as error:
        log.debug("embedded_log_not_trimmed", path=str(path), error=error.strerror)
        return False
    return True
