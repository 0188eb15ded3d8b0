"""Trying again: how long to wait, and when to stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import AsyncRetrying, retry_if_exception, stop_before_delay, wait_exponential, wait_random

from rustok_iggy_connector.errors import RustokIggyError

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Waits that double from `initial_delay` up to `max_delay`, each lengthened by up to `jitter`; all in seconds.

    Nothing is tried again when the wait would end after `max_elapsed`.
    """

    initial_delay: float = 0.05
    max_delay: float = 1.0
    jitter: float = 0.1
    max_elapsed: float = 10.0

    async def run(
        self,
        call: Callable[[], Awaitable[_T]],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> _T:
        """The result of `call`, made again as long as it fails with a retryable error; the last error otherwise."""
        started = clock()
        try:
            # The first try is made without the machinery, which costs 20 µs a call.
            return await call()
        except RustokIggyError as error:
            left = started + self.max_elapsed - clock() - self.initial_delay
            if not error.retryable or left <= 0:
                raise
        await sleep(self.initial_delay)
        retrying = AsyncRetrying(
            sleep=sleep,
            stop=stop_before_delay(left),
            wait=wait_exponential(multiplier=2 * self.initial_delay, max=self.max_delay) + wait_random(0, self.jitter),
            retry=retry_if_exception(_is_retryable),
            reraise=True,
        )

        async def attempt() -> _T:  # tenacity awaits only what is declared async, not what returns an awaitable
            return await call()

        return await retrying(attempt)


def _is_retryable(error: BaseException) -> bool:
    return isinstance(error, RustokIggyError) and error.retryable
