"""Hands a replay to a handler: per tenant strictly in order, tenants side by side.

The lanes, and what runs them, are the consumer's. Where a group stores an offset, a replay has a checkpoint.
"""

from __future__ import annotations

import asyncio
import random
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import aclosing

from msgspec.structs import replace

from rustok_iggy.config import ConsumerConfig
from rustok_iggy.consumer.context import DeliveryContext
from rustok_iggy.consumer.delivery import Delivery, Router, runner
from rustok_iggy.consumer.failure import Stop
from rustok_iggy.consumer.lane_runner import LaneRunner
from rustok_iggy.consumer.slots import Slots
from rustok_iggy.consumer.statistics import ConsumerStatistics, PartitionServices
from rustok_iggy.consumer.subscription import Handler, OnGap, Subscription, is_async
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import RustokIggyError
from rustok_iggy.replay.checkpoint import Checkpoint
from rustok_iggy.replay.partition import ReplayPartition
from rustok_iggy.replay.replay_run import Found, ReplayRun
from rustok_iggy.topology import Topic
from rustok_iggy_connector import Position, get_logger

log = get_logger(__name__)

GROUP = "replay"
"""How contexts and logs call what is no group."""
MAX_WAITING = 1000
"""Events read ahead of the handler: a poll's worth, so that lanes have something to run while the next one comes.
In bytes the bound is `max_ahead_bytes` a partition."""

CANCELLED_HANDLERS_TIMEOUT = 2.0
"""Seconds for handlers to end once they were cancelled, as for a group's."""


async def replay_to_handler(run: ReplayRun, handler: Handler, config: ConsumerConfig) -> Checkpoint:
    """Hand over what is left of the plan; return the state at its end. Raises ReplayError, connector errors.

    However it ends, the checkpoint says what was handled: all below its offsets, and nothing above is left out.
    """
    threads = ThreadPoolExecutor(config.handler_threads, thread_name_prefix="rustok-iggy-replay")
    crew = Crew(run, handler, config, threads)
    watching = asyncio.create_task(crew.watch(), name="watch replay")
    try:
        run.save(run.state)
        try:
            await crew.take_all()
        except RustokIggyError:
            await crew.drained()  # what came before an event that cannot be read is finished
            raise
        await crew.drained()
    except asyncio.CancelledError:
        crew.give_up()
        raise
    finally:
        watching.cancel()
        try:
            await crew.ended()
        finally:
            threads.shutdown(wait=False, cancel_futures=True)
            run.save(crew.state)
    return replace(crew.state, finished=True)


class Crew:
    """Runs the handler over what is taken in, until all is done, one event fails for good, or it is told to stop."""

    def __init__(self, run: ReplayRun, handler: Handler, config: ConsumerConfig, threads: Executor) -> None:
        self._run = run
        self._config = config
        self._began = run.state
        self._failure: tuple[Exception, Position | None] | None = None
        self.failing_at: Position | None = None
        """Of the handler call that was the last to end without success."""
        self.is_stopped = False
        self.changed = asyncio.Event()
        self.waiting = 0
        self._ending: asyncio.Task[None] | None = None
        self._given_up = False
        self._services = self._make_services(handler, threads)
        self._partitions: dict[int, ReplayPartition] = {}
        self._runners: dict[int, LaneRunner] = {}
        for partition_id, offset in run.state.next_offsets.items():
            partition = self._partitions[partition_id] = ReplayPartition(self, partition_id, offset)
            self._runners[partition_id] = LaneRunner(self._services, partition)

    @property
    def state(self) -> Checkpoint:
        """What is done: below the offsets, all of it; above them nothing counts."""
        partitions = self._partitions.values()
        return replace(
            self._began,
            next_offsets={each.partition_id: each.next_offset for each in partitions},
            handled=self._began.handled + sum(each.handled for each in partitions),
            unreadable=self._began.unreadable + sum(each.unreadable for each in partitions),
        )

    async def take_all(self) -> None:
        """Take in what the run finds, as fast as handlers and rate allow."""
        async with aclosing(self._run.found()) as found:
            async for each in found:
                await self._until_room(each)
                if each.decoded is not None:
                    await self._until_its_time()
                if self.is_stopped:
                    return
                self._take_in(each)

    async def drained(self) -> None:
        """Wait until all that was taken in is handled. Raises ReplayError when a handler failed."""
        while self.waiting and not self.is_stopped:
            await self._change()
        if self._failure is not None:
            error, position = self._failure
            await self.ended()
            if position is None:
                raise error
            why = f"failed: its handler raised {type(error).__name__}"
            raise self._run.stopped(position.partition_id, position.offset, why) from error

    async def ended(self) -> None:
        """Wait for running handlers, whatever else is cancelled; after the drain timeout they are. Idempotent.

        A thread that goes on nevertheless is left alone: its event is not counted, and comes again.
        """
        self.stop()
        if self._ending is None:
            self._ending = asyncio.create_task(self._all_ended(), name="end replay")
            patience = 0 if self._given_up else self._config.drain_timeout
            cancelled = not await _over(self._ending, within=patience)
            if not self._ending.done():
                self.give_up()
                cancelled |= not await _over(self._ending, within=CANCELLED_HANDLERS_TIMEOUT)
            if not self._ending.done():
                log.warning("replay_left_handlers", replay=self._began.replay_id)
            if cancelled:
                raise asyncio.CancelledError

    async def watch(self) -> None:
        """Keep handlers to their time, and report how far it is, until cancelled."""
        try:
            while True:
                await asyncio.sleep(min(self._services.watch_interval, self._run.options.interval))
                for each in self._runners.values():
                    each.watch(self._run.clock())
                if self._run.is_report_due:
                    self._run.report(self.state)
        except Exception as error:  # noqa: BLE001 - the task's outermost frame; drained() raises it
            self.fail(error, at=None)

    def stop(self) -> None:
        """Begin nothing more; what runs goes on."""
        self.is_stopped = True
        self.changed.set()
        for each in self._runners.values():
            each.look_again()
            each.end()

    def give_up(self) -> None:
        """Begin nothing more, and cancel what runs: it counts as not handled."""
        self._given_up = True
        self.stop()
        for each in self._runners.values():
            each.give_up()

    def fail(self, error: Exception, *, at: Position | None) -> None:
        """One event, or (None) the run itself, has failed for good."""
        if self._failure is None:
            self._failure = error, at
        self.stop()

    async def _all_ended(self) -> None:
        for each in self._runners.values():
            await each.ended()

    async def _change(self) -> None:
        self.changed.clear()
        await self.changed.wait()

    async def _until_room(self, found: Found) -> None:
        watermark, config = self._partitions[found.partition_id].watermark, self._config
        while not self.is_stopped and (
            self.waiting >= MAX_WAITING
            or watermark.ahead >= config.max_ahead
            or watermark.ahead_bytes >= config.max_ahead_bytes
        ):
            await self._change()

    async def _until_its_time(self) -> None:
        ends = self._run.clock() + self._run.pace.delay(self._run.clock())
        while not self.is_stopped and (left := ends - self._run.clock()) > 0:
            try:
                async with asyncio.timeout(left):
                    await self._change()
            except TimeoutError:
                return

    def _take_in(self, found: Found) -> None:
        self._partitions[found.partition_id].begin(found)
        if found.decoded is None:
            return
        route = self._services.router(found.decoded.event_type)
        assert route is not None, "the router of a replay takes every type"
        self.waiting += 1
        message, running = found.message, self._runners[found.partition_id]
        delivery = Delivery(offset=message.offset, message=message, opened=found.decoded, route=route)
        running.lanes.add(found.decoded.tenant_id.int, delivery)
        running.kick()

    def _make_services(self, handler: Handler, threads: Executor) -> PartitionServices:
        options, config = self._run.options, self._config
        timeout = config.handler_timeout if options.handler_timeout is None else options.handler_timeout
        subscription = Subscription(
            group=GROUP,
            topic=Topic(self._run.plan.topic),
            event_types=None,
            handler=self._noting_failures(handler, threads),
            on_failure=Stop(retry=options.retry),
            handler_timeout=timeout if is_async(handler) else 0.0,
        )
        return PartitionServices(
            group=GROUP,
            topic=self._run.plan.topic,
            on_gap=OnGap.STOP,
            reader=self._run.reader,
            router=Router([subscription], threads, timeout=timeout),
            config=config,
            statistics=ConsumerStatistics(),
            clock=self._run.clock,
            chance=random.random,
            slots=Slots(options.max_concurrency),
            replay=self._run.state.replay_id,
            tracing=self._run.tracing,
        )

    def _noting_failures(self, handler: Handler, threads: Executor) -> Handler:
        """Return the handler; a failed call leaves its position, which the runner's fail() does not say."""
        call = runner(handler, threads)

        async def handle(envelope: EventEnvelope, context: DeliveryContext) -> None:
            is_done = False
            try:
                await call(envelope, context)
                is_done = True
            finally:
                if not is_done:
                    self.failing_at = context.position

        return handle


async def _over(task: asyncio.Task[None], *, within: float) -> bool:
    """Wait for a task, at most `within` seconds; False when this call was cancelled meanwhile."""
    try:
        await asyncio.wait({task}, timeout=within)
    except asyncio.CancelledError:
        return False
    return True
