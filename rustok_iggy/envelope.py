"""The envelope: an event, and the ids that place it in its tenant, its history and its trace."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Generic, TypeVar
from uuid import UUID

from msgspec import Struct

from rustok_iggy.catalog import declared

if TYPE_CHECKING:
    AnyEvent = Struct
    Holder = object
else:
    # At run time the event's type is a parameter: a decoder for EventEnvelope[X] makes the envelope itself, where
    # else it would make something that an envelope is then made of, for a quarter of the time that decoding takes.
    AnyEvent = TypeVar("AnyEvent")
    Holder = Generic[AnyEvent]

ENTROPY_BITS = 80
"""ULID: 48 bits of milliseconds since 1970, then 80 random bits."""


class UlidGenerator:
    """Makes event ids: a ULID's 16 bytes as a UUID, so that ids sort by the time they were made.

    Ids of one generator always rise, also within one millisecond and when the clock goes back; safe for several
    threads. `clock` gives nanoseconds since 1970, `entropy` that many random bytes.
    """

    def __init__(
        self, *, clock: Callable[[], int] = time.time_ns, entropy: Callable[[int], bytes] = os.urandom
    ) -> None:
        self._clock = clock
        self._entropy = entropy
        self._lock = threading.Lock()
        self._last = 0

    def __call__(self) -> UUID:
        """Return the next id."""
        with self._lock:
            milliseconds = self._clock() // 1_000_000
            if milliseconds > self._last >> ENTROPY_BITS:
                # Randomness is read once a millisecond; within one, counting up keeps the order and costs nothing.
                random = int.from_bytes(self._entropy(ENTROPY_BITS // 8), "big")
                self._last = (milliseconds << ENTROPY_BITS) | random
            else:
                self._last += 1
            return UUID(int=self._last)

    def forget(self) -> None:
        """Start again: a forked child must not go on counting where its parent does."""
        self._lock = threading.Lock()  # the parent's may have been held by a thread that is not here
        self._last = 0


new_event_id = UlidGenerator()
"""The process's own generator."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=new_event_id.forget)


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


class EventEnvelope(Struct, Holder, frozen=True, kw_only=True, gc=False):
    """One event with its ids. The order of the fields is their order on the wire (RusToK's EventEnvelope).

    `timestamp` is in UTC with microseconds. Its repr shows ids and the event's type, never the event's content. Not
    tracked by the garbage collector, which thousands of them would keep busy: an event does not refer to its envelope.
    """

    id: UUID
    event_type: str
    schema_version: int
    correlation_id: UUID
    causation_id: UUID | None = None
    tenant_id: UUID
    trace_id: str | None = None
    timestamp: datetime
    actor_id: UUID | None = None
    event: AnyEvent
    retry_count: int = 0

    @classmethod
    def new(
        cls,
        tenant_id: UUID,
        event: Struct,
        *,
        actor_id: UUID | None = None,
        trace_id: str | None = None,
        caused_by: EventEnvelope | None = None,
        ids: Callable[[], UUID] = new_event_id,
        clock: Callable[[], datetime] = utc_now,
    ) -> EventEnvelope:
        """Wrap `event` for `tenant_id` with a new id and the current time.

        A root event correlates with itself. One that is `caused_by` another envelope takes over its correlation,
        names it as the cause and, unless `trace_id` is given, stays in its trace.
        Raises UnknownEventTypeError when the event's class was not declared in a catalogue.
        """
        declaration = declared(type(event))
        event_id = ids()
        if caused_by is not None and trace_id is None:
            trace_id = caused_by.trace_id
        return cls(
            id=event_id,
            event_type=declaration.event_type,
            schema_version=declaration.version,
            correlation_id=event_id if caused_by is None else caused_by.correlation_id,
            causation_id=None if caused_by is None else caused_by.id,
            tenant_id=tenant_id,
            trace_id=trace_id,
            timestamp=clock(),
            actor_id=actor_id,
            event=event,
        )

    def __repr__(self) -> str:
        return (
            f"EventEnvelope(id={self.id}, event_type={self.event_type!r}, schema_version={self.schema_version},"
            f" tenant_id={self.tenant_id}, correlation_id={self.correlation_id})"
        )
