"""A service that consumes: python -m tests.chaos.member DIRECTORY. Notes every step of every delivery."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path

from rustok_iggy import DeliveryContext, EventEnvelope, IggyTransport
from tests.chaos import program
from tests.chaos.histories import History, Noted, What, now
from tests.chaos.scenario import GROUP, ON_FAILURE, Happened, Settings, catalog, mended_below

LONGEST_WORK = 0.02
"""Seconds that a handler takes: most kills hit one in the middle, and others in the lanes behind it."""
SLOW_SHARE, SLOWEST_WORK = 0.02, 0.5
"""Some take several commit intervals: others of the partition are done and committed around them."""


class NotMendedError(Exception):
    """What this service cannot do yet."""


class Service:
    """The handler."""

    def __init__(self, directory: Path, settings: Settings, history: History[Noted]) -> None:
        self._directory = directory
        self._settings = settings
        self._history = history
        self._random = random.Random()

    async def __call__(self, envelope: EventEnvelope, context: DeliveryContext) -> None:
        event = envelope.event
        assert isinstance(event, Happened)
        self._note(What.BEGAN, event, context)
        try:
            longest = SLOWEST_WORK if self._random.random() < SLOW_SHARE else LONGEST_WORK
            await asyncio.sleep(self._random.uniform(0, longest))
            self._work(event)
        except asyncio.CancelledError:
            self._note(What.CANCELLED, event, context)
            raise
        except NotMendedError:
            self._note(What.FAILED, event, context)
            raise
        self._note(What.HANDLED, event, context)

    def _work(self, event: Happened) -> None:
        if self._settings.is_bad(event.tenant, event.number) and event.number >= mended_below(self._directory):
            raise NotMendedError

    def _note(self, what: What, event: Happened, context: DeliveryContext) -> None:
        self._history.note(
            Noted(
                at=now(),
                process=os.getpid(),
                what=what,
                tenant=event.tenant,
                number=event.number,
                partition=context.partition_id,
                offset=context.offset,
                group_id=context.group_id,
                generation=context.generation,
                redrive=0 if context.redrive is None else context.redrive.attempt,
            )
        )


async def main(directory: Path, settings: Settings) -> None:
    with History[Noted](directory / f"member-{os.getpid()}-{now()}.jsonl") as history:
        async with IggyTransport(settings.config, catalog=catalog) as transport:
            transport.subscribe(group=GROUP, on_failure=ON_FAILURE)(Service(directory, settings, history))
            program.say_ready()
            await transport.run()


if __name__ == "__main__":
    program.run(main)
