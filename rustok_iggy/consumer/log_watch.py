"""Watches that the log of one partition stays the same one, by events of it that are known."""

from __future__ import annotations

from collections.abc import Callable

from rustok_iggy.consumer.membership import Membership
from rustok_iggy.consumer.start import log_reset
from rustok_iggy.consumer.statistics import PartitionServices
from rustok_iggy.dead_letters.journal import Journal
from rustok_iggy.dead_letters.log_identity import Mark, ends_before, is_another, marks_of
from rustok_iggy.errors import OffsetOutOfRangeError
from rustok_iggy.moments import moment_of
from rustok_iggy_connector import ConnectorError, PolledMessages, Position, get_logger

log = get_logger(__name__)


class LogWatch:
    """Remembers one event that stood in the log when it was looked at last, and the last one polled since.

    While the remembered one is where it was, everything polled since it was remembered is of the same log. So a log
    that was begun again is told however long it has become: before what comes after a quiet heartbeat is taken in, and
    else within a heartbeat. Calls raise connector errors.
    """

    def __init__(self, services: PartitionServices, member: Membership, *, partition_id: int) -> None:
        self._member = member
        self._topic = services.topic
        self._partition_id = partition_id
        self._interval = services.config.heartbeat_interval
        self._clock: Callable[[], float] = services.clock
        self._known: Mark | None = None
        self._newest: Mark | None = None
        self._looked_at = services.clock()
        self.saw_another = False
        """Whether the offsets known here are those of another log: then nothing may be said of them any more."""

    async def compare(self, journal: Journal, *, noted_at: int, committed: int) -> None:
        """Raise OffsetOutOfRangeError when the log is not the one that the journal knows.

        `noted_at` as in marks_of(); `committed` is what the server has, −1 for nothing. Before the journal is claimed.
        """
        for mark in marks_of(journal, noted_at=noted_at):
            found = await self._remember(mark.offset)
            if is_another(mark, found) or ends_before(mark, found):
                raise self._reset(mark, found)
        if committed >= 0 and (self._known is None or self._known.offset < committed):
            await self._remember(committed)
        self._looked_at = self._clock()

    async def look(self) -> None:
        """Raise OffsetOutOfRangeError when the log is not the one any more that was polled."""
        known, newest = self._known, self._newest
        if known is not None:
            found = await self._at(known.offset)
            if is_another(known, found):
                raise self._reset(known, found)
        self._known, self._looked_at = newest, self._clock()

    async def last_look(self) -> OffsetOutOfRangeError | None:
        """Return what look() raises, and never a connector error; a server that is away is not waited for."""
        if not self._member.may_begin():
            return None
        try:
            await self.look()
        except OffsetOutOfRangeError as error:
            return error
        except ConnectorError as error:
            log.warning("log_not_looked_at", topic=self._topic, error=type(error).__name__)
        return None

    async def polled(self, messages: PolledMessages) -> None:
        """Note what a poll brought. When messages came, now or since the last look, look() once a heartbeat."""
        if (messages or self._newest is not self._known) and self._clock() - self._looked_at >= self._interval:
            await self.look()
        if messages:
            self._newest = Mark.of(messages[-1])
            self._known = self._known or self._newest

    async def _remember(self, offset: int) -> PolledMessages:
        found = await self._at(offset)
        if found and found[0].offset == offset and (self._known is None or self._known.offset < offset):
            self._known = self._newest = Mark.of(found[0])
        return found

    async def _at(self, offset: int) -> PolledMessages:
        # Not as the member: a letter may stand above what is committed, and what was polled holds up a hand-over.
        return await self._member.subscriber.peek(self._partition_id, offset=offset, max_messages=1)

    def _reset(self, mark: Mark, found: PolledMessages) -> OffsetOutOfRangeError:
        position = Position(self._topic, self._partition_id, mark.offset)
        if not found:
            return log_reset(position, f"{mark.source}, but the log ends before it", found=found.current_offset)
        self.saw_another = True
        stored = moment_of(found[0].timestamp).isoformat()
        return log_reset(position, f"{mark.source}, but the event there now was stored at {stored}", found=mark.offset)
