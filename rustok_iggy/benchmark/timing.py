"""Timing: a round is some calls; a series is some rounds."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

Call = Callable[[], Awaitable[int]]
"""One call to the server; returns how many messages it carried."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one round took: `latencies` in seconds, one a call; none where there are no calls."""

    messages: int
    seconds: float
    latencies: Sequence[float] = field(repr=False)

    @property
    def rate(self) -> float:
        """Messages a second; 0 for a round without a duration, in which at most one message came."""
        return self.messages / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, kw_only=True)
class Series:
    """Rounds of one contender, without those of the warm-up."""

    rounds: Sequence[Round]

    @property
    def rate(self) -> float:
        """Messages a second, the median of the rounds."""
        return statistics.median(each.rate for each in self.rounds)

    def latency(self, percentile: int) -> float:
        """Seconds a call took, over all rounds; 0 where there are no calls."""
        calls = sorted(latency for each in self.rounds for latency in each.latencies) or [0.0]
        return calls[min(len(calls) - 1, len(calls) * percentile // 100)]


class Stretch:
    """From the first of `expected` messages to the last, or to the end of waiting for them, by any clock in seconds."""

    def __init__(self, expected: int, *, clock: Callable[[], float] = perf_counter) -> None:
        self.expected = expected
        self._clock = clock
        self.done = asyncio.Event()
        self._left = expected
        self._began = self._ended = 0.0

    def handled(self) -> None:
        """Count one."""
        if self._left == self.expected:
            self._began = self._clock()
        self._left -= 1
        if not self._left:
            self._ended = self._clock()
            self.done.set()

    @property
    def round(self) -> Round:
        """What it took, as of now while some are left."""
        handled = self.expected - self._left
        ended = self._ended if self.done.is_set() else self._clock()
        return Round(messages=handled, seconds=ended - self._began if handled else 0.0, latencies=())


async def in_turn(calls: Iterable[Call], *, seconds: float = float("inf")) -> Round:
    """One call after another, as one publisher makes them; none begins after `seconds`."""
    messages, latencies = 0, []
    start = before = perf_counter()
    ends_at = start + seconds
    for call in calls:
        messages += await call()
        after = perf_counter()
        latencies.append(after - before)
        before = after
        if after >= ends_at:
            break
    return Round(messages=messages, seconds=before - start, latencies=latencies)


async def side_by_side(publishers: Sequence[Iterable[Call]], *, seconds: float = float("inf")) -> Round:
    """Several publishers at once, each making its calls in turn."""
    start = perf_counter()
    rounds = await asyncio.gather(*(in_turn(calls, seconds=seconds) for calls in publishers))
    return Round(
        messages=sum(each.messages for each in rounds),
        seconds=perf_counter() - start,
        latencies=[latency for each in rounds for latency in each.latencies],
    )
