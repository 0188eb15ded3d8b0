"""Opening a transport though its server goes away meanwhile: all of it is idempotent, so it is done again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from rustok_iggy_connector import ConnectorConfig, ConnectorError, ConnectorMode, ServerUnreachableError, get_logger

log = get_logger(__name__)

PAUSE = 0.1
"""Seconds between two attempts: about what a server takes to start; reaching it has pauses of its own."""

_T = TypeVar("_T")


def opening_timeout(config: ConnectorConfig) -> float:
    """Return the seconds after which nothing is begun again: those in which a server must be reached."""
    if config.mode is ConnectorMode.EMBEDDED:
        return config.embedded.startup_timeout
    return config.remote.connect_timeout


async def opened(
    open_: Callable[[], Awaitable[_T]],
    *,
    timeout: float,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> _T:
    """Return what `open_` returns, called again after retryable errors for `timeout` seconds; then raise the last one.

    ServerUnreachableError is raised at once: it says that the server was looked for long enough.
    """
    deadline = clock() + timeout
    while True:
        try:
            return await open_()
        except ServerUnreachableError:
            raise
        except ConnectorError as error:
            if not error.retryable or clock() + PAUSE >= deadline:
                raise
            log.warning("opening_repeated", error=type(error).__name__)
        await sleep(PAUSE)
