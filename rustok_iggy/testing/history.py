"""What happened to the events of a test: what was published, and every call of a handler."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from msgspec import Struct

from rustok_iggy.catalog import declared
from rustok_iggy.consumer.context import DeliveryContext
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy_connector import PublishConfirmation

MAX_NOTES = 100_000
"""Published events, and as many calls: some 200 MB. Who tests with more measures load, and needs no such notes."""

Wanted = EventEnvelope | type[Struct] | str
"""What an expectation or a fault means: one event, all of a class, or all of a type's name."""


def is_wanted(envelope: EventEnvelope, wanted: Wanted | None) -> bool:
    """Whether an envelope is meant; None means every one."""
    if wanted is None:
        return True
    if isinstance(wanted, EventEnvelope):
        return envelope.id == wanted.id
    return envelope.event_type == type_name(wanted)


def type_name(wanted: type[Struct] | str) -> str:
    """The name of an event type. Raises UnknownEventTypeError for a class that no catalogue declares."""
    return wanted if isinstance(wanted, str) else declared(wanted).event_type


class Outcome(StrEnum):
    """How a call of a handler ended."""

    RUNNING = "running"
    HANDLED = "handled"
    FAILED = "failed"
    CANCELLED = "cancelled"


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One call of a handler. `began` in seconds of the history's clock."""

    handler: str
    envelope: EventEnvelope
    context: DeliveryContext
    began: float
    outcome: Outcome = Outcome.RUNNING
    error: BaseException | None = field(default=None, repr=False)

    @property
    def group(self) -> str:
        """As whom the handler was called."""
        return self.context.group

    def ended(self, error: BaseException | None) -> None:
        """Note how the call ended."""
        self.error = error
        if error is None:
            self.outcome = Outcome.HANDLED
        else:
            self.outcome = Outcome.CANCELLED if isinstance(error, asyncio.CancelledError) else Outcome.FAILED


@dataclass(slots=True, kw_only=True)
class Publication:
    """One published event; `confirmation` is None while, or because, the server has not confirmed it."""

    envelope: EventEnvelope
    confirmation: PublishConfirmation | None = None


class History:
    """Notes in the order of the calls. Handlers in threads may note as well."""

    def __init__(self) -> None:
        self.publications: list[Publication] = []
        self.attempts: list[Attempt] = []

    def publish(self, envelope: EventEnvelope) -> Publication:
        """Note that an event is being published."""
        _check_room(self.publications)
        noted = Publication(envelope=envelope)
        self.publications.append(noted)
        return noted

    def begin(self, attempt: Attempt) -> None:
        """Note that a handler is being called."""
        _check_room(self.attempts)
        self.attempts.append(attempt)

    def published(self, wanted: Wanted | None = None, *, tenant_id: UUID | None = None) -> list[EventEnvelope]:
        """Return what the server confirmed, in the order of the publish calls."""
        confirmed = (each.envelope for each in self.publications if each.confirmation is not None)
        return [each for each in confirmed if is_wanted(each, wanted) and tenant_id in {None, each.tenant_id}]

    def calls(
        self, wanted: Wanted | None = None, *, group: str | None = None, tenant_id: UUID | None = None
    ) -> list[Attempt]:
        """Return the calls of handlers, in the order in which they began; those of a replay are not among them."""
        return [
            each
            for each in tuple(self.attempts)
            if is_wanted(each.envelope, wanted)
            and group in {None, each.group}
            and tenant_id in {None, each.envelope.tenant_id}
            and each.context.replay is None
        ]

    def handled(
        self, wanted: Wanted | None = None, *, group: str | None = None, tenant_id: UUID | None = None
    ) -> list[EventEnvelope]:
        """Return the events whose handlers returned, once for each time, in the order in which the calls began."""
        calls = self.calls(wanted, group=group, tenant_id=tenant_id)
        return [each.envelope for each in calls if each.outcome is Outcome.HANDLED]


def _check_room(notes: list[Attempt] | list[Publication]) -> None:
    if len(notes) >= MAX_NOTES:
        raise RuntimeError(f"a test's history holds {MAX_NOTES} notes; use a transport of its own to measure load")


def describe(envelope: EventEnvelope) -> str:
    """Name an event for a person, without its content."""
    return f"{envelope.event_type} {envelope.id} of tenant {envelope.tenant_id}"


def describe_error(error: BaseException) -> str:
    """Say what was raised and where: its text is the tester's own."""
    text = str(error)
    places = list(_places(error))
    return f"{type(error).__name__}{f': {text}' if text else ''}{f' ({places[-1]})' if places else ''}"


def _places(error: BaseException) -> Iterator[str]:
    for frame in traceback.extract_tb(error.__traceback__):
        path = Path(frame.filename)
        if not path.is_relative_to(_OURS):
            yield f"{path.name}:{frame.lineno}"


_OURS = Path(__file__).parent
"""Frames of these observers say nothing about a handler."""
