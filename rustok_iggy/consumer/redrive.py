"""Works the operators' requests on the dead letters of one partition, as its owner.

A letter runs in its tenant's lane like any event: what it runs beside, its time limit and the breaker are those of the
lane. Around it stand two records: the attempt, read back before it runs, and the settlement, once it ended. What is
left to do is asked of redrive_plan.py again and again; nothing is remembered that a new owner would not read there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from rustok_iggy.consumer.context import Redrive
from rustok_iggy.consumer.delivery import Delivery, NotRun, Redriving
from rustok_iggy.consumer.letter_records import failure_of
from rustok_iggy.consumer.redelivery import redelivery
from rustok_iggy.consumer.source_journal import SourceJournal
from rustok_iggy.consumer.statistics import PartitionServices
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

    def changed(self) -> None:
        """Nothing is on its way any more."""
        ...


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

        async def work() -> None:
            for lane in left:
                await self._run_lane(request, lane)

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(MAX_LANES, len(lanes))):
                    group.create_task(work())
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        await self._partition.until_letters_are_read_back()

    async def _run_lane(self, request: Request, lane: RedriveLane) -> None:
        """Run one tenant's letters, one after another; what became of one may be recorded with the next attempt."""
        handled: RecordDraft | None = None
        for planned in lane.letters:
            if handled is not None and (
                request.rate or request.abort_ratio or not self._partition.is_polled(planned.offset)
            ):
                await self._journal.write(handled)
                handled = None
            await self._partition.until_polled(planned.offset)
            await self._wait_for_turn(request)
            letter = self._journal.journal.letter(planned.offset)
            if letter is None or not letter.is_open or self._is_over(request):
                break
            outcome = await self._run_letter(request, letter, before=handled)
            handled = None
            if isinstance(outcome, NotRun):
                return
            if outcome is None:
                handled = self._settlement(request, letter.offset, letter.attempts + 1, Outcome.HANDLED)
                self._settled += 1
                self._services.statistics.redriven += 1
            elif letter.parks and not request.break_order:
                return
        if handled is not None:
            await self._journal.write(handled)

    async def _run_letter(
        self, request: Request, letter: FoldedLetter, *, before: RecordDraft | None
    ) -> Failure | NotRun | None:
        """Return how a letter failed, which is recorded then; None when it was handled.

        `before` is what is to be recorded of the letter before it.
        """
        number = letter.attempts + 1
        drafts = [] if before is None else [before]
        try:
            _, original = await self._journal.body(letter)
            delivery = redelivery(self._services, self._journal.journal.source, letter, original)
        except (ConsumerError, DeadLetterError) as error:
            failure = _unrunnable(letter, error)
            drafts.append(self._settlement(request, letter.offset, letter.attempts, Outcome.FAILED, failure))
            await self._journal.write(*drafts)
            return self._failed(failure)
        verdicts = await self._journal.write(*drafts, self._attempt(request, letter.offset, number))
        if verdicts[-1] is not Verdict.APPLIED:
            return NotRun()
        told = Redrive(request_id=request.id, attempt=number, first_failed_at=letter.first_failed_at)
        redriving = delivery.redriving = Redriving(told=told, ended=asyncio.get_running_loop().create_future())
        self._partition.run_live([delivery])
        error_or_none = await redriving.ended
        if error_or_none is None or isinstance(error_or_none, NotRun):
            return error_or_none
        failure = failure_of(delivery, error_or_none)
        await self._journal.write(self._settlement(request, letter.offset, number, Outcome.FAILED, failure))
        return self._failed(failure)

    def _failed(self, failure: Failure) -> Failure:
        self._settled += 1
        self._services.statistics.redrives_failed += 1
        return failure

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
