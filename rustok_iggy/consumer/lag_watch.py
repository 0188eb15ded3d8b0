"""How far groups are behind, asked now and then beside consuming, so that nobody who wants to know has to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping

from rustok_iggy_connector import ConnectorError, get_logger

log = get_logger(__name__)

FORGOTTEN_AFTER = 3.0
"""Intervals after which an answer says nothing any more: the server did not answer the last questions."""

Ask = Callable[[str, str], Awaitable[Mapping[int, int]]]
"""Group and topic → messages behind, by partition. Raises ConnectorError."""


class LagWatch:
    """Keeps the last answer for each group and topic. For one event loop. `clock` in seconds."""

    def __init__(
        self,
        ask: Ask,
        watched: Iterable[tuple[str, str]],
        *,
        interval: float,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._ask = ask
        self._watched = tuple(watched)
        self._interval = interval
        self._clock = clock
        self._sleep = sleep
        self._answers: dict[tuple[str, str], tuple[float, Mapping[int, int]]] = {}

    def lag(self, group: str, topic: str) -> Mapping[int, int]:
        """Messages behind, by partition; empty when that is not known, or was known too long ago."""
        answer = self._answers.get((group, topic))
        if answer is None or self._clock() - answer[0] > FORGOTTEN_AFTER * self._interval:
            return {}
        return answer[1]

    async def run(self) -> None:
        """Ask about all, one after the other, every interval; until cancelled."""
        while True:
            for group, topic in self._watched:
                try:
                    async with asyncio.timeout(self._interval):
                        answer = await self._ask(group, topic)
                except (ConnectorError, TimeoutError) as error:
                    # Expected while a server restarts, and before a group was joined for the first time.
                    log.debug("lag_unknown", group=group, topic=topic, error=type(error).__name__)
                else:
                    self._answers[group, topic] = self._clock(), answer
            await self._sleep(self._interval)
