"""What goes wrong on purpose: handlers that fail, are cancelled or called again, a dead-letter topic that is down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import ConfigError
from rustok_iggy.testing.history import Wanted, is_wanted
from rustok_iggy.topology import Topic
from rustok_iggy_connector import TransientServerError


class FaultKind(StrEnum):
    """What is done to a call of a handler."""

    FAIL = "fail"
    CANCEL = "cancel"
    REDELIVER = "redeliver"


@dataclass(slots=True, kw_only=True)
class Fault:
    """What is done to the next `left` calls that it means, of one group or (None) of all."""

    kind: FaultKind
    on: Wanted | None
    group: str | None
    left: int
    error: Exception | None = None
    at: int = 1


class Faults:
    """What the next calls of handlers meet. Each fault is used up by the first calls that it means.

    `on` is an event, an event's class or a type's name; None: every event. `times` is how many calls, at least 1.
    """

    def __init__(self) -> None:
        self._planned: list[Fault] = []
        self._down: set[str] = set()

    def fail(self, error: Exception, *, on: Wanted | None = None, group: str | None = None, times: int = 1) -> None:
        """Raise `error` in the handler's place. RetryLater and Reject do what they do when a handler raises them."""
        self._plan(Fault(kind=FaultKind.FAIL, on=on, group=group, left=times, error=error))

    def redeliver(self, *, on: Wanted | None = None, group: str | None = None, times: int = 1) -> None:
        """Let the handler end well, and hand it the same event again: as if the offset had not been committed."""
        self._plan(Fault(kind=FaultKind.REDELIVER, on=on, group=group, left=times))

    def cancel(self, *, at: int = 1, on: Wanted | None = None, group: str | None = None, times: int = 1) -> None:
        """Cancel the handler where it waits for the `at`-th time, and hand it the same event again, as a new owner
        would. A handler that waits less often is not cancelled; one that is no `async def` fails.
        """
        if at < 1:
            raise ConfigError(["cancel(at): counts from 1"])
        self._plan(Fault(kind=FaultKind.CANCEL, on=on, group=group, left=times, at=at))

    @contextmanager
    def dead_letters_down(self) -> Iterator[None]:
        """Let the server refuse all writes to the dead-letter topic while inside: what fails waits, nothing is lost."""
        self._down.add(Topic.DLQ)
        try:
            yield
        finally:
            self._down.discard(Topic.DLQ)

    @property
    def planned(self) -> list[Fault]:
        """What no call has met yet: a test that planned a fault wants to know that it happened."""
        return [each for each in self._planned if each.left]

    def next_for(self, envelope: EventEnvelope, *, group: str) -> Fault | None:
        """Take the fault that this call meets. For the observers of handlers."""
        for fault in self._planned:
            if fault.left and is_wanted(envelope, fault.on) and fault.group in {None, group}:
                fault.left -= 1
                return fault
        return None

    def check(self, topic: str) -> None:
        """Raise TransientServerError when a topic is down. For connectors."""
        if topic in self._down:
            raise TransientServerError(f"topic {topic} is down on purpose", command="send")

    def _plan(self, fault: Fault) -> None:
        if fault.left < 1:
            raise ConfigError([f"{fault.kind}(times): must be at least 1"])
        self._planned.append(fault)
