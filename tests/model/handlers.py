"""Handlers that fail, hang, dawdle, and swallow their cancellation, until everything is healed."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from uuid import UUID

from rustok_iggy import DeliveryContext, EventEnvelope
from rustok_iggy.errors import Reject, RetryLater
from tests.model.history import History


class BrokenError(Exception):
    """What a handler raises that cannot handle an event."""


@dataclass
class Moods:
    """How handlers behave. `broken` events fail every time; `flaky` is the share of calls in which anything fails."""

    broken: set[UUID] = field(default_factory=set)
    flaky: float = 0.0

    def heal(self) -> None:
        self.broken.clear()
        self.flaky = 0.0


class Handler:
    """The handler of one process."""

    def __init__(self, process: str, history: History, moods: Moods, chance: random.Random) -> None:
        self._process = process
        self._history = history
        self._moods = moods
        self._chance = chance

    async def __call__(self, envelope: EventEnvelope, context: DeliveryContext) -> None:
        redrive = None if context.redrive is None else context.redrive.attempt
        self._history.begins(
            self._process, envelope.id, partition=context.partition_id, offset=context.offset, redrive=redrive
        )
        await asyncio.sleep(self._chance.uniform(0, 0.05))
        if envelope.id in self._moods.broken:
            raise BrokenError
        if self._chance.random() < self._moods.flaky and not await self._is_bad_day_survived():
            return
        self._history.completes(self._process, envelope.id)

    async def _is_bad_day_survived(self) -> bool:
        """Whether the event was handled in the end; False: the handler returns all the same, as if nothing were."""
        match self._chance.choice(
            ["raise", "raise", "raise", "dawdle", "dawdle", "hang", "swallow", "later", "reject"]
        ):
            case "raise":
                raise BrokenError
            case "later":
                raise RetryLater(self._chance.uniform(0.1, 5))
            case "reject":
                raise Reject("not wanted")
            case "dawdle":
                await asyncio.sleep(self._chance.uniform(0.2, 6))
            case "hang":
                await asyncio.Event().wait()
            case "swallow":
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    return False
        return True
