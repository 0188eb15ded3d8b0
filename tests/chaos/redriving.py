"""The operator of a chaos run: now and then mends, redrives, discards, or redrives although nothing is mended."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from rustok_iggy import EVERYTHING, Cause, ConnectorError, DeadLetterError, IggyTransport, LetterSelection, RedriveError
from tests.chaos.histories import Confirmed, read_history
from tests.chaos.scenario import GROUP, TOPIC, mend

PAUSE = (1.0, 3.0)
"""Seconds between two things that he does."""
EVERY_NUMBER = 2**62
LOOK_INTERVAL = 0.3
MAY_FAIL = (ConnectorError, DeadLetterError, RedriveError)
"""What an operator is told while servers die: he asks again."""


@dataclass
class Operator:
    """`did` counts what he did, and what he was told instead."""

    transport: IggyTransport
    directory: Path
    random: random.Random
    did: Counter[str] = field(default_factory=Counter)

    async def run(self) -> None:
        """Do something now and then, until cancelled."""
        actions = [self.mend_and_redrive, self.mend_and_redrive, self.redrive_anyway, self.discard_one]
        while True:
            await asyncio.sleep(self.random.uniform(*PAUSE))
            action = self.random.choice(actions)
            try:
                await action()
            except MAY_FAIL as error:
                self.did[f"{action.__name__}: {type(error).__name__}"] += 1
            else:
                self.did[action.__name__] += 1

    async def mend_and_redrive(self) -> None:
        """Everything confirmed until now is mended; what comes later fails anew."""
        numbers = [each.number for each in read_history(self.directory, "publisher-", Confirmed)]
        mend(self.directory, below=max(numbers, default=0))
        await self.redrive_anyway()

    async def redrive_anyway(self) -> None:
        await self.transport.dead_letters.redrive(EVERYTHING, group=GROUP, by="operator")

    async def discard_one(self) -> None:
        """Give one event up that fails by itself, which frees its tenant or the next letter of it."""
        page = await self.transport.dead_letters.list(group=GROUP)
        failed = [letter for letter in page.letters if letter.cause is Cause.FAILED and letter.event_id is not None]
        if failed:
            unwanted = LetterSelection(event_ids=(self.random.choice(failed).event_id,))
            asked = await self.transport.dead_letters.discard(
                unwanted, group=GROUP, by="operator", reason="not wanted", seen=page.seen
            )
            self.did["letters meant by discards"] += asked.letters

    async def settle_everything(self, *, within: float) -> str:
        """Mend all, redrive until nothing is open and nothing left to handle; say what is left if it takes longer."""
        mend(self.directory, below=EVERY_NUMBER)
        deadline = time.monotonic() + within
        left = "never asked"
        while time.monotonic() < deadline:
            try:
                left = await self._settle()
            except MAY_FAIL as error:
                left = f"{type(error).__name__}: {error}"
            if not left:
                return ""
            await asyncio.sleep(LOOK_INTERVAL)
        return left

    async def _settle(self) -> str:
        stats = await self.transport.dead_letters.stats(group=GROUP)
        lag = {partition: each for partition, each in (await self._lag()).items() if each}
        if stats.letters and not stats.open_requests:
            await self.transport.dead_letters.redrive(EVERYTHING, group=GROUP, by="operator", force=True)
        if stats.letters or stats.open_requests or lag:
            waiting = [f"{each.action} in {each.waiting_in} partitions" for each in stats.open_requests]
            return f"{stats.letters} letters, requests {waiting}, lag {lag}"
        return ""

    async def _lag(self) -> dict[int, int]:
        return dict(await self.transport.lag(group=GROUP, topic=TOPIC))
