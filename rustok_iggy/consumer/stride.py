"""How many letters of a tenant are announced at once when they run again. Decides only.

An attempt is recorded before its letter runs, and read back; one by one that is nearly all that a redrive takes. Of
letters announced together and handled, a crash repeats those whose settlements were not recorded yet: at most
LETTERS_AT_ONCE of a tenant. A letter that was announced and did not run gets its attempt back, except after a crash, so
a tenant whose letters fail begins with one again.
"""

from __future__ import annotations

LETTERS_AT_ONCE = 64
"""By then an append and its read-back, some milliseconds, are a tenth of what decoding and running the letters take."""
RECORDED_WITHIN = 0.5
"""Seconds that a letter may run until those handled before it are recorded; a stride that takes longer is followed by
a single letter, so that not much work is repeated, and progress is seen."""


class Stride:
    """How many letters come next: one, then twice as many after each stride in which all were handled in time."""

    def __init__(self, *, grows: bool) -> None:
        self.grows = grows
        self.letters = 1
        self._failed = False

    def failed(self) -> None:
        """A letter failed again."""
        self._failed = True

    def ended(self, seconds: float) -> None:
        """All announced letters have run."""
        if self._failed or seconds >= RECORDED_WITHIN:
            self.letters = 1
        elif self.grows:
            self.letters = min(self.letters * 2, LETTERS_AT_ONCE)
        self._failed = False
