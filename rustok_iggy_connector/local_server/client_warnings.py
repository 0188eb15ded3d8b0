"""Warnings that a client can cause as often as it likes: so many a minute are written, the rest are counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

INTERVAL: Final = 60.0
"""Seconds over which lines are counted."""

MAX_LINES: Final = 50
"""Lines in one interval: enough to see who it is and what for, and less than 10 MB a day."""


class ClientWarnings:
    """Call `tick` about once a second; it says what was left out. `write` takes a text and its values, as a logger."""

    def __init__(self, *, write: Callable[..., None], monotonic: Callable[[], float]) -> None:
        self._write = write
        self._monotonic = monotonic
        self._began = monotonic()
        self._asked = 0

    def warn(self, text: str, *values: object) -> None:
        """One line, if there is room for it."""
        self.tick()
        self._asked += 1
        if self._asked <= MAX_LINES:
            self._write(text, *values)

    def tick(self) -> None:
        """Begin anew when an interval is over."""
        now = self._monotonic()
        if now - self._began < INTERVAL:
            return
        if self._asked > MAX_LINES:
            self._write("%d more warnings about clients were left out", self._asked - MAX_LINES)
        self._began, self._asked = now, 0
