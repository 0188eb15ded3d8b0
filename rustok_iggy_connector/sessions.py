"""One session with a server, opened when it is needed and again when it has died."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from rustok_iggy_connector.client import Client
from rustok_iggy_connector.errors import ConnectorClosedError, ConnectorError, NotAssignedError, RequestTimeoutError

OpenClient = Callable[[float], Awaitable[Client]]
"""Opens a session whose requests have the given timeout in seconds."""

_T = TypeVar("_T")


@dataclass(slots=True, kw_only=True)
class Counters:
    """What a connector counts since connect()."""

    requests: int = 0
    messages_published: int = 0
    bytes_published: int = 0
    reconnects: int = 0
    timeouts: int = 0
    cut_off_at: float | None = None
    """When a session was last opened in vain, by the monotonic clock; None since any of them was answered."""


class Session:
    """Sends one request at a time over one client.

    While a server is away, one caller waits for the way back and all who wait with it share its failure: otherwise
    each would spend the whole connect timeout, one after the other.
    """

    def __init__(
        self,
        open_client: OpenClient,
        *,
        timeout: float,
        counters: Counters,
        farewell: Callable[[Client], Awaitable[None]] | None = None,
        on_closed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._open_client = open_client
        self._timeout = timeout
        self._counters = counters
        self._farewell = farewell
        self._on_closed = on_closed
        self._clock = clock
        self._client: Client | None = None
        self._opening: asyncio.Task[Client] | None = None
        self._turn = asyncio.Lock()
        self._failure: ConnectorError | None = None
        self._failures = 0
        self._closed = False

    @property
    def usable(self) -> bool:
        return self._client is not None and self._client.usable

    async def run(self, call: Callable[[Client], Awaitable[_T]]) -> _T:
        """Make a call when it is its turn, connecting first when there is no usable session."""
        failures = self._failures
        async with self._turn:
            client = self._client
            if client is None or not client.usable:
                if self._failure is not None and self._failures > failures:
                    raise self._failure.with_traceback(None)
                client = await self._open()
            return await self._counted(call, client)

    async def run_as_member(self, call: Callable[[Client], Awaitable[_T]]) -> _T:
        """Make a call only if the session that joined is still there: a new one would not be a member."""
        async with self._turn:
            client = self._client
            self._check_open()
            if client is None or not client.usable:
                raise NotAssignedError("the connection is gone and the membership with it: read the assignment again")
            return await self._counted(call, client)

    async def close(self) -> None:
        """Say farewell and close the client. Idempotent; ends whatever is waited for here."""
        self._closed = True
        client, self._client = self._client, None
        if self._opening is not None:
            self._opening.cancel()
        try:
            try:
                if client is not None and client.usable and self._farewell is not None:
                    await self._farewell(client)
            finally:
                if client is not None:
                    await client.close()
        finally:
            self._on_closed()

    async def _counted(self, call: Callable[[Client], Awaitable[_T]], client: Client) -> _T:
        self._counters.requests += 1
        try:
            answer = await call(client)
        except RequestTimeoutError:
            self._counters.timeouts += 1
            raise
        self._counters.cut_off_at = None
        return answer

    async def _open(self) -> Client:
        self._check_open()
        self._opening = opening = asyncio.ensure_future(self._open_client(self._timeout))
        try:
            client = await opening
        except asyncio.CancelledError:
            opening.cancel()
            if not _is_cancelled():
                self._check_open()
            await _close_unused(opening)
            raise
        except ConnectorError as error:
            self._failures += 1
            self._failure = error
            self._counters.cut_off_at = self._clock()
            raise
        finally:
            self._opening = None
        try:
            self._check_open()
        except ConnectorClosedError:
            await client.close()
            raise
        self._counters.reconnects += self._client is not None
        self._counters.cut_off_at = None
        self._client = client
        return client

    def _check_open(self) -> None:
        if self._closed:
            raise closed()


def closed() -> ConnectorClosedError:
    return ConnectorClosedError("the connector was shut down")


async def _close_unused(opening: asyncio.Task[Client]) -> None:
    """Opened in the very turn of the loop in which its caller was cancelled: nobody else has it, to close it later."""
    if opening.done() and not opening.cancelled() and opening.exception() is None:
        await opening.result().close()


def _is_cancelled() -> bool:
    """This task itself was cancelled, not only what it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
