"""EventDispatcher: runs the handlers of an EventBus, per tenant in order, tenants side by side."""

from __future__ import annotations

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from msgspec import Struct

from rustok_iggy.backpressure import BackpressureConfig, BackpressureController, BackpressureState
from rustok_iggy.bus import EventBus, Listener
from rustok_iggy.consumer.failure import Retry
from rustok_iggy.consumer.handling import no_exception
from rustok_iggy.consumer.lanes import Lane, Lanes
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import ConfigError, ConsumerError, TransportClosedError
from rustok_iggy_connector import get_logger

log = get_logger(__name__)

CLOSE_TIMEOUT = 10.0
"""Seconds for what is queued when a dispatcher closes, as long as a transport takes."""
CANCELLED_HANDLERS_TIMEOUT = 2.0
"""Seconds for handlers to end once they were cancelled; one that swallows it is left alone then."""
TURN = 0.02
"""Seconds that handlers which never wait may keep the event loop, until the others get their turn."""


class EventHandler(ABC):
    """Handles events in this process."""

    @property
    def name(self) -> str:
        """How logs call it."""
        return type(self).__qualname__

    @abstractmethod
    def handles(self, event: Struct) -> bool:
        """Whether it wants an event. Must not wait."""

    @abstractmethod
    async def handle(self, envelope: EventEnvelope) -> None:
        """Handle an event. What it raises is retried as configured, then given to on_error."""

    async def on_error(self, envelope: EventEnvelope, error: Exception) -> None:
        """The event could not be handled. Logs it by default; what this raises is logged and goes no further."""
        log.error("event_not_handled", handler=self.name, error=type(error).__name__, **_ids(envelope))


class DispatcherConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How events are dispatched (RusToK's keys and defaults). Raises ConfigError."""

    fail_fast: bool = False
    """After a handler failed, its event is given to no further handler."""
    max_concurrent: int = 10
    """Events side by side, each of another tenant."""
    retry_count: int = 0
    """How often a failed handler is tried again."""
    retry_delay_ms: int = 100
    """Until the first of these; it doubles each time, and jitter only lengthens it. The tenant's next event waits."""
    max_queue_depth: int = 10_000
    """Events waiting or running; above 90 % of it the bus refuses more."""

    def __post_init__(self) -> None:
        problems = [
            f"{name}: must be at least 1" for name in ("max_concurrent", "max_queue_depth") if _of(self, name) < 1
        ]
        problems += [
            f"{name}: must not be negative" for name in ("retry_count", "retry_delay_ms") if _of(self, name) < 0
        ]
        if problems:
            raise ConfigError(problems)

    @property
    def retry(self) -> Retry:
        """The retries, as the consumer has them."""
        delay = self.retry_delay_ms / 1000
        return Retry(attempts=self.retry_count + 1, delay=delay, max_delay=max(delay, Retry().max_delay))


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatcherStats:
    """Events since the start: taken = done + abandoned + queued. `queued` wait or run.

    `handled` and `failed` count handler calls by their outcome, after retries; an event has one for each handler that
    wants it. `abandoned` events were cancelled, or never begun, when the dispatcher closed.
    """

    taken: int
    rejected: int
    done: int
    abandoned: int
    queued: int
    handled: int
    failed: int
    retried: int


class EventDispatcher(Listener):
    """Gives each event of a bus to the handlers that want it, while `async with` is entered.

    The handlers of one event run one after another, in the order of register(); the next event of its tenant comes
    when they have all ended. An error goes to the handler's on_error and ends nothing else. Cancelled is not handled.
    SystemExit and KeyboardInterrupt are let out, as asyncio does: the event has failed, without retries and on_error; a
    host that catches them and goes on finds its tenant go on too.
    `clock` gives seconds that never go back, `chance` 0…1.
    """

    def __init__(
        self,
        bus: EventBus,
        config: DispatcherConfig | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.config = config or DispatcherConfig()
        self._bus = bus
        self._retry = self.config.retry
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._handlers: list[EventHandler] = []
        self._lanes: Lanes[int, EventEnvelope] = Lanes()
        self._pressure = BackpressureController(BackpressureConfig(max_queue_depth=self.config.max_queue_depth))
        self._tasks: set[asyncio.Task[None]] = set()
        self._given_up = False
        self._is_closed = False
        self._done = 0
        self._abandoned = 0
        self._handled = 0
        self._failed = 0
        self._retried = 0

    @property
    def stats(self) -> DispatcherStats:
        return DispatcherStats(
            taken=self._pressure.accepted,
            rejected=self._pressure.rejected,
            done=self._done,
            abandoned=self._abandoned,
            queued=self._pressure.depth,
            handled=self._handled,
            failed=self._failed,
            retried=self._retried,
        )

    @property
    def state(self) -> BackpressureState:
        """How full the queue is."""
        return self._pressure.state

    @property
    def depth(self) -> int:
        return self._pressure.depth

    def register(self, handler: EventHandler) -> None:
        """Add a handler, for events that begin from now on."""
        self._handlers.append(handler)

    def has_room(self) -> bool:
        if self._pressure.fits(0):
            return True
        self._pressure.rejected += 1
        return False

    def take(self, envelope: EventEnvelope) -> None:
        taken = self._pressure.try_take(0)
        assert taken, "taken without asking for room"
        self._lanes.add(envelope.tenant_id.int, envelope)
        self._begin()

    async def __aenter__(self) -> Self:
        if self._is_closed:
            raise TransportClosedError("the dispatcher was closed; make a new one")
        self._bus.attach(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self, *, timeout: float = CLOSE_TIMEOUT) -> None:
        """Take no more, finish what is queued within `timeout` seconds, cancel the rest and log it. Idempotent."""
        self._bus.detach(self)
        self._is_closed = True
        try:
            async with asyncio.timeout(timeout):
                while self._tasks:
                    await asyncio.wait(self._tasks)
        except TimeoutError:
            pass  # what is left is given up, as after a cancellation
        finally:
            self._given_up = True
            for task in self._tasks:
                task.cancel()
            try:
                if self._tasks:
                    await asyncio.wait(self._tasks, timeout=CANCELLED_HANDLERS_TIMEOUT)
            finally:
                self._abandon()

    def _begin(self) -> None:
        if len(self._tasks) < self.config.max_concurrent:
            task = asyncio.get_running_loop().create_task(self._run(), name="dispatch events")
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # noted: asyncio has let it out already
        if self._lanes.ready and not self._given_up:
            self._begin()  # taken when this task had looked for the last time, and still counted as one

    def _abandon(self) -> None:
        left = self._pressure.depth
        if left:
            self._pressure.release(0, count=left)
            self._abandoned += left
            log.error("events_abandoned", count=left)

    async def _run(self) -> None:
        """Run one event after the other, as long as there are any."""
        turn_ends = self._clock() + TURN
        while not self._given_up and (lane := self._lanes.take()) is not None:
            await self._dispatch(lane)
            if self._clock() > turn_ends:
                await asyncio.sleep(0)
                turn_ends = self._clock() + TURN

    async def _dispatch(self, lane: Lane[int, EventEnvelope]) -> None:
        envelope = lane.items[0]
        try:
            for handler in tuple(self._handlers):
                if not await self._give(handler, envelope) and self.config.fail_fast:
                    break
        except asyncio.CancelledError:
            self._lanes.put_back(lane)
            raise
        except (KeyboardInterrupt, SystemExit) as error:
            self._failed += 1
            log.error("event_not_handled", error=type(error).__name__, **_ids(envelope))  # noqa: TRY400 - it goes on
            self._settle(lane)
            raise
        if self._given_up:  # a handler swallowed its cancellation, which is no success
            self._lanes.put_back(lane)
            return
        self._settle(lane)

    def _settle(self, lane: Lane[int, EventEnvelope]) -> None:
        self._lanes.done(lane)
        self._pressure.release(0)
        self._done += 1

    async def _give(self, handler: EventHandler, envelope: EventEnvelope) -> bool:
        """Hand an event to one handler that may want it; False when it failed for good."""
        began, failures = self._clock(), 0
        while (error := await self._attempt(handler, envelope)) is not None:
            failures += 1
            if not self._retry.is_left(error, failures=failures, elapsed=self._clock() - began):
                await self._failed_for_good(handler, envelope, error)
                return False
            self._retried += 1
            await self._sleep(self._retry.delay_after(failures, self._chance()))
        return True

    async def _attempt(self, handler: EventHandler, envelope: EventEnvelope) -> Exception | None:
        try:
            if handler.handles(envelope.event):
                await handler.handle(envelope)
                self._handled += not self._given_up
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody cancelled this task: a handler let a cancellation of its own escape, which is no success.
            return ConsumerError("a handler raised CancelledError")
        except Exception as error:  # noqa: BLE001 - user code; what it raises is decided upon
            return error
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - such as pytest's outcomes; let out, it would hold its tenant
            return no_exception(error)
        return None

    async def _failed_for_good(self, handler: EventHandler, envelope: EventEnvelope, error: Exception) -> None:
        self._failed += 1
        try:
            await handler.on_error(envelope, error)
        except Exception as second:  # noqa: BLE001 - user code; an error of an error handler ends nothing
            log.warning("on_error_failed", handler=handler.name, error=type(second).__name__, **_ids(envelope))


def _of(config: DispatcherConfig, name: str) -> int:
    value: int = getattr(config, name)
    return value


def _ids(envelope: EventEnvelope) -> dict[str, str]:
    return {
        "event_id": str(envelope.id),
        "event_type": envelope.event_type,
        "tenant_id": str(envelope.tenant_id),
    }
