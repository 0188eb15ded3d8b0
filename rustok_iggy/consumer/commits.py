"""Stores the watermark of one partition, one store at a time, as long as the partition is known to be ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from rustok_iggy.consumer.assignment import is_still_ours
from rustok_iggy.consumer.membership import Membership, is_transient
from rustok_iggy.consumer.pacing import CommitPace
from rustok_iggy.consumer.start import log_reset
from rustok_iggy.consumer.statistics import PartitionServices
from rustok_iggy.consumer.watermark import Watermark
from rustok_iggy.errors import OffsetOutOfRangeError
from rustok_iggy_connector import ConnectorError, InvalidRequestError, NotAssignedError, Position

Begin = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]
"""Begins a task that its partition ends with, and whose error is the partition's."""


class Commits:
    """The watermark, and what the server has of it. Two stores in flight could move the offset back.

    Deliveries go on while it is stored (store_soon). A member whose last answer about ownership is too old must not
    store: a process that was stopped would, on waking, undo what somebody else has stored. Stores raise
    NotAssignedError then: ask, and act on the answer.
    """

    def __init__(
        self,
        services: PartitionServices,
        member: Membership,
        *,
        partition_id: int,
        watermark: Watermark,
        begin: Begin,
    ) -> None:
        config = services.config
        self._services = services
        self._member = member
        self._subscriber = member.subscriber
        self._partition_id = partition_id
        self._begin = begin
        self._storing = asyncio.Lock()
        self._soon: asyncio.Task[None] | None = None
        self._is_over = False
        # What is not stored counts against max_ahead, and max_ahead_bytes: it must be stored long before it fills them.
        self._every = max(1, min(config.commit_every, config.max_ahead // 2))
        self._most_bytes = config.max_ahead_bytes // 2
        self._pace = CommitPace(every=self._every, interval=config.commit_interval, now=services.clock())
        self.watermark = watermark
        self.settle = watermark.settle  # for every event: not through a method of its own
        self.frozen = False
        """Ownership may have gone away and come back: commit nothing until that is known."""
        self.lost = False
        """The partition is another's, whose offset must not go back."""
        self.log_ended = False
        """The log was begun again, and what is settled is no offset of it."""

    @property
    def held_at(self) -> int | None:
        """The offset that holds the watermark, once half of what may be done above it is: then polls end soon."""
        watermark, config = self.watermark, self._services.config
        is_half_full = watermark.ahead * 2 >= config.max_ahead or watermark.ahead_bytes * 2 >= config.max_ahead_bytes
        return watermark.oldest_open if is_half_full else None

    @property
    def until_due(self) -> int:
        """How many more events may be settled until the watermark is to be stored because of how many are."""
        if self._soon is not None or self._is_barred:
            return self._every  # who waits for a store looks again when it is over
        return max(1, self._every - self.watermark.unstored)

    def store_soon(self) -> None:
        """Begin to store the watermark, if that is due and no store is under way."""
        if self._soon is None and self._is_due():
            self._soon = self._begin(self._store_or_ask())
            self._soon.add_done_callback(self._stored)

    def end(self) -> None:
        """No handler runs any more: begin no store that nobody waits for. The last store() waits for one under way."""
        self._is_over = True

    async def until_stored(self) -> None:
        """Return when no store is under way: what is known of the owner may be too old for another one by then."""
        async with self._storing:
            return

    async def store(self) -> None:
        """Store the watermark. Raises ConnectorError, and OffsetOutOfRangeError when the log ends before it."""
        async with self._storing:
            if self.watermark.to_store is None or self._is_barred:
                return
            self._require_known()
            await self._commit(self.watermark.send())
            self._pace.committed(self._services.clock())
            self._services.statistics.commits += 1

    @property
    def has_something(self) -> bool:
        """Whether there is an offset to store: only then can be told whether the server would take it."""
        return self.watermark.settled is not None

    async def store_again(self) -> bool:
        """Store what was sent last, or what may be for the first time; False when the server refuses.

        Only when there is something to store. Raises ConnectorError when it cannot be told, as while the last answer
        about ownership is too old to store anything: a process that was stopped has not lost it. OffsetOutOfRangeError.
        """
        if self.log_ended:
            return False
        async with self._storing:
            if self.lost:
                return False
            self._require_known()
            sent = self.watermark.sent  # nothing lower may be stored: the offset would go back
            try:
                await self._commit(self.watermark.send() if sent is None else sent)
            except NotAssignedError:
                return False
            return True

    async def is_still_ours(self) -> bool:
        """Whether nobody else committed since we did. Raises ConnectorError when it cannot be told."""
        async with self._storing:
            return is_still_ours(
                stored=self.watermark.stored,
                sent=self.watermark.sent,
                found=await self._subscriber.committed(self._partition_id),
            )

    @property
    def _is_barred(self) -> bool:
        """Whether nothing may be stored, however much is settled."""
        return self.frozen or self.lost or self.log_ended

    def _is_due(self) -> bool:
        watermark = self.watermark
        if self._is_over or self._is_barred:
            return False
        if self._storing.locked() or watermark.to_store is None:
            return False
        return watermark.unstored_bytes >= self._most_bytes or self._pace.is_due(
            watermark.unstored, self._services.clock()
        )

    async def _store_or_ask(self) -> None:
        try:
            await self.store()
        except ConnectorError as error:
            if not is_transient(error):
                raise
            # Whose partition it is now decides what becomes of the watermark.
            await self._member.next_answer()

    async def _commit(self, offset: int) -> None:
        """Store what was sent last. Raises as store()."""
        try:
            await self._subscriber.commit(self._partition_id, offset=offset)
        except InvalidRequestError as error:
            raise self._reset(offset) from error
        self.watermark.store()

    def _stored(self, _: asyncio.Task[None]) -> None:
        """It is over, also when it was cancelled before it had begun."""
        self._soon = None

    def _require_known(self) -> None:
        if not self._member.may_begin():
            raise NotAssignedError("the server has not said for several heartbeats whose partition this is")

    def _reset(self, offset: int) -> OffsetOutOfRangeError:
        position = Position(self._services.topic, self._partition_id, offset)
        return log_reset(position, "is done and cannot be committed, for the log ends before it", found=None)
