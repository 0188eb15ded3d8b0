"""A timer for what is nearly always over before it is due."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Alarm:
    """The deadline of one request after another, in one timer of the loop. For one event loop.

    Setting and stopping leave that timer where it is: when it is due it looks whether anything is, and else moves on. A
    timer for each request takes 3 µs and, cancelled, stays in the loop's heap for as long as it would have run.
    """

    def __init__(self) -> None:
        self._when = 0.0
        self._ring: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def set(self, when: float, ring: Callable[[], None]) -> None:
        """Call `ring` at `when`, in seconds of the loop's clock, and forget what was set before."""
        self._when, self._ring = when, ring
        if self._timer is None:
            self._start()
        elif when < self._timer.when():
            self._timer.cancel()
            self._start()

    def stop(self) -> None:
        """Do not ring. Idempotent."""
        self._ring = None

    def _start(self) -> None:
        self._timer = asyncio.get_running_loop().call_at(self._when, self._due, self._when)

    def _due(self, due: float) -> None:
        self._timer = None
        ring = self._ring
        if ring is None:
            return
        if due < self._when:
            self._start()
        else:
            self._ring = None
            ring()
