"""One partition of a replay to a handler: what is under way in it, and how much of it is done."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from typing import Protocol

from rustok_iggy.consumer.context import NO_GROUP
from rustok_iggy.consumer.parking import FailedDelivery
from rustok_iggy.consumer.watermark import Watermark
from rustok_iggy.replay.replay_run import Found
from rustok_iggy_connector import Position


class Owner(Protocol):
    """What a partition tells, and asks, whoever runs the replay."""

    is_stopped: bool
    waiting: int
    changed: asyncio.Event
    failing_at: Position | None

    def fail(self, error: Exception, *, at: Position | None) -> None:
        """One event has failed for good."""
        ...


class ReplayPartition:
    """What the lane runner asks of the partition it works for. Counts only what is below the watermark, so that the
    counts of a checkpoint belong to its offsets.
    """

    generation = 0
    life = NO_GROUP

    def __init__(self, crew: Owner, partition_id: int, next_offset: int) -> None:
        self._crew = crew
        self.partition_id = partition_id
        self.watermark = Watermark(next_offset - 1 if next_offset else None)
        self._begun: deque[Found] = deque()
        self.handled = 0
        self.unreadable = 0

    @property
    def next_offset(self) -> int:
        """Below it, all is done."""
        return 0 if self.watermark.settled is None else self.watermark.settled + 1

    def begin(self, found: Found) -> None:
        """Take a message in; what is not to be handled is settled at once."""
        self.watermark.begin(found.message.offset, len(found.message.payload))
        self._begun.append(found)
        if found.decoded is None:
            self._settle(found.message.offset)

    def may_begin(self) -> bool:
        return not self._crew.is_stopped

    def settle(self, offset: int) -> None:
        self._settle(offset)
        self._crew.waiting -= 1
        self._crew.changed.set()

    def changed(self) -> None:
        self._crew.changed.set()

    def fail(self, error: Exception) -> None:
        self._crew.fail(error, at=self._crew.failing_at)

    def write_letter(self, failed: FailedDelivery) -> None:
        self.fail(failed.error)  # a replay keeps no letters: its policy is to stop

    def turn(self) -> int:
        return sys.maxsize

    def _settle(self, offset: int) -> None:
        self.watermark.settle(offset)
        while self._begun and self._begun[0].message.offset < self.next_offset:
            done = self._begun.popleft()
            self.handled += done.decoded is not None
            self.unreadable += done.is_unreadable
