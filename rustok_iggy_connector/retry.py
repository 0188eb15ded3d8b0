"""Trying again: how long to wait, and when to stop."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import AsyncRetrying, retry_if_exception, wait_exponential, wait_random

from rustok_iggy_connector.errors import RustokIggyError

_T = TypeVar("_T")


def _is_retryable(error: RustokIggyError) -> bool:
    return error.retryable


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """Waits that double from `initial_delay` up to `max_delay`, each lengthened by up to `jitter`; all in seconds.

    Nothing is tried again when the wait would end after `max_elapsed`, or when `repeats` says no to the error: the
    default asks for its `retryable`.
    """

    initial_delay: float = 0.05
    max_delay: float = 1.0
    jitter: float = 0.1
    max_elapsed: float = 10.0
    repeats: Callable[[RustokIggyError], bool] = _is_retryable

    async def run(
        self,
        call: Callable[[], Awaitable[_T]],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> _T:
        """The result of `call`, made again as long as it fails with an error to repeat; the last error otherwise."""
        deadline = clock() + self.max_elapsed
        try:
            # The first try is made without the machinery, which costs 20 µs a call.
            return await call()
        except RustokIggyError as error:
            if not self.repeats(error) or clock() + self.initial_delay >= deadline:
                raise
        await sleep(self.initial_delay)
        retrying = AsyncRetrying(
            sleep=sleep,
            stop=lambda state: clock() + state.upcoming_sleep >= deadline,  # tenacity's own go by the real clock
            wait=wait_exponential(multiplier=2 * self.initial_delay, max=self.max_delay) + wait_random(0, self.jitter),
            retry=retry_if_exception(lambda error: isinstance(error, RustokIggyError) and self.repeats(error)),
            reraise=True,
        )

        async def attempt() -> _T:  # tenacity awaits only what is declared async, not what returns an awaitable
            return await call()

        return await retrying(attempt)
