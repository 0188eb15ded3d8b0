"""One assigned partition: polls ahead, puts each event into its tenant's lane, stores what is settled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from rustok_iggy.consumer.assignment import is_still_ours
from rustok_iggy.consumer.deduplication import Deduplication
from rustok_iggy.consumer.delivery import Delivery, at_position
from rustok_iggy.consumer.lane_runner import LaneRunner
from rustok_iggy.consumer.pacing import CommitPace, PollPace
from rustok_iggy.consumer.start import recent_ids
from rustok_iggy.consumer.statistics import PartitionServices
from rustok_iggy.consumer.subscription import OnGap, Ordering
from rustok_iggy.consumer.watermark import Watermark
from rustok_iggy.errors import CommitError, DecodeError, OffsetOutOfRangeError
from rustok_iggy_connector import ConnectorError, MessageSubscriber, NotAssignedError, Position, ReceivedMessage

log = structlog.get_logger(__name__)


class Membership(Protocol):
    """What a partition asks its member."""

    @property
    def subscriber(self) -> MessageSubscriber: ...

    @property
    def group_id(self) -> int: ...

    def may_begin(self) -> bool:
        """Whether a delivery may begin now."""
        ...

    async def next_answer(self) -> None:
        """Ask who owns what at once; return when the answer was acted upon."""
        ...


@dataclass(slots=True, kw_only=True, eq=False)
class PartitionConsumer:
    """Consumes from `next_offset` on. `exact`: a message above it means that some are gone.

    `generation` is that of the group when its ownership was last looked at. `run()` ends by itself after `hand_over()`
    or `stop()`; after `lose()` cancel its task.
    """

    services: PartitionServices
    member: Membership
    partition_id: int
    generation: int
    next_offset: int
    exact: bool
    watermark: Watermark
    frozen: bool = False
    """Ownership may have gone away and come back: commit nothing until the committed offset was read again."""
    _polling: bool = field(default=True, init=False)
    _delivering: bool = field(default=True, init=False)
    _lost: bool = field(default=False, init=False)
    _failure: Exception | None = field(default=None, init=False)
    _full: bool = field(default=False, init=False)
    _wakeup: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _storing: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    enough_settled: bool = field(default=False, init=False)
    _store_at: int = field(init=False)
    _poll_pace: PollPace = field(init=False)
    _commit_pace: CommitPace = field(init=False)
    _known: Deduplication | None = field(default=None, init=False)
    runner: LaneRunner = field(init=False)

    def __post_init__(self) -> None:
        config = self.services.config
        self._poll_pace = PollPace(max_messages=config.max_prefetch, max_idle_delay=config.max_idle_delay)
        self._commit_pace = CommitPace(
            every=config.commit_every, interval=config.commit_interval, now=self.services.clock()
        )
        self._store_at = self._next_store_at()
        self.runner = LaneRunner(self.services, self)

    @property
    def group_id(self) -> int:
        return self.member.group_id

    def may_begin(self) -> bool:
        """Whether a delivery may begin now."""
        return self._delivering and not self.services.pauses.everything and self.member.may_begin()

    def hand_over(self) -> None:
        """Poll no more; finish and commit what was polled."""
        self._polling = False
        self._wakeup.set()

    def stop(self) -> None:
        """Begin nothing more; commit what was handled."""
        self._delivering = False
        self.runner.look_again()
        self.hand_over()

    def lose(self) -> None:
        """Begin nothing more and commit nothing, also when a handler swallows its cancellation."""
        self._lost = True
        self.stop()
        self.runner.give_up()

    def fail(self, error: Exception) -> None:
        """Begin nothing more; run() raises the first such error."""
        self._failure = self._failure or error
        self.stop()

    def changed(self) -> None:
        """Look again whether to poll, or whether all is drained."""
        self._wakeup.set()

    def settle(self, offset: int) -> None:
        """An event is done."""
        self.watermark.settle(offset)
        settled = self.watermark.settled
        if settled is not None and settled >= self._store_at:
            self.enough_settled = True

    def after_delivery(self) -> Awaitable[None] | None:
        """Return a store of the watermark when one is due and none is under way."""
        return self._commit_or_ask() if self._is_commit_due() else None

    async def run(self) -> None:
        """Consume until told to end.

        Raises what its failure policy makes of a handler's error, DecodeError, OffsetOutOfRangeError, and connector
        errors that no repetition mends. Everything handled before is committed first, where the server still takes it.
        """
        try:
            if self.services.deduplicate:
                self._known = await self._seeded()
            await self._consume()
        except (DecodeError, OffsetOutOfRangeError) as error:
            self._failure = error
            self.hand_over()  # what came before it is finished
        except ConnectorError as error:
            self.fail(error)
        except asyncio.CancelledError:
            self._lost = True
            raise
        finally:
            await self._end()
        if self._failure is not None:
            raise self._failure

    async def commit_if_due(self) -> None:
        """Store the watermark when it is time to and no store is under way. Raises ConnectorError."""
        if self._is_commit_due():
            await self.commit()

    def _next_store_at(self) -> int:
        stored = self.watermark.stored
        return (-1 if stored is None else stored) + self.services.config.commit_every

    def _is_commit_due(self) -> bool:
        return not self._storing.locked() and self._commit_pace.is_due(self.watermark.unstored, self.services.clock())

    async def commit(self) -> None:
        """Store the watermark, one store at a time. Raises ConnectorError."""
        async with self._storing:
            offset = self.watermark.to_store
            if offset is None or self._lost or self.frozen:
                return
            await self.member.subscriber.commit(self.partition_id, offset=offset)
            self.watermark.store(offset)
            self._commit_pace.committed(self.services.clock())
            self._store_at, self.enough_settled = self._next_store_at(), False
            self.services.statistics.commits += 1

    async def store_again(self) -> bool:
        """Store what is stored already, or what may be for the first time; False when the server refuses.

        Raises ConnectorError when it cannot be told.
        """
        async with self._storing:
            offset = self.watermark.stored if self.watermark.stored is not None else self.watermark.settled
            if offset is None:
                return True
            try:
                await self.member.subscriber.commit(self.partition_id, offset=offset)
            except NotAssignedError:
                return False
            if self.watermark.stored is None:
                self.watermark.store(offset)
            return True

    async def is_still_ours(self) -> bool:
        """Whether nobody else committed since we did. Raises ConnectorError when it cannot be told."""
        async with self._storing:
            return is_still_ours(
                stored=self.watermark.stored, found=await self.member.subscriber.committed(self.partition_id)
            )

    def degraded(self) -> Iterator[str]:
        """Say what holds the partition, when nothing more may be done above it."""
        if self._full:
            held = self.runner.holding(self.watermark.oldest_open)
            whose = "" if held is None else f": tenant {held.opened.tenant_id}, event {held.opened.id}"
            yield (
                f"{self.services.group}/{self.services.topic}/{self.partition_id}: paused, {self.watermark.ahead}"
                f" events wait for offset {self.watermark.oldest_open}{whose}"
            )

    def unhealthy(self, now: float) -> Iterator[str]:
        """Say which deliveries do not end."""
        for each in self.runner.stuck(now):
            yield (
                f"{self.services.group}/{self.services.topic}/{self.partition_id}: event {each.opened.id} of tenant"
                f" {each.opened.tenant_id} has not ended for {now - each.started_at:.0f} s"
            )

    async def _consume(self) -> None:
        while self._polling:
            self._wakeup.clear()
            room = self._room()
            if room <= 0:
                await self._wakeup.wait()
                continue
            messages = await self._poll(room)
            if self._is_stopped():
                return  # what was not begun is left to whoever comes next
            for message in messages:
                self._take_in(message)
            self.runner.kick()
            await self._pause(self._poll_pace.polled(messages), after=messages)

    def _is_stopped(self) -> bool:
        return not self._delivering

    def _room(self) -> int:
        """How many messages may be polled now: none while half of the prefetched ones wait, so that polls stay big."""
        config, watermark = self.services.config, self.watermark
        self._full = watermark.ahead >= config.max_ahead or watermark.ahead_bytes >= config.max_ahead_bytes
        if self._full or self.services.pauses.everything:
            return 0
        waiting = self.runner.lanes.runnable
        if waiting * 2 > config.max_prefetch:
            return 0
        return min(self._poll_pace.count, config.max_prefetch - waiting, config.max_ahead - watermark.ahead)

    async def _poll(self, count: int) -> Sequence[ReceivedMessage]:
        try:
            messages = await self.member.subscriber.poll(self.partition_id, offset=self.next_offset, max_messages=count)
        except ConnectorError as error:
            if not is_transient(error):
                raise
            await self.member.next_answer()
            return ()
        if messages:
            self._check_gap(messages[0].offset)
            self.services.statistics.polled += len(messages)
        return messages

    def _take_in(self, message: ReceivedMessage) -> None:
        """Put a message into its lane; settle at once what is filtered, or came before."""
        services, offset = self.services, message.offset
        try:
            opened = services.reader.open(message)
        except DecodeError as error:
            unreadable = at_position(Position(services.topic, self.partition_id, offset), error)
            unreadable.add_note(
                f"group {services.group}, topic {services.topic}, partition {self.partition_id}, offset {offset};"
                " it was not committed and comes again"
            )
            raise unreadable from error
        self.watermark.begin(offset, len(message.payload))
        self.next_offset, self.exact = offset + 1, True
        route = services.router(opened.event_type)
        if route is None:
            services.statistics.filtered += 1
        elif self._known is not None and not self._known.is_new(message.id):
            services.statistics.duplicates += 1
        else:
            lane = opened.tenant_id.int if services.ordering is Ordering.TENANT else None
            self.runner.lanes.add(
                lane, Delivery(offset=offset, stored_at=message.timestamp, opened=opened, route=route)
            )
            return
        self.watermark.settle(offset)

    def _check_gap(self, found: int) -> None:
        if found <= self.next_offset or not self.exact:
            return
        services = self.services
        services.statistics.gaps += 1
        error = OffsetOutOfRangeError(
            f"group {services.group}, topic {services.topic}, partition {self.partition_id}: the events from offset"
            f" {self.next_offset} to {found - 1} are gone, removed by retention before they were handled; accept the"
            " loss with on_gap='continue', and let retention keep events longer than the group may stand still",
            topic=services.topic,
            partition_id=self.partition_id,
            expected=self.next_offset,
            found=found,
        )
        if services.on_gap is OnGap.STOP:
            raise error
        log.error("gap_accepted", group=services.group, error=str(error))

    async def _seeded(self) -> Deduplication:
        while self._polling and self.watermark.stored is not None:
            try:
                return Deduplication(
                    await recent_ids(self.member.subscriber, self.partition_id, committed=self.watermark.stored)
                )
            except ConnectorError as error:
                if not is_transient(error):
                    raise
                await self.member.next_answer()
        return Deduplication()

    async def _commit_or_ask(self) -> None:
        try:
            await self.commit_if_due()
        except ConnectorError as error:
            if not is_transient(error):
                raise
            # Whose partition it is now decides what becomes of the watermark.
            await self.member.next_answer()

    async def _pause(self, delay: float, *, after: Sequence[ReceivedMessage]) -> None:
        """Wait before the next poll. Handlers that end meanwhile do not cut it short: only being told to end does."""
        if not after:
            await self._commit_or_ask()
        if delay > 0 and self._polling:
            self._wakeup.clear()
            try:
                async with asyncio.timeout(delay):
                    while self._polling:
                        await self._wakeup.wait()
                        self._wakeup.clear()
            except TimeoutError:
                return

    async def _end(self) -> None:
        """Let run what was polled, within the drain timeout; commit; forget the rest."""
        try:
            if not self._lost:
                await self._drained()
                self.runner.end()
        finally:
            self._delivering = False
            if not self.runner.is_idle or self._lost:
                self.runner.give_up()
            await self.runner.ended()
        # Not when it was lost: the partition is another's, whose offset must not go back.
        if not self._lost:
            await self._commit_at_end()

    async def _drained(self) -> None:
        try:
            async with asyncio.timeout(self.services.config.drain_timeout):
                while not self.runner.is_drained and (self._delivering or not self.runner.is_idle):
                    self._wakeup.clear()
                    await self._wakeup.wait()
        except TimeoutError:
            log.warning("handlers_cancelled", group=self.services.group, partition_id=self.partition_id)
        except asyncio.CancelledError:
            self._lost = True
            raise
        abandoned = sum(1 for _ in self.runner.lanes)
        if abandoned and self._delivering:
            self.services.statistics.abandoned_lanes += abandoned
            log.warning("lanes_abandoned", group=self.services.group, partition_id=self.partition_id, count=abandoned)

    async def _commit_at_end(self) -> None:
        try:
            await self.commit()
        except ConnectorError as error:
            come_again = CommitError(
                f"partition {self.partition_id} of topic {self.services.topic}: {self.watermark.unstored} handled"
                f" events were not committed and will come again: {error}"
            )
            log.warning("commit_failed_at_end", group=self.services.group, error=str(come_again))


def is_transient(error: ConnectorError) -> bool:
    """Whether the next answer about ownership mends it."""
    return error.retryable or isinstance(error, NotAssignedError)
