"""The deadlines of one batch under way, one after another: who joined late has time left when the first has none."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rustok_iggy.publish_queue import Batch

EXPIRY_INTERVAL = 0.1
"""Seconds. Each expiry reads all that is queued, 3 ms when that is 10 000 events (measured); so those whose time is
over shortly after one another are told together. Nobody is told early, and the last of a batch never late."""


class Expiry:
    """Within its block, calls `expire` whenever some of the batch have no time left.

    `expire` settles them; when that leaves nothing of the batch, `limit` ends, and the block with it. Until then the
    request under way goes on for the rest: a new one at each deadline would leave none of them time to be answered.
    """

    __slots__ = ("_batch", "_expire", "_limit", "_loop", "_timer")

    def __init__(self, batch: Batch, *, limit: asyncio.Timeout, expire: Callable[[], None]) -> None:
        self._batch = batch
        self._limit = limit
        self._expire = expire
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> None:
        self._timer = self._loop.call_at(self._batch.first_deadline, self._over)

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _over(self) -> None:
        self._expire()
        now = self._loop.time()
        left = [submission.deadline for submission, _ in self._batch.unsettled()]
        if left:
            self._timer = self._loop.call_at(min(max(left[0], now + EXPIRY_INTERVAL), left[-1]), self._over)
        else:
            self._limit.reschedule(now)
