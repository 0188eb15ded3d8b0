"""Whether a member still moves. Decides only.

A member that does not will not mend itself: its process should be restarted. One lane that hangs is no such case, the
others go on; it makes the member unready instead (partition_health.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from rustok_iggy.config import ConsumerConfig

PATIENCE = 2.0
"""Times the longest that a handler or a round may take by configuration: their own limits come first."""


def patience(config: ConsumerConfig) -> float:
    """Return seconds without any movement after which a member counts as dead."""
    return PATIENCE * max(config.stuck_after, config.handler_timeout)


def stalled(*, since_round: float, running_long: int, slots: int, limit: float) -> Iterator[str]:
    """Say why a member does not move: its own task, or all of its handlers. `since_round` in seconds."""
    if since_round >= limit:
        yield f"has not looked after its partitions for {since_round:.0f} s"
    if running_long >= slots:
        yield f"all {slots} handlers that may run have run for more than {limit:.0f} s"


def behind(lag: dict[int, int], *, limit: int) -> Iterator[str]:
    """Say which partitions are too far behind; `limit` 0: none ever is."""
    for partition_id, messages in sorted(lag.items()):
        if limit and messages > limit:
            yield f"partition {partition_id} is {messages} events behind, more than max_lag ({limit})"
