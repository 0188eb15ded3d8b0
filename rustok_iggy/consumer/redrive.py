"""Works the operators' requests on the dead letters of one partition, as its owner.

A letter runs in its tenant's lane like any event: what it runs beside, its time limit and the breaker are those of the
lane. Around it stand two records: the attempt, read back before it runs, and the settlement, once it ended; those of
some letters go together (stride.py), which still run one after another, and none after one that failed. What is
left to do is asked of redrive_plan.py again and again; nothing is remembered that a new owner would not read there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from rustok_iggy.consumer.context import Redrive
from rustok_iggy.consumer.delivery import Delivery, NotRun, Redriving
from rustok_iggy.consumer.letter_records import facts, failure_of
from rustok_iggy.consumer.redelivery import redelivery
from rustok_iggy.consumer.source_journal import SourceJournal
from rustok_iggy.consumer.statistics import PartitionServices
from rustok_iggy.consumer.stride import RECORDED_WITHIN, Stride
from rustok_iggy.dead_letters.drafts import RecordDraft
from rustok_iggy.dead_letters.failures import describe_failure
from rustok_iggy.dead_letters.journal import Verdict
from rustok_iggy.dead_letters.records import (
    Action,
    Attempt,
    Epoch,
    Failure,
    Outcome,
    Request,
    RequestEnd,
    Settlement,
)
from rustok_iggy.dead_letters.redrive_plan import RedriveLane, is_aborted, plan_redrive
from rustok_iggy.dead_letters.snapshot import FoldedLetter
from rustok_iggy.errors import ConsumerError, DeadLetterError
from rustok_iggy_connector import get_logger

log = get_logger(__name__)

MAX_LANES = 64
"""Tenants whose letters are on their way side by side: several times the handlers that run, so that a slot never waits
for an append, and few enough bodies in memory."""
DISCARDED_AT_ONCE = 500
"""Settlements of one append, as letters (parking.py)."""

Sleep = Callable[[float], Awaitable[None]]


class Redriven(Protocol):
    """What the redriver asks of the partition it works for."""

    def run_live(self, deliveries: list[Delivery]) -> None:
        """Put deliveries into their lanes."""
        ...

    def is_polled(self, offset: int) -> bool:
        """Whether every event up to an offset is in its lane, or was: those below a letter go first."""
        ...

    async def until_polled(self, offset: int) -> None:
        """Return when is_polled(), or nothing is polled any more."""
        ...

    async def until_letters_are_read_back(self) -> None:
        """Return when no letter is under way, and what is free again is in its lane."""
        ...

    def will_run(self, tenant_id: UUID | None) -> bool:
        """Whether what stands in a tenant's lane has its turn sooner or later, as far as is known now."""
        ...

    def changed(self) -> None:
        """Nothing is on its way any more."""
        ...


@dataclass(slots=True)
class _LaneRun:
    """How far a lane is; `ended`: what is to be recorded of letters that were handled, or did not run."""

    request: Request
    letters: Sequence[FoldedLetter]
    stride: Stride
    stopped: asyncio.Future[Any]
    done: int = 0
    ended: list[RecordDraft] = field(default_factory=list)

    @property
    def planned(self) -> Sequence[FoldedLetter]:
        return self.letters[self.done : self.done + self.stride.letters]

    def take_ended(self) -> list[RecordDraft]:
        taken, self.ended = self.ended, []
        return taken


class Redriver:
    """Runs letters again until stop(). Its errors: OvertakenError."""

    def __init__(
        self, services: PartitionServices, partition: Redriven, journal: SourceJournal, *, sleep: Sleep = asyncio.sleep
    ) -> None:
        self._services = services
        self._partition = partition
        self._journal = journal
        self._sleep = sleep
        self._stopping = asyncio.Event()
        self._next_at = 0.0
        self._settled = 0
        self.is_idle = True
        """Whether no letter is on its way, and nothing is to be recorded."""

    def stop(self) -> None:
        """Begin no more letters; what runs is settled."""
        self._stopping.set()

    async def run(self) -> None:
        """Look for requests every heartbeat and work them, until stop() or cancelled."""
        while not self._stopping.is_set():
            await self._journal.catch_up()
            await self._journal.keep_start()
            settled = True
            while settled and self._journal.journal.requests and not self._stopping.is_set():
                settled = await self._work(self._journal.journal.requests[0].request)
            await self._pause(self._services.config.heartbeat_interval)

    async def _work(self, request: Request) -> bool:
        """Take the next steps of a request, or end it; whether that settled anything."""
        self.is_idle, before = False, self._settled
        try:
            plan = plan_redrive(self._journal.journal, request)
            if plan.is_done and not plan.aborted:
                await self._partition.until_letters_are_read_back()
                plan = plan_redrive(self._journal.journal, request)
            if plan.is_done:
                await self._end(request, aborted=plan.aborted)
            elif request.action is Action.DISCARD:
                await self._discard(request, [letter for lane in plan.lanes for letter in lane.letters])
            else:
                await self._redrive(request, plan.lanes)
        finally:
            self.is_idle = True
            self._partition.changed()
        return self._settled > before

    async def _end(self, request: Request, *, aborted: bool) -> None:
        source, progress = self._journal.journal.source, self._journal.journal.progress(request.id)

        def draft(epoch: Epoch) -> RequestEnd:
            return RequestEnd(
                source=source,
                epoch=epoch,
                request=request.id,
                handled=progress.handled,
                failed=progress.failed,
                discarded=progress.discarded,
                aborted=aborted,
            )

        await self._journal.write(draft)
        self._settled += 1
        log.info(
            "request_ended",
            group=source.group,
            topic=source.topic,
            partition_id=source.partition,
            request_id=str(request.id),
            handled=progress.handled,
            failed=progress.failed,
            discarded=progress.discarded,
            aborted=aborted,
        )

    async def _discard(self, request: Request, letters: list[FoldedLetter]) -> None:
        for begin in range(0, len(letters), DISCARDED_AT_ONCE):
            if self._stopping.is_set():
                return
            some = letters[begin : begin + DISCARDED_AT_ONCE]
            drafts = [self._settlement(request, each.offset, each.attempts, Outcome.DISCARDED) for each in some]
            await self._journal.write(*drafts)
            self._settled += len(some)
            self._services.statistics.discarded += len(some)
        await self._partition.until_letters_are_read_back()

    async def _redrive(self, request: Request, lanes: Sequence[RedriveLane]) -> None:
        """Run the lanes of a plan, some side by side."""
        left = iter(lanes)
        stopped = asyncio.create_task(self._stopping.wait())

        async def work() -> None:
            for lane in left:
                await self._run_lane(request, lane, stopped)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(MAX_LANES, len(lanes))):
                    group.create_task(work())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        finally:
            stopped.cancel()
        await self._partition.until_letters_are_read_back()

    async def _run_lane(self, request: Request, lane: RedriveLane, stopped: asyncio.Future[Any]) -> None:
        """Run one tenant's letters, one after another; what became of some is recorded with the next attempts."""
        grows = request.rate is None and request.abort_ratio is None  # else each letter is counted before the next
        run = _LaneRun(request, lane.letters, Stride(grows=grows), stopped)
        while run.planned and await self._run_stride(run):
            continue
        await self._record(run)

    async def _run_stride(self, run: _LaneRun) -> bool:
        """Announce the next letters and run them; whether the lane goes on."""
        last = run.planned[-1].offset
        if not run.stride.grows or not self._partition.is_polled(last):
            await self._record(run)
        await self._partition.until_polled(last)
        await self._wait_for_turn(run.request)
        letters = self._open(run.planned)
        if not letters or self._is_over(run.request) or not self._partition.will_run(letters[0].tenant_id):
            return False
        try:
            deliveries = await self._deliveries(letters)
        except (ConsumerError, DeadLetterError) as error:
            run.done += 1
            return await self._failed(run, letters[0], letters[0].attempts, _unrunnable(letters[0], error))
        announced = letters[: len(deliveries)]
        attempts = [self._attempt(run.request, letter.offset, letter.attempts + 1) for letter in announced]
        verdicts = await self._journal.write(*run.take_ended(), *attempts)
        if any(verdict is not Verdict.APPLIED for verdict in verdicts[-len(attempts) :]):
            return False
        began = self._services.clock()
        for letter, delivery in zip(announced, deliveries, strict=True):
            if self._stopping.is_set() or not await self._run_letter(run, letter, delivery):
                run.ended += self._not_run(run.request, announced, deliveries)
                return False
        run.stride.ended(self._services.clock() - began)
        return True

    def _not_run(
        self, request: Request, announced: Sequence[FoldedLetter], deliveries: Sequence[Delivery]
    ) -> Iterator[RecordDraft]:
        """What gives announced letters their attempts back whose turn did not come."""
        for letter, delivery in zip(announced, deliveries, strict=True):
            if not delivery.attempt:
                yield self._settlement(request, letter.offset, letter.attempts + 1, Outcome.NOT_RUN)

    def _open(self, planned: Sequence[FoldedLetter]) -> list[FoldedLetter]:
        """Return those that come before the first one that is settled meanwhile, as they are now."""
        found = []
        for each in planned:
            letter = self._journal.journal.letter(each.offset)
            if letter is None or not letter.is_open:
                break
            found.append(letter)
        return found

    async def _deliveries(self, letters: Sequence[FoldedLetter]) -> list[Delivery]:
        """Make deliveries of the first letters. Raises ConsumerError or DeadLetterError when the first cannot run."""
        deliveries: list[Delivery] = []
        for letter, original in zip(letters, await self._journal.bodies(letters), strict=False):
            try:
                deliveries.append(redelivery(self._services, self._journal.journal.source, letter, original))
            except ConsumerError:
                if not deliveries:
                    raise
                break
        return deliveries

    async def _run_letter(self, run: _LaneRun, letter: FoldedLetter, delivery: Delivery) -> bool:
        """Hand a letter over that was announced; whether the next one may run."""
        number = letter.attempts + 1
        told = Redrive(request_id=run.request.id, attempt=number, first_failed_at=letter.first_failed_at)
        redriving = delivery.redriving = Redriving(told=told, ended=asyncio.get_running_loop().create_future())
        self._partition.run_live([delivery])
        error = await self._outcome(run, delivery, redriving.ended)
        if isinstance(error, NotRun):
            return False
        run.done += 1
        if error is not None:
            return await self._failed(run, letter, number, failure_of(delivery, error))
        run.ended.append(self._settlement(run.request, letter.offset, number, Outcome.HANDLED))
        self._settled += 1
        self._services.statistics.redriven += 1
        return True

    async def _outcome(
        self, run: _LaneRun, delivery: Delivery, ended: asyncio.Future[Exception | None]
    ) -> Exception | None:
        """Wait for a letter to end, and record those handled before it when that takes long: they shall not run again.

        When no more is to be run, one that has not begun and never will is not waited for.
        """
        while not ended.done():
            limit = RECORDED_WITHIN if run.ended else None
            await asyncio.wait((ended, run.stopped), timeout=limit, return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                break
            await self._record(run)
            if run.stopped.done():
                if not delivery.attempt and not self._partition.will_run(delivery.tenant_id):
                    return NotRun()
                break
        return await ended

    async def _failed(self, run: _LaneRun, letter: FoldedLetter, number: int, failure: Failure) -> bool:
        """Record that a letter failed again; whether the next one may run."""
        run.stride.failed()
        settlement = self._settlement(run.request, letter.offset, number, Outcome.FAILED, failure)
        await self._journal.write(*run.take_ended(), settlement)
        self._settled += 1
        self._services.statistics.redrives_failed += 1
        self._tell(run.request, letter, number, failure)
        return run.request.break_order or not letter.parks

    def _tell(self, request: Request, letter: FoldedLetter, number: int, failure: Failure) -> None:
        about = facts(
            self._journal.journal.source,
            offset=letter.offset,
            event_id=letter.event_id,
            tenant_id=letter.tenant_id,
            failure=failure,
        )
        log.error("dead_letter_failed_again", **about, request_id=str(request.id), attempt=number)

    async def _record(self, run: _LaneRun) -> None:
        """Record how letters ended."""
        if run.ended:
            await self._journal.write(*run.take_ended())

    def _is_over(self, request: Request) -> bool:
        return self._stopping.is_set() or is_aborted(request, self._journal.journal.progress(request.id))

    async def _wait_for_turn(self, request: Request) -> None:
        if request.rate is None:
            return
        now = self._services.clock()
        turn = max(now, self._next_at)
        self._next_at = turn + 1 / request.rate
        await self._pause(turn - now)

    async def _pause(self, seconds: float) -> None:
        """Wait, unless told to stop."""
        if seconds <= 0 or self._stopping.is_set():
            return
        stopped = asyncio.create_task(self._stopping.wait())
        slept = asyncio.ensure_future(self._sleep(seconds))
        try:
            await asyncio.wait({stopped, slept}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            slept.cancel()

    def _attempt(self, request: Request, offset: int, number: int) -> RecordDraft:
        source = self._journal.journal.source

        def draft(epoch: Epoch) -> Attempt:
            return Attempt(source=source, epoch=epoch, offset=offset, number=number, request=request.id)

        return draft

    def _settlement(
        self, request: Request, offset: int, number: int, outcome: Outcome, failure: Failure | None = None
    ) -> RecordDraft:
        source, now = self._journal.journal.source, self._services.now()

        def draft(epoch: Epoch) -> Settlement:
            return Settlement(
                source=source,
                epoch=epoch,
                offset=offset,
                number=number,
                request=request.id,
                outcome=outcome,
                settled_at=now,
                failure=failure,
            )

        return draft


def _unrunnable(letter: FoldedLetter, error: Exception) -> Failure:
    return describe_failure(error, user_package="", event_type=letter.event_type, schema_version=letter.schema_version)
