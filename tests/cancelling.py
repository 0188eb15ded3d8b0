"""Cancels a closing at each of its waits in turn: what is to be done at the end is done all the same."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any

from rustok_iggy.testing.interruption import Waits
from tests.waiting import WITHIN


class Cancellation:
    """Runs a coroutine to its end, cancelled at its `at`-th wait; `again` at the next one too."""

    def __init__(self, *, at: int, again: bool) -> None:
        self._at = at
        self._again = again
        self.place: str | None = None
        """The line that was cancelled, None when there are fewer waits."""

    async def __call__(self, coroutine: Coroutine[Any, Any, None]) -> None:
        first = Waits(coroutine, at=self._at)
        second = Waits(first.run(), at=self._at + 1 if self._again else 0)
        task = asyncio.create_task(second.run(), name="closing to be cancelled")
        await asyncio.wait({task}, timeout=WITHIN)
        self.place = first.place
        assert task.done(), f"cancelled at {self.place}, it still ran {WITHIN:g} s later"
        assert task.cancelled() == (self.place is not None), f"cancelled at {self.place}, it did not say so"


def at_each_wait() -> Iterator[Cancellation]:
    """One for each wait of what it is to be used for, once each, until there are no more; then the same, twice each."""
    for again in (False, True):
        at = 1
        while True:
            cancellation = Cancellation(at=at, again=again)
            yield cancellation
            if cancellation.place is None:
                break
            at += 1
