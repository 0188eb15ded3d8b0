"""One assigned partition: polls ahead, delivers strictly in order, stores what is settled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import structlog

from rustok_iggy.config import ConsumerConfig
from rustok_iggy.consumer.assignment import is_still_ours
from rustok_iggy.consumer.context import DeliveryContext
from rustok_iggy.consumer.delivery import EnvelopeReader, Router
from rustok_iggy.consumer.pacing import CommitPace, PollPace
from rustok_iggy.consumer.subscription import OnGap
from rustok_iggy.consumer.watermark import Watermark
from rustok_iggy.errors import CommitError, ConsumerError, OffsetOutOfRangeError
from rustok_iggy_connector import ConnectorError, MessageSubscriber, NotAssignedError, Position, ReceivedMessage

log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class ConsumerStatistics:
    """Messages since the start, of all groups together. polled = handled + filtered + what is in flight or given up."""

    polled: int = 0
    handled: int = 0
    filtered: int = 0
    failed: int = 0
    commits: int = 0
    gaps: int = 0
    lost_partitions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionServices:
    """What every partition of a member uses."""

    group: str
    topic: str
    on_gap: OnGap
    reader: EnvelopeReader
    router: Router
    config: ConsumerConfig
    statistics: ConsumerStatistics
    clock: Callable[[], float]


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


@dataclass(slots=True, kw_only=True)
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
    _polling: bool = field(default=True, init=False)
    _delivering: bool = field(default=True, init=False)
    _lost: bool = field(default=False, init=False)
    _wakeup: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _storing: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)
    _poll_pace: PollPace = field(init=False)
    _commit_pace: CommitPace = field(init=False)

    def __post_init__(self) -> None:
        config = self.services.config
        self._poll_pace = PollPace(max_messages=config.max_prefetch, max_idle_delay=config.max_idle_delay)
        self._commit_pace = CommitPace(
            every=config.commit_every, interval=config.commit_interval, now=self.services.clock()
        )

    def hand_over(self) -> None:
        """Poll no more; finish and commit what was polled."""
        self._polling = False
        self._wakeup.set()

    def stop(self) -> None:
        """Begin nothing more; commit what was handled."""
        self._delivering = False
        self.hand_over()

    def lose(self) -> None:
        """Begin nothing more and commit nothing, also when a handler swallows its cancellation."""
        self._lost = True
        self.stop()

    async def run(self) -> None:
        """Consume until told to end.

        Raises what a handler raises, DecodeError and its kind, OffsetOutOfRangeError, and connector errors that no
        repetition mends. Everything handled before is committed first, where the server still takes it.
        """
        try:
            while self._polling:
                messages = await self._poll()
                for message in messages:
                    if not await self._wait_until_allowed():
                        break
                    await self._deliver(message)
                await self._pause(self._poll_pace.polled(messages))
        except asyncio.CancelledError:
            if _is_cancelled():
                raise
            # Nobody cancelled this task: a handler let a cancellation of its own escape, which is no success.
            raise ConsumerError("a handler raised CancelledError") from None
        finally:
            # Not on cancellation: the partition may be another's, whose offset must not go back.
            if not _is_cancelled():
                await self._commit_at_end()

    async def commit_if_due(self) -> None:
        """Store the watermark when it is time to. Raises ConnectorError."""
        if self._commit_pace.is_due(self.watermark.unstored, self.services.clock()):
            await self.commit()

    async def commit(self) -> None:
        """Store the watermark, one store at a time. Raises ConnectorError."""
        async with self._storing:
            offset = self.watermark.to_store
            if offset is None or self._lost:
                return
            await self.member.subscriber.commit(self.partition_id, offset=offset)
            self.watermark.store(offset)
            self._commit_pace.committed(self.services.clock())
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

    async def _poll(self) -> Sequence[ReceivedMessage]:
        try:
            messages = await self.member.subscriber.poll(
                self.partition_id, offset=self.next_offset, max_messages=self._poll_pace.count
            )
        except ConnectorError as error:
            if not is_transient(error):
                raise
            await self.member.next_answer()
            return ()
        if messages:
            self._check_gap(messages[0].offset)
            self.services.statistics.polled += len(messages)
        return messages

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

    async def _wait_until_allowed(self) -> bool:
        while self._delivering and not self.member.may_begin():
            await self.member.next_answer()
        return self._delivering

    async def _deliver(self, message: ReceivedMessage) -> None:
        services = self.services
        offset = message.offset
        self.watermark.begin(offset)
        self.next_offset, self.exact = offset + 1, True
        found = services.reader.read(message, services.router, Position(services.topic, self.partition_id, offset))
        if found is None:
            services.statistics.filtered += 1
        else:
            envelope, run = found
            member = self.member
            await run(
                envelope,
                DeliveryContext(
                    group=services.group,
                    group_id=member.group_id,
                    generation=self.generation,
                    topic=services.topic,
                    partition_id=self.partition_id,
                    offset=offset,
                    stored_at=message.timestamp,
                ),
            )
            services.statistics.handled += 1
        self.watermark.settle(offset)
        await self._commit_or_ask()

    async def _commit_or_ask(self) -> None:
        try:
            await self.commit_if_due()
        except ConnectorError as error:
            if not is_transient(error):
                raise
            # Whose partition it is now decides what becomes of the watermark.
            await self.member.next_answer()

    async def _commit_at_end(self) -> None:
        try:
            await self.commit()
        except ConnectorError as error:
            come_again = CommitError(
                f"partition {self.partition_id} of topic {self.services.topic}: {self.watermark.unstored} handled"
                f" events were not committed and will come again: {error}"
            )
            log.warning("commit_failed_at_end", group=self.services.group, error=str(come_again))

    async def _pause(self, delay: float) -> None:
        if delay <= 0 or not self._polling:
            return
        await self._commit_or_ask()
        try:
            async with asyncio.timeout(delay):
                await self._wakeup.wait()
        except TimeoutError:
            return


def is_transient(error: ConnectorError) -> bool:
    """Whether the next answer about ownership mends it."""
    return error.retryable or isinstance(error, NotAssignedError)


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
