"""Repeats what the owner of a journal reads while the server is away, for as long as it is the owner."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from rustok_iggy.dead_letters.appender import FIRST_RETRY_DELAY, LONGEST_RETRY_DELAY
from rustok_iggy_connector import ConnectorClosedError, ConnectorError, get_logger

log = get_logger(__name__)
_T = TypeVar("_T")


class Persistence:
    """`facts` say in the log whose journal it is; `check_lost` raises once it is another's.

    `trouble` is what the last call met with, None when it succeeded.
    """

    def __init__(
        self, *, facts: Mapping[str, object], check_lost: Callable[[], None], sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._facts = facts
        self._check_lost = check_lost
        self._sleep = sleep
        self.trouble: ConnectorError | None = None

    async def run(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Return the result of a call that only reads. Raises its errors that are not the connector's."""
        delay = FIRST_RETRY_DELAY
        while True:
            self._check_lost()
            try:
                result = await call()
            except ConnectorClosedError:
                raise
            except ConnectorError as error:
                if self.trouble is None:
                    log.warning("journal_read_repeated", **self._facts, error=type(error).__name__)
                self.trouble = error
                await self._sleep(delay)
                delay = min(delay * 2, LONGEST_RETRY_DELAY)
            else:
                self.trouble = None
                return result
