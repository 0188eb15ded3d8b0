"""Two contenders in alternation: rounds of both, of which the first ones only warm up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from rustok_iggy.benchmark.timing import Round, Series

WARM_UP_ROUNDS = 1
"""One is enough: connections are open and caches filled after it, and further ones measured the same."""


async def compare(
    baseline: Callable[[], Awaitable[Round]], contender: Callable[[], Awaitable[Round]], *, rounds: int
) -> tuple[Series, Series]:
    """Rounds of both in alternation, so that what else the machine does meets both alike."""
    pairs = [(await baseline(), await contender()) for _ in range(WARM_UP_ROUNDS + rounds)][WARM_UP_ROUNDS:]
    return Series(rounds=[raw for raw, _ in pairs]), Series(rounds=[ours for _, ours in pairs])
