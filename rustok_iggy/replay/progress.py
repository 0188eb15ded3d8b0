"""How far a replay is, and how fast it may go. Decides only; times in seconds of one clock that never goes back."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayProgress:
    """Events so far, those of the runs before this one included. A few numbers, however many tenants there are.

    `handled` were handed over; `unreadable` were passed over because they could not be decoded. `eta` is seconds to
    go at this run's mean speed, None until that is known.
    """

    replay_id: str
    planned: int
    handled: int
    unreadable: int
    elapsed: float
    events_per_second: float
    finished: bool

    @property
    def eta(self) -> float | None:
        if self.finished:
            return 0.0
        left = max(0, self.planned - self.handled - self.unreadable)
        return left / self.events_per_second if self.events_per_second > 0 else None


class Meter:
    """Makes ReplayProgress; `before` were done in earlier runs, which say nothing about the speed of this one."""

    def __init__(self, *, replay_id: str, planned: int, before: int, now: float) -> None:
        self._replay_id = replay_id
        self._planned = planned
        self._before = before
        self._began = now

    def progress(self, *, handled: int, unreadable: int, now: float, finished: bool = False) -> ReplayProgress:
        """Return how things are."""
        elapsed = now - self._began
        return ReplayProgress(
            replay_id=self._replay_id,
            planned=self._planned,
            handled=handled,
            unreadable=unreadable,
            elapsed=elapsed,
            events_per_second=(handled + unreadable - self._before) / elapsed if elapsed > 0 else 0.0,
            finished=finished,
        )


class RatePace:
    """Lets events begin at most `rate` a second, evenly. What was missed is not caught up: a pause is no debt."""

    def __init__(self, rate: float | None) -> None:
        self._interval = 0.0 if rate is None else 1 / rate
        self._next = float("-inf")

    def delay(self, now: float) -> float:
        """Seconds to wait before the next event begins, which this call counts."""
        if not self._interval:
            return 0.0
        begins = max(self._next, now)
        self._next = begins + self._interval
        return begins - now
