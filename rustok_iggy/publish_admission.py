"""Who enters the publish queue next. Decides only: producer.py queues and waits.

Rules (names of the invariants in the tests):
- bounded: what is in the queue never passes its bounds, and neither does what waits for room.
- call order: nobody overtakes who waits, not even when it would fit. So nobody starves, and tenants keep their order.
- all or none: the events of one call enter together.
- every place comes back: what leaves without having entered holds none.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Generic, TypeVar

from rustok_iggy.backpressure import BackpressureController, BackpressurePolicy
from rustok_iggy.errors import BackpressureError, ValidationError

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Entrant(Generic[T]):
    """The events of one call, `count` of them with `size` bytes of payload; `entered` once they have places."""

    call: T
    count: int
    size: int
    entered: bool = False


class Admission(Generic[T]):
    """Lets calls into the publish queue in the order they came. For one event loop."""

    def __init__(self, controller: BackpressureController) -> None:
        self.controller = controller
        self._waiting: OrderedDict[Entrant[T], None] = OrderedDict()
        self._waiting_events = 0
        self._waiting_bytes = 0

    @property
    def waiting_events(self) -> int:
        """Events that wait outside of the queue."""
        return self._waiting_events

    @property
    def waiting(self) -> tuple[Entrant[T], ...]:
        """Calls that wait, in order."""
        return tuple(self._waiting)

    def enter_at_once(self, size: int, *, count: int) -> bool:
        """Take the places of a call if nobody waits and they are there."""
        if self._waiting or not self.controller.fits(size, count=count):
            return False
        self.controller.take(size, count=count)
        return True

    def enter(self, entrant: Entrant[T]) -> bool:
        """Take the places of a call; False: it waits, and will be among those that give_back() lets in.

        Raises BackpressureError when it has to be refused, ValidationError when even an empty queue is too small.
        """
        controller = self.controller
        if self.enter_at_once(entrant.size, count=entrant.count):
            entrant.entered = True
            return True
        self._require_possible(entrant)
        if controller.config.policy is BackpressurePolicy.REJECT or not self._may_wait(entrant):
            controller.rejected += entrant.count
            raise self.refusal("not taken")
        self._waiting[entrant] = None
        self._waiting_events += entrant.count
        self._waiting_bytes += entrant.size
        return False

    def withdraw(self, entrant: Entrant[T]) -> list[Entrant[T]]:
        """Take a call from those that wait; return those that entered because of it. Idempotent."""
        if entrant in self._waiting:
            self._stop_waiting(entrant)
        return self._let_in()

    def give_back(self, size: int, *, count: int) -> list[Entrant[T]]:
        """Give back places of calls that entered; return those that entered because of it, in order."""
        self.controller.release(size, count=count)
        return self._let_in() if self._waiting else []

    def _let_in(self) -> list[Entrant[T]]:
        admitted = []
        while self._waiting:
            first = next(iter(self._waiting))
            if not self.controller.fits(first.size, count=first.count):
                break
            self._stop_waiting(first)
            self.controller.take(first.size, count=first.count)
            first.entered = True
            admitted.append(first)
        return admitted

    def refusal(self, what: str) -> BackpressureError:
        """Say how full the queue is, and what to do."""
        controller = self.controller
        return BackpressureError(
            f"{what}: {controller.depth} of at most {controller.config.max_queue_depth} events"
            f" ({controller.queued_bytes} of {controller.config.max_queue_bytes} bytes) wait to be confirmed and"
            f" {self._waiting_events} wait for room; publish more slowly, look why the server is slow, or raise"
            " backpressure.max_queue_depth and max_queue_bytes",
            depth=controller.depth,
            queued_bytes=controller.queued_bytes,
        )

    def _require_possible(self, entrant: Entrant[T]) -> None:
        config = self.controller.config
        if entrant.count > 1 and (entrant.count > config.max_queue_depth or entrant.size > config.max_queue_bytes):
            problem = (
                f"batch: {entrant.count} events with {entrant.size} bytes are more than the publish queue holds"
                f" ({config.max_queue_depth} events, {config.max_queue_bytes} bytes); publish them in parts, or raise"
                " backpressure.max_queue_depth and max_queue_bytes"
            )
            raise ValidationError([problem])

    def _may_wait(self, entrant: Entrant[T]) -> bool:
        config = self.controller.config
        return not self._waiting or (
            self._waiting_events + entrant.count <= config.max_queue_depth
            and self._waiting_bytes + entrant.size <= config.max_queue_bytes
        )

    def _stop_waiting(self, entrant: Entrant[T]) -> None:
        del self._waiting[entrant]
        self._waiting_events -= entrant.count
        self._waiting_bytes -= entrant.size
