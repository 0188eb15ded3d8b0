"""Timing: a round is some calls; a series is many rounds, of which the first ones only warm up."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter

WARM_UP_ROUNDS = 1
"""One is enough: connections are open and caches filled after it, and further ones measured the same."""

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
        return self.messages / self.seconds


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


async def in_turn(calls: Sequence[Call]) -> Round:
    """One call after another, as one publisher makes them."""
    messages, latencies = 0, []
    start = before = perf_counter()
    for call in calls:
        messages += await call()
        after = perf_counter()
        latencies.append(after - before)
        before = after
    return Round(messages=messages, seconds=before - start, latencies=latencies)


async def side_by_side(publishers: Sequence[Sequence[Call]]) -> Round:
    """Several publishers at once, each making its calls in turn."""
    start = perf_counter()
    rounds = await asyncio.gather(*(in_turn(calls) for calls in publishers))
    return Round(
        messages=sum(each.messages for each in rounds),
        seconds=perf_counter() - start,
        latencies=[latency for each in rounds for latency in each.latencies],
    )


async def compare(
    baseline: Callable[[], Awaitable[Round]], contender: Callable[[], Awaitable[Round]], *, rounds: int
) -> tuple[Series, Series]:
    """Rounds of both in alternation, so that what else the machine does meets both alike."""
    pairs = [(await baseline(), await contender()) for _ in range(WARM_UP_ROUNDS + rounds)][WARM_UP_ROUNDS:]
    return Series(rounds=[raw for raw, _ in pairs]), Series(rounds=[ours for _, ours in pairs])
