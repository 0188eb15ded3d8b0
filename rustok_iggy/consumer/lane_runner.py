"""Runs the lanes of one partition: a few tasks that each take a lane's head, hand it over, and take the next.

No task per message: a task lives as long as there is something to run. Decisions are elsewhere: which lane next
(lanes.py), what a failure leads to (failure.py), whether anything may begin (breaker.py, assignment.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from uuid import UUID

from rustok_iggy.consumer.context import DeliveryContext
from rustok_iggy.consumer.delivery import Delivery, NotRun
from rustok_iggy.consumer.failure import Decision, Outcome, decide, is_watched
from rustok_iggy.consumer.handling import Handling, Unread
from rustok_iggy.consumer.lane_partition import Partition
from rustok_iggy.consumer.lanes import Lanes
from rustok_iggy.consumer.parking import FailedDelivery, TenantLane
from rustok_iggy.consumer.statistics import PartitionServices
from rustok_iggy.consumer.subscription import OnUndecodable, OnUnknown, Ordering
from rustok_iggy.dead_letters.records import Cause
from rustok_iggy.errors import Reject, RetryLater, UnknownEventTypeError, UnsupportedVersionError
from rustok_iggy_connector import get_logger

log = get_logger(__name__)

TURN = 0.0005
"""Seconds that handlers which never wait may keep the event loop, until the others get their turn: what else is in it,
and the poll that brings what comes next, each step of which takes a turn. A turn costs 10 µs."""
SHORTEST_PROBE_WAIT = 0.05
"""Seconds until an open breaker is asked again while its probe runs."""


class LaneRunner:
    """Runs what is added, within the slots of its member."""

    def __init__(self, services: PartitionServices, partition: Partition) -> None:
        self._services = services
        self._partition = partition
        self._settle = partition.settle
        self._tasks: set[asyncio.Task[None]] = set()
        self._unacked: dict[int, tuple[TenantLane, Delivery]] = {}
        self._timers: dict[int | None, asyncio.TimerHandle] = {}
        self._probe: asyncio.TimerHandle | None = None
        self._kick_again: asyncio.Handle | None = None
        self._given_up = False
        self._coming: set[asyncio.Task[None]] = set()
        """Tasks that take a lane as soon as the loop comes to them: none has to be begun for it."""
        self.handling = Handling(services, partition.partition_id)
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

    def kick(self, tasks: int = 1) -> None:
        """Begin what may begin: a task at once, twice as many each time that the loop came round and lanes are left.

        Handlers that never wait need one; a task for each lane would cost as much as handling its event.
        """
        slots, ready = self._services.slots, self.lanes.ready
        if ready and self._waits_for_probe(self._services.clock()):
            return  # a task would end at once, and kick again
        for _ in range(min(tasks, ready) - len(self._coming)):
            # Who has a slot does not queue for another: its own tasks would make way for itself after every delivery.
            if not self._partition.may_begin() or (self._tasks and not slots.is_free) or not slots.take(self):
                return
            task = asyncio.create_task(self._drain())
            self._tasks.add(task)
            self._coming.add(task)
            task.add_done_callback(self._drained)
        if self._kick_again is not None:
            self._kick_again.cancel()
        self._kick_again = asyncio.get_running_loop().call_soon(self.kick, tasks * 2) if ready > tasks else None

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
        for timer in (*self._timers.values(), self._probe, self._kick_again):
            if timer is not None:
                timer.cancel()
        self._timers.clear()
        self._probe = self._kick_again = None

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
        self.handling.watch(now)

    def add(self, delivery: Delivery) -> None:
        """Append to its lane what comes after all of its tenant that is there already."""
        self.lanes.add(delivery.opened.tenant_id.int if self._services.ordering is Ordering.TENANT else None, delivery)

    def let_go(self, lane: TenantLane, *, tenant_id: UUID | None) -> list[Delivery]:
        """The head of a lane that waits became a letter: return what follows it of its tenant, None: nothing does."""
        followers = [] if tenant_id is None else self.lanes.withdraw(lane, lambda each: each.tenant_id == tenant_id)
        self.lanes.wake(lane, ended=True)
        return followers

    def stuck(self, now: float) -> Iterator[Delivery]:
        """Deliveries that have run, or waited for their acknowledgement, for too long."""
        begun = (*self.handling.running, *(delivery for _, delivery in self._unacked.values()))
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
        begun = (*self.handling.running, *(delivery for _, delivery in self._unacked.values()))
        for delivery in begun:
            if delivery.route.manual and delivery.opened.id == event_id:
                yield partial(self._acknowledge, delivery)

    async def _drain(self) -> None:
        """Run one delivery after the other, as long as there are lanes and nobody else wants the slot."""
        services, task = self._services, asyncio.current_task()
        assert task is not None, "runs as a task"
        self._coming.discard(task)
        lanes, partition, run, clock = self.lanes, self._partition, self.handling.run, services.clock
        now = clock()
        try:
            left, turn_ends = partition.turn(), now + TURN
            while now < self._allowed_until or self._may_begin(now):
                lane = lanes.take()
                if lane is None:
                    break
                delivery = lane.items[0]
                delivery.attempt += 1
                delivery.started_at = now
                try:
                    failure = await run(delivery, self._context(delivery), task)
                except BaseException:
                    self._left_open(lane, delivery)
                    raise
                now = clock()
                self._ended(lane, delivery, failure, now)
                left -= 1
                if now > turn_ends or left <= 0:
                    left = partition.turn()
                    if services.slots.wanted:
                        break
                    await self._make_way(task)
                    now = clock()
                    turn_ends = now + TURN
        except Exception as error:  # noqa: BLE001 - the task's outermost frame; the partition raises it
            self._partition.fail(error)
            if isinstance(error.__cause__, KeyboardInterrupt | SystemExit):
                raise error.__cause__ from None  # asyncio ends the loop; the failure is for a host that goes on

    async def _make_way(self, task: asyncio.Task[None]) -> None:
        """Let the others have their turn."""
        self._coming.add(task)
        await asyncio.sleep(0)
        self._coming.discard(task)

    def _left_open(self, lane: TenantLane, delivery: Delivery) -> None:
        """A handler was cut short: its delivery is the next of its lane again."""
        self.lanes.put_back(lane)
        self._services.breaker.given_up()
        if delivery.redriving is not None:
            delivery.redriving.end(NotRun())

    def _drained(self, task: asyncio.Task[None]) -> None:
        """A task is over, also one that give_up() cancelled before it had begun."""
        self._tasks.discard(task)
        self._coming.discard(task)
        slots = self._services.slots
        slots.give()
        while (following := slots.follows()) is not None:  # one that is paused takes none
            following.kick()
        if not task.cancelled():
            task.exception()  # asyncio has let it out already
            self.kick()
        self._partition.changed()

    def _may_begin(self, now: float) -> bool:
        """Ask anew, which holds for a turn."""
        if not self.lanes.ready or not self._partition.may_begin():
            return False
        breaker = self._services.breaker
        if not breaker.is_open:
            self._allowed_until = now + TURN
            return True
        return not self._waits_for_probe(now) and breaker.may_begin(now)

    def _waits_for_probe(self, now: float) -> bool:
        """Whether the breaker lets nothing begin; then it is asked again later."""
        breaker = self._services.breaker
        if not breaker.waits(now):
            return False
        if self._probe is None:
            wait = max(SHORTEST_PROBE_WAIT, (breaker.probe_at or now) - now)
            self._probe = asyncio.get_running_loop().call_later(wait, self._probe_again)
        return True

    def _probe_again(self) -> None:
        self._probe = None
        self.kick()

    def _ended(self, lane: TenantLane, delivery: Delivery, failure: Exception | Unread | None, now: float) -> None:
        """A handler has ended."""
        services = self._services
        services.handler_seconds.add(now - delivery.started_at)
        if self._given_up:
            services.breaker.given_up()
            self.lanes.put_back(lane)
        elif failure is not None and not delivery.acked:
            self._failed(lane, delivery, failure, now)
        else:
            services.breaker.succeeded()
            if delivery.route.manual and not delivery.acked:
                self._unacked[delivery.offset] = lane, delivery
                self.lanes.wait(lane)
            else:
                self.lanes.done(lane)
                self._handled(delivery)

    def _context(self, delivery: Delivery) -> DeliveryContext:
        partition, services = self._partition, self._services
        return DeliveryContext(
            group=services.group,
            life=partition.life,
            generation=partition.generation,
            topic=services.topic,
            partition_id=partition.partition_id,
            offset=delivery.offset,
            stored_at=delivery.message.timestamp,
            attempt=delivery.attempt,
            redrive=None if delivery.redriving is None else delivery.redriving.told,
            acknowledge=self._acknowledgement(delivery) if delivery.route.manual else None,
            replay=services.replay,
        )

    def _handled(self, delivery: Delivery) -> None:
        if delivery.redriving is not None:
            delivery.redriving.end(None)
        else:
            self._services.statistics.handled += 1
            self._settle(delivery.offset)

    def _failed(self, lane: TenantLane, delivery: Delivery, failure: Exception | Unread, now: float) -> None:
        services = self._services
        unread = isinstance(failure, Unread)
        error = failure.error if isinstance(failure, Unread) else failure
        if unread and self._is_passed_over(lane, delivery, error):
            return
        if unread or isinstance(error, (RetryLater, Reject)) or not is_watched(delivery.route.policy):
            services.breaker.given_up()  # says nothing about what the handlers depend on
        else:
            services.breaker.failed(delivery.opened.tenant_id, now)
            self.look_again()
        if not isinstance(error, RetryLater):
            delivery.failures += 1
            delivery.first_failed_at = delivery.first_failed_at or now
        decision = decide(
            delivery.route.policy,
            error,
            failures=delivery.failures,
            elapsed=now - delivery.first_failed_at,
            chance=services.chance(),
            unreadable=unread,
            redriven=delivery.redriving is not None,
        )
        self._act(lane, delivery, decision, error)

    def _is_passed_over(self, lane: TenantLane, delivery: Delivery, error: Exception) -> bool:
        """Whether an event of an unknown type is settled, because the group wants it so."""
        unknown = isinstance(error, (UnknownEventTypeError, UnsupportedVersionError))
        if not unknown or self._services.unknown is not OnUnknown.SKIP or delivery.redriving is not None:
            return False
        self._services.breaker.given_up()
        self.lanes.done(lane)
        self._services.statistics.filtered += 1
        self._settle(delivery.offset)
        return True

    def _act(self, lane: TenantLane, delivery: Delivery, decision: Decision, error: Exception) -> None:
        if decision.outcome is Outcome.AGAIN:
            self._retry(lane, delivery, decision, error)
        elif decision.outcome is Outcome.STOP or self._stops(delivery):
            self.lanes.put_back(lane)
            error.add_note(self.handling.where(delivery))
            self._partition.fail(error)
        elif decision.cause is Cause.FAILED and self._services.breaker.is_open:
            self.lanes.put_back(lane)  # a database that is down parks nobody: it runs again as a probe, or afterwards
        elif delivery.redriving is not None:
            self.lanes.done(lane)
            delivery.redriving.end(error)
        else:
            self.lanes.wait(lane)
            self._partition.write_letter(FailedDelivery(lane, delivery, decision, error))

    def _stops(self, delivery: Delivery) -> bool:
        return (
            delivery.tenant_id is None
            and delivery.redriving is None
            and self._services.undecodable is OnUndecodable.STOP
        )

    def _retry(self, lane: TenantLane, delivery: Delivery, decision: Decision, error: Exception) -> None:
        self._services.statistics.retried += 1
        log.warning(
            "delivery_failed",
            **self.handling.ids(delivery),
            error=type(error).__name__,
            again_in=round(decision.delay, 3),
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
        self._handled(delivery)
        self.kick()
        self._partition.changed()
