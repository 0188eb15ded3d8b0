"""Takes polled messages into a partition: gaps, filter, copies; then into a lane, or behind a dead letter."""

from __future__ import annotations

from collections.abc import Sequence

from rustok_iggy.consumer.commits import Commits
from rustok_iggy.consumer.deduplication import Deduplication
from rustok_iggy.consumer.delivery import Delivery
from rustok_iggy.consumer.lane_runner import LaneRunner
from rustok_iggy.consumer.letters import LetterWriter
from rustok_iggy.consumer.pacing import PollPace
from rustok_iggy.consumer.statistics import PartitionServices
from rustok_iggy.consumer.subscription import OnGap, Ordering
from rustok_iggy.errors import DecodeError, OffsetOutOfRangeError
from rustok_iggy_connector import Position, ReceivedMessage, get_logger

log = get_logger(__name__)

REFILL_AT = 1 / 3
"""Share of the prefetched messages that wait when the next poll begins: handlers that do nothing take 1 ms for so many,
as long as a poll takes behind a store, and polls stay big."""


class Intake:
    """Where a partition is read next, and what becomes of each message. `exact`: one above `next_offset` is a gap."""

    def __init__(
        self,
        services: PartitionServices,
        *,
        partition_id: int,
        next_offset: int,
        exact: bool,
        commits: Commits,
        runner: LaneRunner,
        letters: LetterWriter,
    ) -> None:
        config = services.config
        self._services = services
        self._partition_id = partition_id
        self._exact = exact
        self._commits = commits
        self._runner = runner
        self._letters = letters
        self._lettered: frozenset[int] = frozenset()
        self._refill_at = int(config.max_prefetch * REFILL_AT)
        self._pace = PollPace(max_messages=config.max_prefetch, max_idle_delay=config.max_idle_delay)
        self.next_offset = next_offset
        self.known: Deduplication | None = None
        self.is_full = False
        """Whether nothing more may be done above what is stored."""

    def start_after(self, offset: int, *, lettered: frozenset[int]) -> None:
        """Begin behind an offset; events that are `lettered` are dead letters already, and settled (F3)."""
        self.next_offset, self._lettered = offset + 1, lettered
        self._exact = offset >= 0

    def room(self) -> int:
        """How many messages may be polled now: none while a third of the prefetched ones waits (REFILL_AT)."""
        config, watermark = self._services.config, self._commits.watermark
        come_again = watermark.come_again
        self.is_full = come_again >= config.max_ahead or watermark.come_again_bytes >= config.max_ahead_bytes
        if self.is_full or self._services.pauses.everything:
            return 0
        waiting = self._runner.lanes.runnable
        if waiting > self._refill_at:
            return 0
        return min(self._pace.count, config.max_prefetch - waiting, config.max_ahead - come_again)

    @property
    def until_room(self) -> int:
        """How many deliveries are to end until there may be room to poll for more; 0: there may be now."""
        return max(0, self._runner.lanes.runnable - self._refill_at)

    def polled(self, messages: Sequence[ReceivedMessage], *, asked: int) -> float:
        """Take in what came of the messages `asked` for; seconds until the next poll. Raises OffsetOutOfRangeError."""
        if messages:
            self._check_gap(messages[0].offset)
            self._services.statistics.polled += len(messages)
            self._take_in(messages)
            self._runner.kick()
        return self._pace.polled(messages, is_all=len(messages) < asked)

    def _take_in(self, messages: Sequence[ReceivedMessage]) -> None:
        services, watermark, reader = self._services, self._commits.watermark, self._services.reader
        # Nearly always nobody is held back and nothing is lettered: then no message is asked for it.
        parking = self._letters.parking if self._letters.parking.holds_any else None
        by_tenant = services.ordering is Ordering.TENANT
        for message in messages:
            offset = message.offset
            try:
                opened = reader.open(message)
                route = services.router(opened.event_type)
            except DecodeError as error:
                opened = reader.unreadable(message, error, position=self._position(offset))
                route = services.router.unreadable
            watermark.begin(offset, len(message.payload))
            self.next_offset, self._exact = offset + 1, True
            if route is None:
                services.statistics.filtered += 1
            elif self.known is not None and not self.known.is_new(message.id):
                services.statistics.duplicates += 1
            elif self._lettered and offset in self._lettered:
                services.statistics.letters += 1
            else:
                delivery = Delivery(offset=offset, message=message, opened=opened, route=route)
                tenant = opened.tenant_id.int
                if parking is not None and parking.holds(tenant, offset):
                    parking.follow(delivery)
                else:
                    self._runner.lanes.add(tenant if by_tenant else None, delivery)
                continue
            watermark.settle(offset)
        if parking is not None:
            self._letters.moved()

    @property
    def position(self) -> Position:
        """The last message that was polled, or passed over."""
        return self._position(self.next_offset - 1)

    def _position(self, offset: int) -> Position:
        return Position(self._services.topic, self._partition_id, offset)

    def _check_gap(self, found: int) -> None:
        if found <= self.next_offset or not self._exact:
            return
        services = self._services
        error = OffsetOutOfRangeError(
            f"group {services.group}, topic {services.topic}, partition {self._partition_id}: the events from offset"
            f" {self.next_offset} to {found - 1} are gone, removed by retention before they were handled; accept the"
            " loss with on_gap='continue', and let retention keep events longer than the group may stand still",
            topic=services.topic,
            partition_id=self._partition_id,
            expected=self.next_offset,
            found=found,
        )
        if services.on_gap is OnGap.STOP:
            raise error
        services.statistics.gaps += 1
        log.error("gap_accepted", group=services.group, error=str(error))
