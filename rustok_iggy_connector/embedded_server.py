"""The server of one data directory: started by this process, or attached to when another one runs it already.

Whoever gets the directory's lock starts the server and watches it; everybody else reads its address and logs in. When
the server goes away each does the same again, and one gets the lock. A process that shuts down stops the server it
started, also while others are attached: what was acknowledged is on disk, and one of them starts the next server on it.
Nothing is handed over, so there is one way of starting, and a crash takes the same path as an orderly end.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from rustok_iggy_connector.config import EmbeddedConnectorConfig, Engine
from rustok_iggy_connector.data_directory import Credentials, DataDirectory, DataDirectoryLock
from rustok_iggy_connector.engines import ServerProgram, find_program, launch, refuse_foreign_data
from rustok_iggy_connector.errors import (
    AuthenticationError,
    ConnectorClosedError,
    ConnectorError,
    DataDirInUseError,
    ServerExitedError,
    ServerProcessError,
    ServerStartupError,
    ServerUnreachableError,
)
from rustok_iggy_connector.logging import get_logger
from rustok_iggy_connector.probe import log_in
from rustok_iggy_connector.process import ServerProcess

log = get_logger(__name__)

LOOK_INTERVAL = 0.05
"""Seconds between looks at a server that is being started, here or by another process: half of the fastest start."""
RESTART_WINDOW = 60.0
"""Seconds within which `max_restarts` counts."""
FIRST_RESTART_DELAY = 0.1
LONGEST_RESTART_DELAY = 5.0
ABANDON_TIMEOUT = 5.0
"""Seconds for a server that never became ready, and so has nothing to write down, to end by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A server that has answered a login."""

    address: str
    credentials: Credentials
    engine: Engine


class EmbeddedServer:
    """Reaches the server of one data directory, and keeps it running when it is this process's."""

    def __init__(
        self,
        config: EmbeddedConnectorConfig,
        *,
        probe: Callable[[str, Credentials], Awaitable[str]] = log_in,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._config = config
        self._directory = DataDirectory(config.data_dir)
        self._probe = probe
        self._clock = clock
        self._sleep = sleep
        self._process_id = os.getpid()
        self._reaching: asyncio.Task[Endpoint] | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._lock: DataDirectoryLock | None = None
        self._running: ServerProcess | None = None
        self._endpoint: Endpoint | None = None
        self._exits: deque[float] = deque(maxlen=config.max_restarts + 1)
        self._failure: tuple[str, tuple[str, ...]] | None = None
        self._closed = False
        self.restarts = 0
        """Unexpected exits that were answered by a server that became ready again."""

    @property
    def is_owner(self) -> bool:
        """This process started the server."""
        return self._lock is not None

    @property
    def pid(self) -> int | None:
        """The server's process id, when this process started it and it runs."""
        return self._running.pid if self._running else None

    async def reach(self) -> Endpoint:
        """A server that answers, within `startup_timeout`: the one that runs, or a new one.

        Callers at the same time share one attempt; it goes on when one of them is cancelled, until `close`. Raises:
        ServerProcessError and its kinds, AuthenticationError, IncompatibleServerError, ConnectorClosedError.
        """
        if self._closed:
            raise ConnectorClosedError("the connector was shut down")
        if self._reaching is None or self._reaching.done():
            self._reaching = asyncio.create_task(self._reach(), name="reach the embedded server")
            self._reaching.add_done_callback(_take_result)
        attempt = self._reaching
        try:
            return await asyncio.shield(attempt)
        except asyncio.CancelledError:
            if attempt.cancelled():  # only close() does that
                raise ConnectorClosedError("the connector was shut down while it reached for its server") from None
            raise

    async def close(self) -> None:
        """Stop the server if it is this process's, and give up the data directory. Idempotent.

        Also when cancelled: while the server stops, that kills it.
        """
        self._closed = True
        if os.getpid() != self._process_id:
            return  # a forked child: the server is its parent's
        tasks = [task for task in (self._reaching, self._supervisor) if task is not None]
        for task in tasks:
            task.cancel()
        try:
            if tasks:
                await asyncio.wait(tasks)
        finally:
            await self._stop()

    async def _stop(self) -> None:
        try:
            if self._running is not None:
                await self._running.stop(self._config.stop_timeout)
        finally:
            self._running = self._endpoint = None
            self._give_up_lock()

    async def _reach(self) -> Endpoint:
        deadline = asyncio.get_running_loop().time() + self._config.startup_timeout
        problem: ConnectorError | None = None
        self._directory.prepare()
        while asyncio.get_running_loop().time() < deadline:
            if self._failure is not None:
                message, tail = self._failure
                raise ServerExitedError(message, log_tail=tail)
            if self._lock is not None:
                if self._endpoint is not None:
                    return self._endpoint
            elif lock := self._directory.try_lock():
                return await self._become_owner(lock, deadline)
            else:
                try:
                    return await self._attach(deadline)
                except (ServerUnreachableError, AuthenticationError) as error:
                    problem = error  # it starts, or is going away: look again
            await self._sleep(LOOK_INTERVAL)
        raise self._not_reached(problem)

    async def _attach(self, deadline: float) -> Endpoint:
        """Log in to the server that another process runs."""
        holder, address, credentials = (
            self._directory.holder(),
            self._directory.address(),
            self._directory.credentials(),
        )
        if holder is None or address is None or credentials is None:
            raise ServerUnreachableError("it has not written down its address")
        refuse_foreign_data(self._config, holder.engine)
        try:
            async with asyncio.timeout_at(deadline), asyncio.timeout(self._config.request_timeout):
                await self._probe(address, credentials)
        except TimeoutError as error:
            raise ServerUnreachableError(f"{address} does not answer", addresses=[address]) from error
        log.info("embedded_server_attached", address=address, data_dir=str(self._directory.path))
        return Endpoint(address=address, credentials=credentials, engine=holder.engine)

    async def _become_owner(self, lock: DataDirectoryLock, deadline: float) -> Endpoint:
        try:
            process, endpoint = await self._start(lock, deadline)
        except BaseException:
            lock.release()
            raise
        self._lock, self._running, self._endpoint = lock, process, endpoint
        self._supervisor = asyncio.create_task(self._supervise(lock, process), name="watch the embedded server")
        return endpoint

    async def _start(self, lock: DataDirectoryLock, deadline: float) -> tuple[ServerProcess, Endpoint]:
        if self._directory.is_served_by_hand():
            raise DataDirInUseError(
                f"a local server that was started by hand runs on {self._directory.path}; connect to it with mode: "
                "remote, stop it, or name another embedded.data_dir"
            )
        program = await asyncio.to_thread(find_program, self._config, holds=self._directory.engine())
        lock.note(program.engine)
        credentials = self._directory.make_credentials()
        self._directory.forget_address()
        settings = launch(program, data_dir=self._directory.path, port=self._config.tcp_port, credentials=credentials)
        process = ServerProcess(settings, directory=self._directory, secret=credentials.password)
        process.start(lock)
        try:
            async with asyncio.timeout_at(deadline):
                address, version = await self._ready(process, program, credentials)
        except TimeoutError as error:
            await process.stop(ABANDON_TIMEOUT)
            raise ServerStartupError(
                f"the embedded server ({program.engine}) did not become ready within "
                f"{self._config.startup_timeout:g} s; its log is {self._directory.log}",
                log_tail=process.log_tail(),
            ) from error
        except BaseException:
            await process.stop(ABANDON_TIMEOUT)
            raise
        log.info("embedded_server_started", engine=program.engine.value, version=version, address=address)
        return process, Endpoint(address=address, credentials=credentials, engine=program.engine)

    async def _ready(self, process: ServerProcess, program: ServerProgram, credentials: Credentials) -> tuple[str, str]:
        """Its address and version, when it has answered a login; raises when it ends before."""
        while (address := await process.listening()) is not None:
            try:
                async with asyncio.timeout(self._config.request_timeout):
                    return address, await self._probe(address, credentials)
            except AuthenticationError as error:
                raise AuthenticationError(
                    f"the server in {self._directory.path} refuses the password in its embedded.json: the data were "
                    "made under another one; restore that file, or name another embedded.data_dir"
                ) from error
            except (ServerUnreachableError, TimeoutError):
                await self._sleep(LOOK_INTERVAL)  # it listens before it answers
        raise self._ended_too_early(process, program)

    async def _supervise(self, lock: DataDirectoryLock, process: ServerProcess) -> None:
        """Start it again when it ends by itself, up to `max_restarts` within RESTART_WINDOW."""
        while True:
            code = await process.wait()
            self._endpoint = None
            tail = process.log_tail()
            restarts = self._count_exit()
            if restarts > self._config.max_restarts:
                break
            delay = min(FIRST_RESTART_DELAY * 2 ** (restarts - 1), LONGEST_RESTART_DELAY)
            log.error("embedded_server_exited", exit_code=code, restart_in=delay, log_tail=tail[-3:])
            await self._sleep(delay)
            deadline = asyncio.get_running_loop().time() + self._config.startup_timeout
            try:
                process, self._endpoint = await self._start(lock, deadline)
            except ConnectorError as error:
                # The ended process stands for the one that did not start: wait() returns at once and counts it.
                log.error("embedded_server_not_restarted", error=str(error))  # noqa: TRY400 -- no traceback: it is ours
                continue
            self._running = process
            self.restarts += 1
        log.error("embedded_server_given_up", exit_code=code, max_restarts=self._config.max_restarts)
        often = f"more than {self._config.max_restarts} times within a minute"
        message = (
            f"the embedded server ended with {describe_exit(code)}, {often}; its log is {self._directory.log}. "
            "Connect again when the cause is gone"
        )
        self._failure = (message, tail)
        self._running = None
        self._give_up_lock()

    def _count_exit(self) -> int:
        """How many unexpected exits there were within the window, this one included."""
        now = self._clock()
        self._exits.append(now)
        return sum(now - moment <= RESTART_WINDOW for moment in self._exits)

    def _give_up_lock(self) -> None:
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    def _ended_too_early(self, process: ServerProcess, program: ServerProgram) -> ServerStartupError:
        tail = process.log_tail()
        if self._config.tcp_port and not _is_free(self._config.tcp_port):
            advice = f"port {self._config.tcp_port} is in use: set embedded.tcp_port: 0, or another port"
        else:
            advice = f"its log is {self._directory.log}"
        said = f": {tail[-1]}" if tail else ""
        return ServerStartupError(
            f"the embedded server ({program.engine}) ended with {describe_exit(process.exit_code or 0)} before it was "
            f"ready{said}; {advice}",
            log_tail=tail,
        )

    def _not_reached(self, problem: ConnectorError | None) -> ServerProcessError:
        waited = f"within {self._config.startup_timeout:g} s"
        if self._lock is not None:
            tail = self._running.log_tail() if self._running else ()
            return ServerStartupError(f"the embedded server was not ready again {waited}", log_tail=tail)
        holder = self._directory.holder()
        who = f"process {holder.process_id} (or the server it started)" if holder else "another process"
        return DataDirInUseError(
            f"{self._directory.path} is held by {who}, and no server answered there {waited}: "
            f"{problem or 'none was looked for'}. End that process, or name another embedded.data_dir"
        )


def describe_exit(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"code {code}"


def _is_free(port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error.errno != errno.EADDRINUSE
    return True


def _take_result(attempt: asyncio.Task[Endpoint]) -> None:
    """Whoever waited may be gone; its error is not worth asyncio's warning."""
    if not attempt.cancelled():
        attempt.exception()
