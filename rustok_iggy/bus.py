"""EventBus: events from one part of a process to others, with no server and no disk (reliability L0).

What a dispatcher has taken lives as long as the process. For events that must not be lost publish to a transport.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from uuid import UUID

from msgspec import Struct

from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import BackpressureError
from rustok_iggy.transport import ReliabilityLevel
from rustok_iggy.validation import validate_envelope


class Listener(ABC):
    """What a bus hands envelopes to: an EventDispatcher."""

    @abstractmethod
    def has_room(self) -> bool:
        """Whether one more envelope may be taken; False counts as one rejected."""

    @property
    @abstractmethod
    def depth(self) -> int:
        """Envelopes that wait or run."""

    @abstractmethod
    def take(self, envelope: EventEnvelope) -> None:
        """Take an envelope, after has_room()."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventBusStats:
    """Events since the start: offered = published + rejected; `unheard` of the published had no dispatcher."""

    published: int
    rejected: int
    unheard: int


class EventBus:
    """Hands each event to every dispatcher that runs on it. For one event loop; publishing never waits.

    Events of a tenant reach each handler in the order of the publish calls.
    """

    reliability_level = ReliabilityLevel.IN_MEMORY

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._published = 0
        self._rejected = 0
        self._unheard = 0

    @property
    def stats(self) -> EventBusStats:
        return EventBusStats(published=self._published, rejected=self._rejected, unheard=self._unheard)

    def publish(self, tenant_id: UUID, event: Struct, *, actor_id: UUID | None = None) -> EventEnvelope:
        """Wrap an event and hand it over; return its envelope. Raises as publish_envelope(), UnknownEventTypeError."""
        envelope = EventEnvelope.new(tenant_id, event, actor_id=actor_id)
        self.publish_envelope(envelope)
        return envelope

    def publish_envelope(self, envelope: EventEnvelope) -> None:
        """Hand an envelope to all dispatchers, or to none: one that is full refuses it for all.

        Raises ValidationError, BackpressureError.
        """
        validate_envelope(envelope)
        full = next((each for each in self._listeners if not each.has_room()), None)
        if full is not None:
            self._rejected += 1
            raise BackpressureError(
                f"a dispatcher of the event bus has {full.depth} events to do; publish again later",
                depth=full.depth,
                queued_bytes=0,
            )
        for each in self._listeners:
            each.take(envelope)
        self._published += 1
        self._unheard += not self._listeners

    def attach(self, listener: Listener) -> None:
        """Hand over what is published from now on. Idempotent."""
        if listener not in self._listeners:
            self._listeners.append(listener)

    def detach(self, listener: Listener) -> None:
        """Hand over nothing more. Idempotent."""
        if listener in self._listeners:
            self._listeners.remove(listener)
