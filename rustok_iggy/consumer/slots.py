"""How many handlers of one member run side by side, whatever their partitions. Decides only."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

P = TypeVar("P")


class Slots(Generic[P]):
    """A number of slots, and who waits for one, in the order of asking."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._free = limit
        self._waiting: deque[P] = deque()

    @property
    def is_free(self) -> bool:
        """Whether a slot can be had at once."""
        return self._free > 0

    @property
    def wanted(self) -> bool:
        """Whether somebody waits: whoever has a slot should give it back after its turn."""
        return bool(self._waiting)

    def take(self, who: P) -> bool:
        """Take a slot; without a free one `who` is noted, once."""
        if self._free:
            self._free -= 1
            return True
        if who not in self._waiting:
            self._waiting.append(who)
        return False

    def give(self) -> None:
        """Give a slot back; whoever follows() should take it now."""
        self._free += 1

    def follows(self) -> P | None:
        """Return who waits longest, while a slot is free; it waits no more, also when it cannot use the slot."""
        return self._waiting.popleft() if self._free and self._waiting else None

    def forget(self, who: P) -> None:
        """`who` waits no more."""
        if who in self._waiting:
            self._waiting.remove(who)
