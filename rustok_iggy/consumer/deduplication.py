"""Which messages of a partition came before: a late copy of a batch can land behind later events. Decides only."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

WINDOW = 100_000
"""Ids remembered per partition: about 10 MB. A copy comes within a publisher's timeout, far fewer events later."""
SEED = 10_000
"""Messages read back from the committed offset when a partition is gained: the window itself died with its owner."""
SEED_BYTES = 32 * 1024 * 1024
"""The same in bytes, so that large events do not make a gain slow."""


class Deduplication:
    """The last ids of a partition. Emptied, that is made anew, on every gain: what is above the committed offset
    must run again.
    """

    def __init__(self, seed: Iterable[int] = (), *, window: int = WINDOW) -> None:
        self._window = window
        self._order: deque[int] = deque()
        self._known: set[int] = set()
        for message_id in seed:
            self.is_new(message_id)

    def is_new(self, message_id: int) -> bool:
        """Whether an id comes for the first time; it is known from then on."""
        known = self._known
        before = len(known)
        known.add(message_id)  # one look into the set instead of two
        if len(known) == before:
            return False
        self._order.append(message_id)
        if before >= self._window:
            known.remove(self._order.popleft())
        return True
