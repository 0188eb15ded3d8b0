"""Runs the lanes of one partition: a few tasks that each take a lane's head, hand it over, and take the next.

No task per message: a task lives as long as there is something to run. Decisions are elsewhere: which lane next
(lanes.py), what a failure leads to (failure.py), whether anything may begin (breaker.py, assignment.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from typing import Protocol
from uuid import UUID

import structlog

from rustok_iggy.consumer.context import DeliveryContext
from rustok_iggy.consumer.delivery import Delivery, at_position
from rustok_iggy.consumer.failure import Block, Outcome, decide
from rustok_iggy.consumer.lanes import Lane, Lanes
from rustok_iggy.consumer.statistics import PartitionServices
from rustok_iggy.errors import ConsumerError, DecodeError, RetryLater
from rustok_iggy_connector import Position

log = structlog.get_logger(__name__)

TURN = 0.02
"""Seconds that handlers which never wait may keep the event loop, until the others get their turn."""
SHORTEST_PROBE_WAIT = 0.05
"""Seconds until an open breaker is asked again while its probe runs."""

# A tenant's number is its lane's key: a UUID computes its hash in Python, three times an event.
TenantLane = Lane[int | None, Delivery]


class Partition(Protocol):
    """What the runner asks the partition it works for."""

    partition_id: int
    generation: int
    enough_settled: bool
    """Whether the watermark should be stored because of how many events are settled."""

    @property
    def group_id(self) -> int: ...

    def may_begin(self) -> bool:
        """Whether a delivery may begin now."""
        ...

    def settle(self, offset: int) -> None:
        """An event is done."""
        ...

    def changed(self) -> None:
        """There may be room for more, or the runner has become quiet."""
        ...

    def fail(self, error: Exception) -> None:
        """Stop: this delivery ends its subscription."""
        ...

    def after_delivery(self) -> Awaitable[None] | None:
        """What is to be awaited before the next delivery."""
        ...


class LaneRunner:
    """Runs what is added, within the slots of its member."""

    def __init__(self, services: PartitionServices, partition: Partition) -> None:
        self._services = services
        self._partition = partition
        self._tasks: set[asyncio.Task[None]] = set()
        self._running: dict[asyncio.Task[None], Delivery] = {}
        self._unacked: dict[int, tuple[TenantLane, Delivery]] = {}
        self._timers: dict[int | None, asyncio.TimerHandle] = {}
        self._probe: asyncio.TimerHandle | None = None
        self._given_up = False
        self._allowed_until = float("-inf")
        self.lanes: Lanes[int | None, Delivery] = Lanes()
        for tenant in services.pauses.tenants:
            self.lanes.pause(tenant.int)

    @property
    def is_idle(self) -> bool:
        """Whether no handler runs."""
        return not self._tasks

    @property
    def is_drained(self) -> bool:
        """Whether only lanes are left that wait for a retry, or are paused."""
        held = self._services.breaker.is_open or self._services.pauses.everything
        return self.is_idle and not self._unacked and (held or not self.lanes.ready)

    def kick(self) -> None:
        """Begin what may begin."""
        slots = self._services.slots
        wanted = self.lanes.ready
        while wanted and self._partition.may_begin():
            # Who has a slot does not queue for another: its own tasks would make way for itself after every delivery.
            if (self._tasks and not slots.is_free) or not slots.take(self):
                return
            task = asyncio.create_task(self._drain())
            self._tasks.add(task)
            wanted -= 1

    def look_again(self) -> None:
        """Something may begin no more, or may again: ask before the next delivery."""
        self._allowed_until = float("-inf")

    def pause(self, tenant: UUID) -> None:
        """Begin nothing of a tenant until resume()."""
        self.lanes.pause(tenant.int)
        self._partition.changed()

    def resume(self, tenant: UUID) -> None:
        """Undo pause()."""
        self.lanes.resume(tenant.int)
        self.kick()

    def give_up(self) -> None:
        """Begin nothing any more, forget what waits, settle nothing that ends from now on; cancel what runs."""
        self._given_up = True
        self.look_again()
        self.end()
        for task in self._tasks:
            task.cancel()

    def end(self) -> None:
        """Let no timer begin anything any more."""
        self._services.slots.forget(self)
        for timer in (*self._timers.values(), *([self._probe] if self._probe else [])):
            timer.cancel()
        self._timers.clear()
        self._probe = None

    async def ended(self) -> None:
        """Wait for running handlers, whatever else is cancelled: their partition must not go on beside them."""
        cancelled = False
        while self._tasks:
            try:
                await asyncio.wait(self._tasks)
            except asyncio.CancelledError:
                cancelled = True
                self.give_up()
        if cancelled:
            raise asyncio.CancelledError

    def watch(self, now: float) -> None:
        """Cancel handlers that run too long; log those that run long."""
        for task, delivery in tuple(self._running.items()):
            seconds, limit = now - delivery.started_at, delivery.route.timeout
            if limit and seconds >= limit and not delivery.timed_out:
                delivery.timed_out = True
                self._services.statistics.timed_out += 1
                task.cancel()
            elif seconds >= self._services.config.slow_handler_after and not delivery.is_slow:
                delivery.is_slow = True
                log.warning("handler_slow", **self._ids(delivery), seconds=round(seconds, 1))

    def stuck(self, now: float) -> Iterator[Delivery]:
        """Deliveries that have run, or waited for their acknowledgement, for too long."""
        begun = (*self._running.values(), *(delivery for _, delivery in self._unacked.values()))
        yield from (each for each in begun if now - each.started_at >= self._services.config.stuck_after)

    def holding(self, offset: int | None) -> Delivery | None:
        """The delivery of an offset, if it is in a lane."""
        for lane in self.lanes:
            for delivery in lane.items:
                if delivery.offset == offset:
                    return delivery
        return None

    def unacked(self, event_id: UUID) -> Iterator[Callable[[], None]]:
        """What acknowledges an event, for each open delivery that has its id."""
        begun = (*self._running.values(), *(delivery for _, delivery in self._unacked.values()))
        for delivery in begun:
            if delivery.route.manual and delivery.opened.id == event_id:
                yield partial(self._acknowledge, delivery)

    async def _drain(self) -> None:
        """Run one delivery after the other, as long as there are lanes and nobody else wants the slot."""
        services, task = self._services, asyncio.current_task()
        assert task is not None, "runs as a task"
        lanes, partition, slots, clock = self.lanes, self._partition, services.slots, services.clock
        turn_ends = clock() + TURN
        try:
            while lanes.ready and self._may_begin():
                lane = lanes.take()
                assert lane is not None, "ready, and not to be taken"
                await self._deliver(lane, task)
                is_turn_over = clock() > turn_ends
                if partition.enough_settled or is_turn_over:
                    waiting = partition.after_delivery()
                    if waiting is not None:
                        await waiting
                if slots.wanted:
                    break
                if is_turn_over:
                    await asyncio.sleep(0)
                    turn_ends = clock() + TURN
        except Exception as error:  # noqa: BLE001 - the task's outermost frame; the partition raises it
            self._partition.fail(error)
        finally:
            self._tasks.discard(task)
            following = services.slots.give()
            if following is not None:
                following.kick()
            if not task.cancelling():
                self.kick()
            self._partition.changed()

    def _may_begin(self) -> bool:
        now = self._services.clock()
        if now < self._allowed_until:
            return True
        if not self._partition.may_begin():
            return False
        breaker = self._services.breaker
        if not breaker.is_open:
            self._allowed_until = now + TURN
            return True
        if breaker.may_begin(now):
            return True
        if self._probe is None:
            wait = max(SHORTEST_PROBE_WAIT, (breaker.probe_at or now) - now)
            self._probe = asyncio.get_running_loop().call_later(wait, self._probe_again)
        return False

    def _probe_again(self) -> None:
        self._probe = None
        self.kick()

    async def _deliver(self, lane: TenantLane, task: asyncio.Task[None]) -> None:
        delivery = lane.items[0]
        delivery.attempt += 1
        delivery.started_at = self._services.clock()
        self._running[task] = delivery
        error: Exception | None = None
        try:
            await delivery.route.run(delivery.opened.decode(), self._context(delivery))
        except asyncio.CancelledError:
            if delivery.timed_out and task.uncancel() == 0:
                delivery.timed_out = False
                error = self._timeout(delivery)
            elif task.cancelling():
                self.lanes.put_back(lane)
                self._services.breaker.given_up()
                raise
            else:
                # Nobody cancelled this task: a handler let a cancellation of its own escape, which is no success.
                error = ConsumerError("a handler raised CancelledError")
        except DecodeError as unreadable:
            error = at_position(self._position(delivery), unreadable)
        except Exception as raised:  # noqa: BLE001 - user code; what it raises is decided upon
            error = raised
        else:
            if delivery.timed_out:  # the handler swallowed its cancellation, which is no success either
                delivery.timed_out = False
                task.uncancel()
                error = self._timeout(delivery)
        finally:
            del self._running[task]
        if self._given_up:
            self.lanes.put_back(lane)
        elif error is not None and not delivery.acked:
            self._failed(lane, delivery, error)
        else:
            self._succeeded(lane, delivery)

    def _context(self, delivery: Delivery) -> DeliveryContext:
        partition, services = self._partition, self._services
        return DeliveryContext(
            group=services.group,
            group_id=partition.group_id,
            generation=partition.generation,
            topic=services.topic,
            partition_id=partition.partition_id,
            offset=delivery.offset,
            stored_at=delivery.stored_at,
            attempt=delivery.attempt,
            acknowledge=self._acknowledgement(delivery) if delivery.route.manual else None,
            replay=services.replay,
        )

    def _succeeded(self, lane: TenantLane, delivery: Delivery) -> None:
        self._services.breaker.succeeded()
        if delivery.route.manual and not delivery.acked:
            self._unacked[delivery.offset] = lane, delivery
            self.lanes.wait(lane)
            return
        self.lanes.done(lane)
        self._services.statistics.handled += 1
        self._partition.settle(delivery.offset)

    def _failed(self, lane: TenantLane, delivery: Delivery, error: Exception) -> None:
        services, now = self._services, self._services.clock()
        if isinstance(error, RetryLater):
            services.breaker.given_up()
        else:
            delivery.failures += 1
            delivery.first_failed_at = delivery.first_failed_at or now
            if isinstance(delivery.route.policy, Block):
                services.breaker.failed(lane.key, now)
                self.look_again()
        decision = decide(
            delivery.route.policy,
            error,
            failures=delivery.failures,
            elapsed=now - delivery.first_failed_at,
            chance=services.chance(),
        )
        if decision.outcome is Outcome.STOP:
            self.lanes.put_back(lane)
            error.add_note(f"{self._where(delivery)}; it was not committed and comes again")
            self._partition.fail(error)
            return
        services.statistics.retried += 1
        log.warning(
            "delivery_failed", **self._ids(delivery), error=type(error).__name__, again_in=round(decision.delay, 3)
        )
        self.lanes.wait(lane)
        self._timers[lane.key] = asyncio.get_running_loop().call_later(decision.delay, self._again, lane)

    def _again(self, lane: TenantLane) -> None:
        del self._timers[lane.key]
        self.lanes.wake(lane)
        self.kick()

    def _acknowledgement(self, delivery: Delivery) -> Callable[[], None]:
        """Return what a handler calls, from whatever thread."""
        loop = asyncio.get_running_loop()

        def acknowledge() -> None:
            delivery.acked = True
            loop.call_soon_threadsafe(self._acknowledge, delivery)

        return acknowledge

    def _acknowledge(self, delivery: Delivery) -> None:
        delivery.acked = True
        found = self._unacked.pop(delivery.offset, None)
        if found is None or self._given_up:
            return
        self.lanes.wake(found[0], ended=True)
        self._services.statistics.handled += 1
        self._partition.settle(delivery.offset)
        self.kick()
        self._partition.changed()

    def _timeout(self, delivery: Delivery) -> Exception:
        return TimeoutError(f"the handler ran longer than {delivery.route.timeout:g} s")

    def _position(self, delivery: Delivery) -> Position:
        return Position(self._services.topic, self._partition.partition_id, delivery.offset)

    def _where(self, delivery: Delivery) -> str:
        topic, partition_id, offset = self._position(delivery)
        return f"group {self._services.group}, topic {topic}, partition {partition_id}, offset {offset}"

    def _ids(self, delivery: Delivery) -> dict[str, object]:
        return {
            "group": self._services.group,
            **self._position(delivery)._asdict(),
            "event_id": str(delivery.opened.id),
            "attempt": delivery.attempt,
        }
