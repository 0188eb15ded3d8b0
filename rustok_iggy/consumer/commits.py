"""Stores the watermark of one partition, one store at a time, as long as the partition is known to be ours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rustok_iggy.consumer.assignment import is_still_ours
from rustok_iggy.consumer.pacing import CommitPace
from rustok_iggy.consumer.start import log_reset
from rustok_iggy.consumer.statistics import PartitionServices
from rustok_iggy.consumer.watermark import Watermark
from rustok_iggy.errors import OffsetOutOfRangeError
from rustok_iggy_connector import InvalidRequestError, MessageSubscriber, NotAssignedError, Position


class Commits:
    """The watermark, and what the server has of it. Two stores in flight could move the offset back.

    `is_known` says whether the last answer about ownership is young enough: a process that was stopped must not store,
    on waking, what somebody else has gone beyond. Stores raise NotAssignedError then: ask, and act on the answer.
    """

    def __init__(
        self,
        services: PartitionServices,
        subscriber: MessageSubscriber,
        *,
        partition_id: int,
        is_known: Callable[[], bool],
    ) -> None:
        config = services.config
        self._services = services
        self._subscriber = subscriber
        self._partition_id = partition_id
        self._is_known = is_known
        self._storing = asyncio.Lock()
        self._pace = CommitPace(every=config.commit_every, interval=config.commit_interval, now=services.clock())
        self.frozen = False
        """Ownership may have gone away and come back: commit nothing until that is known."""
        self.lost = False
        """The partition is another's, whose offset must not go back."""
        self.log_ended = False
        """The log was begun again, and what is settled is no offset of it."""
        self.start(Watermark(None))

    def start(self, watermark: Watermark) -> None:
        """Begin with a watermark."""
        self.watermark = watermark
        self._sent = watermark.stored
        """The server may have it even if no reply came. Nothing lower may be stored: the offset would go back."""
        self._expect()

    def settle(self, offset: int) -> bool:
        """An event is done; whether the watermark should be stored because of how many are."""
        watermark = self.watermark
        watermark.settle(offset)
        settled = watermark.settled
        return settled is not None and settled >= self._store_at

    @property
    def held_at(self) -> int | None:
        """The offset that holds the watermark, once half of what may be done above it is: then polls end soon."""
        watermark, config = self.watermark, self._services.config
        is_half_full = watermark.ahead * 2 >= config.max_ahead or watermark.ahead_bytes * 2 >= config.max_ahead_bytes
        return watermark.oldest_open if is_half_full else None

    @property
    def is_due(self) -> bool:
        """Whether it is time to store, and no store is under way."""
        return not self._storing.locked() and self._pace.is_due(self.watermark.unstored, self._services.clock())

    async def store(self) -> None:
        """Store the watermark. Raises ConnectorError, and OffsetOutOfRangeError when the log ends before it."""
        async with self._storing:
            offset = self.watermark.to_store
            if offset is None or self.lost or self.frozen or self.log_ended:
                return
            self._require_known()
            self._sent = offset
            try:
                await self._subscriber.commit(self._partition_id, offset=offset)
            except InvalidRequestError as error:
                raise self._reset(offset) from error
            self.watermark.store(offset)
            self._pace.committed(self._services.clock())
            self._expect()
            self._services.statistics.commits += 1

    @property
    def has_something(self) -> bool:
        """Whether there is an offset to store: only then can be told whether the server would take it."""
        return self.watermark.settled is not None

    async def store_again(self) -> bool:
        """Store what was sent last, or what may be for the first time; False when the server refuses.

        Only when there is something to store. Raises ConnectorError when it cannot be told, OffsetOutOfRangeError.
        """
        if self.log_ended:
            return False
        async with self._storing:
            if self.lost:
                return False
            offset = self._sent if self._sent is not None else self.watermark.settled
            assert offset is not None, "nothing to store, and nothing to be told by it"
            try:
                self._require_known()
                self._sent = offset
                await self._subscriber.commit(self._partition_id, offset=offset)
            except NotAssignedError:
                return False
            except InvalidRequestError as error:
                raise self._reset(offset) from error
            self.watermark.store(offset)
            return True

    async def is_still_ours(self) -> bool:
        """Whether nobody else committed since we did. Raises ConnectorError when it cannot be told."""
        async with self._storing:
            return is_still_ours(
                stored=self.watermark.stored,
                sent=self._sent,
                found=await self._subscriber.committed(self._partition_id),
            )

    def _require_known(self) -> None:
        if not self._is_known():
            raise NotAssignedError("the server has not said for several heartbeats whose partition this is")

    def _reset(self, offset: int) -> OffsetOutOfRangeError:
        position = Position(self._services.topic, self._partition_id, offset)
        return log_reset(position, "is done and cannot be committed, for the log ends before it", found=None)

    def _expect(self) -> None:
        stored = self.watermark.stored
        self._store_at = (-1 if stored is None else stored) + self._services.config.commit_every
