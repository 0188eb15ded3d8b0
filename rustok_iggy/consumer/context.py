"""What a handler is told about the delivery beside the envelope."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from msgspec import Struct

from rustok_iggy.errors import ConsumerError
from rustok_iggy.moments import EPOCH, MICROSECOND
from rustok_iggy_connector import Position


class GroupLife(NamedTuple):
    """Which group of that name it is: one that is made anew has a higher id, and the ids begin again with its topic.

    `topic_created_at` in µs since 1970 UTC.
    """

    topic_created_at: int
    group_id: int


NO_GROUP = GroupLife(0, 0)
"""Of a delivery that no group took from the log."""


class Fence(NamedTuple):
    """Grows with every change of ownership: a host that stores it can refuse effects of an earlier owner.

    Compare all but the position (`fence[:3]`), per topic and partition: a dead letter that runs again comes after
    higher positions. A group that is created again has a higher id; a topic that is, a later `topic_created_at`.
    """

    topic_created_at: int
    group_id: int
    generation: int
    position: Position


class Redrive(Struct, frozen=True, kw_only=True, gc=False):
    """Says that the event is a dead letter that runs again. `first_failed_at` in µs since 1970 UTC.

    `attempt` counts over all requests, from 1, also such that a crash cut short: the event may have had its effect.
    """

    request_id: UUID
    attempt: int
    first_failed_at: int


class DeliveryContext(Struct, frozen=True, kw_only=True, gc=False):
    """One attempt to hand one message to one handler. `attempt` starts at 1; `stored_at` in µs since 1970 UTC."""

    group: str
    life: GroupLife = NO_GROUP
    generation: int = 0
    topic: str
    partition_id: int
    offset: int
    stored_at: int
    attempt: int = 1
    redrive: Redrive | None = None
    """None for an event that runs for the first time, or again after a retry or a crash."""
    acknowledge: Callable[[], None] | None = None
    replay: str | None = None
    """Id of the replay that hands this event over again; None: it is delivered to its group."""

    def ack(self) -> None:
        """Say that the event is done, with ack="manual": its tenant goes on, its offset may be committed.

        May be called within the handler or later, from any thread; again, or after its partition was lost, without
        effect. Raises ConsumerError without ack="manual".
        """
        if self.acknowledge is None:
            raise ConsumerError(f"group {self.group} acknowledges by returning; subscribe with ack='manual'")
        self.acknowledge()

    @property
    def group_id(self) -> int:
        """The group's number at the server."""
        return self.life.group_id

    @property
    def position(self) -> Position:
        """Where the message stands."""
        return Position(self.topic, self.partition_id, self.offset)

    @property
    def fence(self) -> Fence:
        """See Fence."""
        return Fence(*self.life, self.generation, self.position)

    @property
    def timestamp(self) -> datetime:
        """When the server stored the message."""
        return EPOCH + self.stored_at * MICROSECOND
