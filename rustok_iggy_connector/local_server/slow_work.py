"""Whose password is hashed next: one after the other, and whoever is guessed at waits for the others.

A hash takes 50 ms, so a thousand guesses take a minute. Each counts against the account it is for, also while it waits:
somebody who logs in to another account comes before all but the first of them.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

Then: TypeAlias = Callable[[Any], None]
Start: TypeAlias = Callable[[Callable[[], Any], Then], None]
"""Runs the first where it may take long, and gives what it returned to the second, back in the caller's thread."""


class _Waiting(NamedTuple):
    rank: int
    turn: int
    account: str
    work: Callable[[], Any]
    then: Then


class SlowWork:
    """One piece of work at a time. As many wait as there are connections at most: each waits for its login."""

    def __init__(self, start: Start) -> None:
        self._start = start
        self._waiting: list[_Waiting] = []
        self._accounts: Counter[str] = Counter()
        self._turn = 0
        self._is_busy = False

    def submit(self, work: Callable[[], Any], then: Then, account: str, guesses: int) -> None:
        """Do the work for an account that was guessed at wrongly so many times: the fewer, the sooner."""
        self._turn += 1
        rank = guesses + self._accounts[account]
        self._accounts[account] += 1
        heapq.heappush(self._waiting, _Waiting(rank, self._turn, account, work, then))
        if not self._is_busy:
            self._begin()

    def _begin(self) -> None:
        chosen = heapq.heappop(self._waiting)

        def done(result: Any) -> None:
            self._is_busy = False
            self._accounts[chosen.account] -= 1
            if not self._accounts[chosen.account]:
                del self._accounts[chosen.account]
            chosen.then(result)
            if self._waiting and not self._is_busy:
                self._begin()

        self._is_busy = True
        self._start(chosen.work, done)
