"""Waits for what becomes true without anybody being told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

LOOK_AGAIN = 0.01
"""Seconds between two looks: short beside a test, long beside a look."""


async def until(condition: Callable[[], bool], *, timeout: float) -> None:
    """Return when the condition holds. Raises TimeoutError."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110 - what is looked at is other people's state, which sets no event
            await asyncio.sleep(LOOK_AGAIN)
