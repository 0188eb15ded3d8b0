"""Polls one partition by explicit offset, as fast as its lanes take in what comes."""

from __future__ import annotations

import asyncio

from rustok_iggy.consumer.commits import Commits
from rustok_iggy.consumer.deduplication import Deduplication
from rustok_iggy.consumer.intake import Intake
from rustok_iggy.consumer.log_watch import LogWatch
from rustok_iggy.consumer.membership import Membership, is_transient
from rustok_iggy.consumer.start import check_not_reset, recent_ids
from rustok_iggy_connector import ConnectorError, PolledMessages

ZEROS_BETWEEN_QUESTIONS = 50
"""Of an empty partition the server says 0 as of one message. Whoever has had one asks every so many empty polls, which
is every few seconds, whether it was purged."""


class Polling:
    """The loop of one partition. `is_stopped`: what a poll still brings is left to whoever comes next."""

    def __init__(
        self, member: Membership, intake: Intake, commits: Commits, watch: LogWatch, *, partition_id: int
    ) -> None:
        self._member = member
        self._watch = watch
        self._intake = intake
        self._commits = commits
        self._partition_id = partition_id
        self._wakeup = asyncio.Event()
        self._polled = asyncio.Event()
        self._pausing: asyncio.Future[None] | None = None
        self._zeros = 0
        self.is_over = False
        self.is_stopped = False

    def end(self) -> None:
        """Poll no more."""
        self.is_over = True
        self._polled.set()
        self._wakeup.set()
        self._resume()

    def look_again(self) -> None:
        """There may be room for more."""
        self._wakeup.set()

    async def run(self) -> None:
        """Poll until end(). Raises OffsetOutOfRangeError, and connector errors that no repetition mends."""
        while not self.is_over:
            self._wakeup.clear()
            self._commits.store_soon()
            room = self._intake.room()
            if room <= 0:
                await self._wakeup.wait()
                continue
            messages = await self._poll(room)
            if self.is_stopped:
                return
            delay = self._intake.polled(messages, asked=room)
            self._polled.set()
            await self._pause(delay)

    def has_polled(self, offset: int) -> bool:
        """Whether every event up to an offset is in its lane, or was."""
        return offset < self._intake.next_offset

    async def until_polled(self, offset: int) -> None:
        """Return when has_polled(), or nothing is polled any more."""
        while not self.is_over and not self.has_polled(offset):
            self._polled.clear()
            await self._polled.wait()

    async def seeded(self) -> Deduplication:
        """Return a window that knows the last messages before the watermark."""
        settled = self._commits.watermark.settled
        while not self.is_over and settled is not None:
            try:
                return Deduplication(await recent_ids(self._member.subscriber, self._partition_id, committed=settled))
            except ConnectorError as error:
                if not is_transient(error):
                    raise
                await self._member.next_answer()
        return Deduplication()

    async def _poll(self, count: int) -> PolledMessages:
        try:
            messages = await self._member.subscriber.poll(
                self._partition_id, offset=self._intake.next_offset, max_messages=count
            )
            await self._watch.polled(messages)
            if not messages and self._ends_too_early(messages.current_offset):
                await check_not_reset(
                    self._member.subscriber, self._intake.position, stored=self._commits.watermark.stored
                )
            return messages
        except ConnectorError as error:
            if not is_transient(error):
                raise
            await self._member.next_answer()
            return PolledMessages()

    def _ends_too_early(self, current: int | None) -> bool:
        """Whether the log may end before what was polled; `current` is what an empty reply says of its end."""
        polled = self._intake.next_offset - 1
        if current is None or polled < 0 or current > polled:
            return False
        if current == polled == 0:
            self._zeros += 1
            return self._zeros % ZEROS_BETWEEN_QUESTIONS == 0
        return current < polled

    async def _pause(self, delay: float) -> None:
        """Wait before the next poll. Handlers that end meanwhile do not cut it short: only being told to end does."""
        if delay > 0 and not self.is_over:
            # Not a timeout around a wait: hundreds of times a second that is a tenth of what the polls take.
            loop = asyncio.get_running_loop()
            self._pausing = loop.create_future()
            timer = loop.call_later(delay, self._resume)
            try:
                await self._pausing
            finally:
                timer.cancel()

    def _resume(self) -> None:
        if self._pausing is not None and not self._pausing.done():
            self._pausing.set_result(None)
