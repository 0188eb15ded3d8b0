"""One assigned partition, from the claim in the journal to its release: polls ahead, delivers, commits, hands over."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any
from uuid import UUID

from rustok_iggy.consumer import partition_health
from rustok_iggy.consumer.commits import Commits
from rustok_iggy.consumer.delivery import Delivery, NotRun
from rustok_iggy.consumer.intake import Intake
from rustok_iggy.consumer.lane_runner import LaneRunner
from rustok_iggy.consumer.letters import LetterWriter
from rustok_iggy.consumer.log_watch import LogWatch
from rustok_iggy.consumer.membership import Membership
from rustok_iggy.consumer.parking import FailedDelivery, PendingLetter
from rustok_iggy.consumer.polling import Polling
from rustok_iggy.consumer.redrive import Redriver
from rustok_iggy.consumer.source_journal import Journals
from rustok_iggy.consumer.start import StartingPoint
from rustok_iggy.consumer.statistics import PartitionServices
from rustok_iggy.consumer.tenure import Tenure
from rustok_iggy.consumer.watermark import Watermark
from rustok_iggy.dead_letters.overtaken import OvertakenError
from rustok_iggy.dead_letters.records import Source
from rustok_iggy.errors import OffsetOutOfRangeError
from rustok_iggy_connector import ConnectorError, get_logger

log = get_logger(__name__)


class PartitionConsumer:
    """Consumes one partition from a starting point on.

    `run()` ends by itself after `hand_over()` or `stop()`; after `lose()` cancel its task.
    """

    def __init__(
        self,
        services: PartitionServices,
        member: Membership,
        journals: Journals,
        *,
        partition_id: int,
        generation: int,
        point: StartingPoint,
    ) -> None:
        self.services = services
        self.member = member
        self.journals = journals
        self.partition_id = partition_id
        source = Source(group=services.group, topic=services.topic, partition=partition_id)
        self.journal = journals.opener.open(source, journals.handled_types)
        self.life = member.life
        self.commits = Commits(
            services, member, partition_id=partition_id, watermark=Watermark(point.stored), begin=self._begin
        )
        self.settle = self.commits.settle
        self.watch = LogWatch(services, member, partition_id=partition_id)
        self.tenure = Tenure(
            services.clock,
            self.journal,
            self.commits,
            self.watch,
            member=journals.member,
            life=member.life,
            generation=generation,
        )
        self.runner = LaneRunner(services, self)
        self.letters = LetterWriter(services, self, self.journal, self.commits, parked=journals.parked)
        self.redriver = Redriver(services, self, self.journal)
        self.intake = Intake(
            services,
            partition_id=partition_id,
            next_offset=point.next_offset,
            exact=point.stored is not None,
            commits=self.commits,
            runner=self.runner,
            letters=self.letters,
        )
        self.polling = Polling(member, self.intake, self.commits, self.watch, partition_id=partition_id)
        self.is_held = False
        """Whether nothing begins until it is known what became of the partition."""
        self._delivering = True
        self._failure: Exception | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._wakeup = asyncio.Event()

    # What its member tells it

    def asking(self) -> None:
        """The question who owns what is about to be asked."""
        self.letters.confirmations.asking()

    def answered(self, generation: int) -> None:
        """Nobody else had the partition before a question that was answered with `generation`, if that is claimed."""
        confirmed = self.letters.answered(generation)
        for offset in confirmed:
            self.commits.settle(offset)
        if confirmed:
            self.letters.moved()
            self.changed()

    def hold(self) -> None:
        """Begin nothing and poll no more, until hand_over() or lose(); let run what runs."""
        self.is_held = True
        self.runner.look_again()
        self._wind_up()

    def hand_over(self) -> None:
        """Poll and redrive no more; finish and commit what was polled."""
        self.is_held = False
        self._wind_up()
        self.runner.kick()

    def _wind_up(self) -> None:
        self.polling.end()
        self.redriver.stop()
        self.tenure.end()
        self.letters.hurry()
        self._wakeup.set()

    def stop(self) -> None:
        """Begin nothing more; commit what was handled."""
        self._delivering = False
        self.polling.is_stopped = True
        self.runner.look_again()
        self.hand_over()

    def lose(self) -> None:
        """Begin nothing more and commit nothing, also when a handler swallows its cancellation."""
        self.commits.lost = True
        self.journal.abandon()
        self.stop()
        self.runner.give_up()

    # What its parts ask

    @property
    def generation(self) -> int:
        """That of the group when ownership was last looked at."""
        return self.tenure.generation

    def may_begin(self) -> bool:
        """Whether a delivery may begin now."""
        waits = self.is_held or self.services.pauses.everything
        return self._delivering and not waits and self.member.may_begin()

    def fail(self, error: Exception) -> None:
        """Begin nothing more; run() raises the first such error."""
        self._note(error)
        self.stop()

    def _note(self, error: Exception) -> None:
        if isinstance(error, OffsetOutOfRangeError) and self._failure is None:
            self.services.statistics.gaps += 1
        self.commits.log_ended = self.watch.saw_another
        self._failure = self._failure or error

    def changed(self) -> None:
        """Look again whether to poll, or whether all is drained."""
        self.polling.look_again()
        self._wakeup.set()

    def ask(self) -> None:
        """Ask soon who owns what."""
        self.member.ask()

    def turn(self) -> int:
        """See to what is due; return after how many deliveries to do so again, if a turn has not ended before."""
        until_room = self.intake.until_room
        if not until_room:
            self.polling.look_again()
        self.commits.store_soon()
        until_due = self.commits.until_due
        return min(until_room, until_due) if until_room else until_due

    def write_letter(self, failed: FailedDelivery) -> None:
        """Put a delivery into the journal that has failed for good."""
        self.letters.fail(failed)

    def let_go(self, letter: PendingLetter) -> None:
        """A letter stands in the journal: its lane goes on, without what must follow it."""
        if letter.lane is None or self.commits.lost:
            return
        for each in self.runner.let_go(letter.lane, tenant_id=letter.delivery.tenant_id if letter.parks else None):
            if each.redriving is not None:
                each.redriving.end(NotRun())
            else:
                self.letters.parking.follow(each)
        self.letters.look()
        self.runner.kick()

    def run_live(self, deliveries: list[Delivery]) -> None:
        """Put deliveries into their lanes."""
        for each in deliveries:
            self.runner.add(each)
        self.runner.kick()

    def is_polled(self, offset: int) -> bool:
        """Whether every event up to an offset is in its lane, or was."""
        return self.polling.has_polled(offset)

    def will_run(self, tenant_id: UUID | None) -> bool:
        """Whether what stands in a tenant's lane has its turn sooner or later, as far as is known now."""
        pauses = self.services.pauses
        return self._delivering and not pauses.everything and tenant_id not in pauses.tenants

    async def until_polled(self, offset: int) -> None:
        """Return when is_polled(), or nothing is polled any more."""
        await self.polling.until_polled(offset)

    async def until_letters_are_read_back(self) -> None:
        """Return when no letter is under way, and what is free again is in its lane."""
        await self.letters.read_back()

    def degraded(self) -> Iterator[str]:
        """Say what somebody should look at."""
        services, began_at = self.services, self.tenure.began_at
        age = 0.0 if began_at is None else services.clock() - began_at
        yield from partition_health.out_of_reach(self.journal, waiting=self.letters.parking.waiting)
        yield from partition_health.paused(self.commits.watermark, self.intake, self.runner)
        yield from partition_health.parked(self.journal.journal, now=services.now())
        yield from partition_health.limited(self.letters.parking, parked=self.journals.parked.count)
        yield from partition_health.foreign_types(
            self.journal, handled_types=self.journals.handled_types, member=self.journals.member, age=age
        )

    def unhealthy(self) -> Iterator[str]:
        """Say what does not end, and what is lost or left."""
        yield from partition_health.stuck(self.runner, now=self.services.clock())
        yield from partition_health.lost_or_left(self.journal, self.letters.parking)

    # Its life

    async def run(self) -> None:
        """Take over, then consume until told to end.

        Raises what its failure policy makes of a handler's error, DecodeError, OffsetOutOfRangeError, and connector
        errors that no repetition mends. Everything handled before is committed first, where the server still takes it.
        """
        try:
            self._begin(self._keep_claimed())
            if await self._take_over():
                self._begin(self.letters.run())
                self._begin(self.redriver.run())
                if self.services.deduplicate:
                    self.intake.known = await self.polling.seeded()
                await self.polling.run()
        except OvertakenError:
            self._overtaken()
        except OffsetOutOfRangeError as error:
            self._note(error)
            self.hand_over()  # what came before it is finished
        except ConnectorError as error:
            self.fail(error)
        except asyncio.CancelledError:
            self.commits.lost = True
            raise
        finally:
            await self._end()
        if self._failure is not None:
            raise self._failure

    async def _take_over(self) -> bool:
        """Claim the partition and fold its journal; False when it is to be given back before that is done."""
        start = await self.tenure.take_over()
        if start is None:
            return False
        after = self.intake.next_offset - 1
        if start > after:  # the group's offset is behind what an earlier owner had committed
            self.commits.watermark.skip(start)
            after = start
        lettered = frozenset(each.offset for each in self.journal.journal.snapshot().letters if each.offset > after)
        self.intake.start_after(after, lettered=lettered)
        self.letters.begin()
        return True

    async def _keep_claimed(self) -> None:
        """Claim anew under each new generation."""
        while True:
            await self.tenure.renewed()
            self.member.ask()
            self.changed()

    # Its end

    async def _end(self) -> None:
        """Let run what was polled, within the drain timeout; commit; forget the rest."""
        self._wind_up()
        try:
            if not self.commits.lost:
                await self._drained()
                self.runner.end()
        finally:
            self._delivering = False
            if not self.runner.is_idle or self.commits.lost:
                self.runner.give_up()
            try:
                await self.runner.ended()
            finally:
                await self._leave()

    async def _leave(self) -> None:
        """No handler runs any more: commit, and give the partition to whoever comes next."""
        self.commits.end()
        try:
            if not self.commits.lost:
                await self.commits.until_stored()
                await self._confirmed()
                if (reset := await self.watch.last_look()) is not None:
                    self._note(reset)
                await self._commit_at_end()
        finally:
            for task in self._background:
                task.cancel()
            try:
                if self._background:
                    await asyncio.wait(self._background)
            finally:  # cancelled once more: the tenants of what is gone must not count as parked for ever
                self.letters.end()
            if self.commits.log_ended:
                self.journal.abandon()  # its checkpoint would say that this log is the one it knows
            await self.journal.release(committed=self.commits.watermark.stored)

    def _is_drained(self) -> bool:
        is_unclaimed = self.tenure.awaits_claim and self._failure is None  # else nobody claims it again
        if is_unclaimed or not self.letters.is_idle or not self.redriver.is_idle:
            return False
        return self.runner.is_drained or (not self._delivering and self.runner.is_idle)

    async def _drained(self) -> None:
        try:
            async with asyncio.timeout(self.services.config.drain_timeout):
                while not self._is_drained():
                    self._wakeup.clear()
                    await self._wakeup.wait()
        except TimeoutError:
            log.warning("handlers_cancelled", group=self.services.group, partition_id=self.partition_id)
        except asyncio.CancelledError:
            self.commits.lost = True
            raise
        abandoned = sum(1 for _ in self.runner.lanes)
        if abandoned and self._delivering:
            self.services.statistics.abandoned_lanes += abandoned
            log.warning("lanes_abandoned", group=self.services.group, partition_id=self.partition_id, count=abandoned)

    async def _confirmed(self) -> None:
        """Ask who owned the partition until now, so that the last events and letters may be committed past."""
        while len(self.letters.confirmations) or not self.member.may_begin():
            self.asking()
            try:
                answer = await self.member.assignment()
            except ConnectorError as error:
                log.warning("assignment_unknown", group=self.services.group, error=type(error).__name__)
                return
            if answer.generation == self.tenure.generation:
                self.answered(answer.generation)
                return
            self.tenure.freeze(answer.generation)  # somebody else may have committed since
            self.ask()
            await self._drained()  # claimed anew by then, unless nobody asks any more
            if self.commits.frozen:
                return

    async def _commit_at_end(self) -> None:
        try:
            if not self.member.may_begin():  # the last look took longer than an answer holds
                await self._confirmed()
            await self.commits.store()
        except (ConnectorError, OffsetOutOfRangeError) as error:
            if isinstance(error, OffsetOutOfRangeError):
                self._note(error)
            facts = {"group": self.services.group, "topic": self.services.topic, "partition_id": self.partition_id}
            log.warning("commit_failed_at_end", **facts, come_again=self.commits.watermark.unstored, error=str(error))

    def _begin(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background_ended)
        return task

    def _background_ended(self, task: asyncio.Task[None]) -> None:
        self._background.discard(task)
        error = None if task.cancelled() else task.exception()
        if isinstance(error, OvertakenError):
            self._overtaken()
        elif isinstance(error, Exception):
            self.fail(error)
        self.changed()

    def _overtaken(self) -> None:
        if not self.commits.lost:
            self.lose()
            if self._failure is None:  # else run() ends, and says why
                self.member.overtaken(self.partition_id)
