"""Wait for a condition, never for a time. A wait that succeeds costs nothing, so its limit suits a slow machine."""

import asyncio
import inspect
import time
from collections.abc import Callable

WITHIN = 30.0
"""Seconds: a quarter of what a test may take, so that a wait fails, and says what for, before the test is cut off."""

PROGRAM_WITHIN = 100.0
"""Seconds for a program to start, work and end, or to print a line: it takes one or two, and a busy machine 20 times
that. Less than a test may take (pyproject.toml), so that the program is ended, and not the test.
"""

LOOK_AGAIN = 0.002
"""Seconds between two looks at what is in this process."""

ASK_AGAIN = 0.02
"""Seconds between two questions to somebody else, who has to answer them."""


async def until(condition: Callable[[], object], *, within: float = WITHIN) -> None:
    """Return when the condition holds, or what it returns when awaited does. Raises AssertionError, which names it."""
    limit = asyncio.timeout(within)
    try:
        async with limit:
            while True:
                found = condition()
                if not inspect.isawaitable(found):
                    pause = LOOK_AGAIN
                else:
                    found, pause = await found, ASK_AGAIN
                if found:
                    return
                await asyncio.sleep(pause)
    except TimeoutError:
        if not limit.expired():
            raise  # the condition's own
        raise AssertionError(f"not within {within:g} s: {source_of(condition)}") from None


def wait_until(condition: Callable[[], object], *, within: float = WITHIN) -> None:
    """As `until`, where no loop runs: for threads and processes."""
    ends_at = time.monotonic() + within
    while not condition():
        assert time.monotonic() < ends_at, f"not within {within:g} s: {source_of(condition)}"
        time.sleep(LOOK_AGAIN)


def source_of(condition: Callable[[], object]) -> str:
    """What a person sees of it: the lines it was written in, or what it calls itself."""
    try:
        return inspect.getsource(condition).strip()
    except (OSError, TypeError):
        return repr(condition)
