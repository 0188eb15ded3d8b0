"""Cancels a coroutine exactly where it waits for the n-th time, as a lost partition or a time limit would."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CANCELLED_HANDLER_TIMEOUT = 2.0
"""Seconds for a handler to end once it was cancelled: as long as a member gives it on a real loss."""


class StillRunningError(Exception):
    """A handler that was cancelled did not end in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interruption:
    """How a coroutine ended that was to be cancelled.

    `place` is its line where it was cancelled, None when it did not wait so often. `error` is None when it returned:
    with a place, it swallowed its cancellation.
    """

    place: str | None
    error: BaseException | None

    @property
    def was_cancelled(self) -> bool:
        """Whether it ended of its cancellation, as it should."""
        return self.place is not None and isinstance(self.error, asyncio.CancelledError)


class Waits:
    """Awaits a coroutine and counts how often it really waits; cancels the task that runs it at the `at`-th time.

    `at` 0 only counts.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, None], *, at: int = 0) -> None:
        self._coroutine = coroutine
        self._at = at
        self.count = 0
        self.place: str | None = None
        self.cancelled = asyncio.Event()

    async def run(self) -> None:
        """Run the coroutine to its end. Once."""
        await self

    def __await__(self) -> Generator[Any, Any, None]:
        step = self._coroutine.__await__()
        sent: Any = None
        thrown: BaseException | None = None
        while True:
            try:
                waited_for = step.send(sent) if thrown is None else step.throw(thrown)
            except StopIteration:
                return
            self.count += 1
            if self.count == self._at:
                self._cancel()
            sent, thrown = None, None
            try:
                sent = yield waited_for
            except BaseException as error:  # noqa: BLE001 - handed on into the coroutine, as `yield from` does
                thrown = error

    def _cancel(self) -> None:
        self.place = _place(self._coroutine)
        self.cancelled.set()
        task = asyncio.current_task()
        assert task is not None, "runs in a task"
        task.cancel()  # takes effect on what was just handed out, or at once where that is nothing


async def interrupted(coroutine: Coroutine[Any, Any, None], *, at: int) -> Interruption:
    """Run a coroutine in a task of its own, cancel it at its `at`-th wait, and return how it ended.

    Raises StillRunningError when it does not end. A cancellation of the caller is handed on to it.
    """
    waits = Waits(coroutine, at=at)
    task = asyncio.create_task(waits.run(), name="handler to be cancelled")
    cancelled = asyncio.create_task(waits.cancelled.wait(), name="until it is cancelled")
    try:
        await asyncio.wait({task, cancelled}, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.wait({task}, timeout=CANCELLED_HANDLER_TIMEOUT)
        is_ended = task.done()
    finally:
        cancelled.cancel()
        task.cancel()
        await asyncio.wait({task, cancelled}, timeout=CANCELLED_HANDLER_TIMEOUT)
    if not is_ended:
        raise StillRunningError(
            f"cancelled at {waits.place}, the handler still ran {CANCELLED_HANDLER_TIMEOUT:g} s later"
        )
    error = asyncio.CancelledError() if task.cancelled() else task.exception()
    return Interruption(place=waits.place, error=error)


def _place(coroutine: Any) -> str:
    """Return the line of the handler that waits: the outermost frame that is not one of these observers."""
    while (frame := getattr(coroutine, "cr_frame", None)) is not None:
        path = Path(frame.f_code.co_filename)
        if not path.is_relative_to(_OURS):
            return f"{path.name}:{frame.f_lineno}"
        coroutine = coroutine.cr_await
    return "a line that is not known"


_OURS = Path(__file__).parent
