"""Writes the letters of one partition, one batch at a time, and says when their offsets may be committed."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol
from uuid import UUID

from rustok_iggy.consumer.commits import Commits
from rustok_iggy.consumer.confirmations import Confirmations
from rustok_iggy.consumer.delivery import Delivery
from rustok_iggy.consumer.letter_records import facts, failure_of, letter_record
from rustok_iggy.consumer.parking import (
    MAX_BATCH,
    MAX_PARKED_LETTERS,
    MAX_PARKED_TENANTS,
    FailedDelivery,
    Parking,
    PendingLetter,
)
from rustok_iggy.consumer.source_journal import ParkedTenants, SourceJournal
from rustok_iggy.consumer.statistics import PartitionServices
from rustok_iggy.dead_letters.drafts import Drafted, RecordDraft
from rustok_iggy.dead_letters.layout import Original, encode_original
from rustok_iggy.dead_letters.records import Cause, Epoch
from rustok_iggy.errors import DeadLetterError
from rustok_iggy.moments import MICROSECONDS_PER_SECOND
from rustok_iggy_connector import get_logger

log = get_logger(__name__)

ENOUGH_TO_ASK = 256
"""Letters read back after which the server is asked at once who owns what, instead of at the next heartbeat: their
offsets hold the watermark until then."""
GATHERING = 0.2
"""Seconds that events which only follow a letter may gather, since an append and its read-back take as much as two
dozen letters. Their offsets hold the watermark until a heartbeat anyway; this is a fifth of one more. Not one that
failed itself, whose lane waits, and none when the partition is given back, or nearly stands still because of them."""
ENOUGH_TO_WRITE = 250
"""Gathered events that are written at once: by then what an append takes for itself is a twentieth of the whole."""


class Holder(Protocol):
    """What the letters' writer asks of the partition it works for."""

    def let_go(self, letter: PendingLetter) -> None:
        """A letter of its own stands in the journal: its lane goes on."""
        ...

    def run_live(self, deliveries: list[Delivery]) -> None:
        """Put events into their lanes that nothing holds back any more."""
        ...

    def ask(self) -> None:
        """Ask soon who owns what."""
        ...

    def changed(self) -> None:
        """There may be room for more, or nothing is under way any more."""
        ...


class LetterWriter:
    """From failed deliveries to letters that were read back. Call begin() once the journal was gained."""

    def __init__(
        self,
        services: PartitionServices,
        holder: Holder,
        journal: SourceJournal,
        commits: Commits,
        *,
        parked: ParkedTenants,
    ) -> None:
        self._services = services
        self._commits = commits
        self._parked = parked
        self._holder = holder
        self._journal = journal
        self._wakeup = asyncio.Event()
        self.parking = Parking(journal.journal, max_letters=MAX_PARKED_LETTERS)
        self.confirmations = Confirmations()
        self._counted = 0
        self._begun = 0
        self._ended = 0
        self._batch_ended = asyncio.Event()
        self._urgent = asyncio.Event()
        self._is_ending = False
        self._has_failed = False
        self._told_full: set[UUID] = set()
        self._told_no_room = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way, or nothing can be written any more."""
        return self._has_failed or self.parking.is_idle

    def begin(self) -> None:
        """Look at the journal, which was folded."""
        self.parking = Parking(self._journal.journal, max_letters=MAX_PARKED_LETTERS)
        self._count()

    def end(self) -> None:
        """The partition is given back: its tenants count no more."""
        self._parked.count -= self._counted
        self._counted = 0

    def fail(self, failed: FailedDelivery) -> None:
        """Write a letter; its lane waits for it."""
        now, delivery = self._services.now(), failed.delivery
        failing_for = self._services.clock() - delivery.first_failed_at
        self.parking.add(
            PendingLetter(
                delivery=delivery,
                cause=failed.decision.cause,
                parks=failed.decision.parks and delivery.tenant_id is not None,
                failure=failure_of(delivery, failed.error),
                first_failed_at=now - round(failing_for * MICROSECONDS_PER_SECOND),
                last_failed_at=now,
                lane=failed.lane,
            )
        )
        self._urgent.set()
        self._wakeup.set()

    def hurry(self) -> None:
        """The partition is given back when all is written."""
        self._is_ending = True
        self._urgent.set()

    def look(self) -> None:
        """There may be something to write."""
        self._wakeup.set()

    def moved(self) -> None:
        """More was polled, or letters were settled: do not wait where many have gathered, or hold up the partition."""
        held = self._commits.held_at
        if self.parking.gathered:
            self._wakeup.set()
        if self.parking.gathered >= ENOUGH_TO_WRITE or (held is not None and self.parking.has_next(held)):
            self._urgent.set()
        if held is not None and self.confirmations.is_unasked(held):
            self._holder.ask()

    async def run(self) -> None:
        """Write what there is, until cancelled. Raises OvertakenError."""
        while True:
            self._wakeup.clear()
            self._urgent.clear()
            self.release()
            room = MAX_PARKED_TENANTS - self._parked.count
            batch = self.parking.take(tenants_left=room, now=self._services.now())
            self._tell_limits()
            if not batch:
                self._holder.changed()
                await self._wakeup.wait()
                continue
            self._begun += 1
            try:
                await self._write(batch)
            except Exception:
                self._has_failed = True
                raise
            finally:
                self._ended += 1
                self._batch_ended.set()
            if len(batch) < MAX_BATCH and not self._is_ending:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(GATHERING):
                        await self._urgent.wait()

    async def read_back(self) -> None:
        """Return when what is under way was read back, and events that nothing holds back any more run live."""
        under_way = self._begun
        while self._ended < under_way:
            self._batch_ended.clear()
            await self._batch_ended.wait()
        self.release()

    def release(self) -> None:
        """Look at the journal anew; events that nothing holds back any more run live."""
        released = list(self.parking.released())
        self._count()
        if released:
            self._holder.run_live(released)

    def answered(self, generation: int) -> list[int]:
        """Return the offsets that are settled since the server said who owns what. At every heartbeat."""
        if self.parking.full or self.parking.no_room:
            self.look()  # letters may have been closed meanwhile, of this partition or of another one
        return self.confirmations.answered(generation=generation, claimed=self._journal.claim_generation)

    async def _write(self, batch: list[PendingLetter]) -> None:
        written = batch
        try:
            await self._journal.write(*map(self._draft, batch))
        except DeadLetterError as error:
            written = []
            if len(batch) > 1:
                written = await self._write_each(batch)
            else:
                self._refuse(batch[0], error)
        self.parking.written()
        self._kept(written)

    async def _write_each(self, batch: list[PendingLetter]) -> list[PendingLetter]:
        """One of them cannot be written: find out which, and let nothing of its tenant pass it."""
        written, behind = [], []
        for letter in batch:
            if self.parking.is_behind_refused(letter):
                behind.append(letter)
                continue
            try:
                await self._journal.write(self._draft(letter))
            except DeadLetterError as error:
                self._refuse(letter, error)
            else:
                written.append(letter)
        self.parking.put_back(behind)
        return written

    def _refuse(self, letter: PendingLetter, error: DeadLetterError) -> None:
        log.error("letter_refused", group=self._services.group, offset=letter.delivery.offset, error=str(error))
        self.parking.refuse(letter, str(error))

    def _kept(self, letters: list[PendingLetter]) -> None:
        self._services.statistics.letters += len(letters)
        self._count()
        self.confirmations.read_back(*[letter.delivery.offset for letter in letters])
        for letter in letters:
            if letter.cause is Cause.UNDECODABLE and letter.delivery.tenant_id is None:
                self._services.statistics.letters_without_tenant += 1
            if letter.lane is not None:
                self._tell(letter)
                self._holder.let_go(letter)
        if len(self.confirmations) >= ENOUGH_TO_ASK:
            self._holder.ask()
        self.moved()
        self._holder.changed()

    def _tell(self, letter: PendingLetter) -> None:
        """Log a letter of its own; those that only follow it are counted."""
        delivery = letter.delivery
        about = facts(
            self._journal.journal.source,
            offset=delivery.offset,
            event_id=delivery.event_id,
            tenant_id=delivery.tenant_id,
            failure=letter.failure,
        )
        log.error("dead_letter_kept", **about, cause=str(letter.cause), parks_tenant=letter.parks)

    def _tell_limits(self) -> None:
        """Log once who waits because there are too many letters."""
        source, full, no_room = self._journal.journal.source, self.parking.full, len(self.parking.no_room)
        place = {"group": source.group, "topic": source.topic, "partition_id": source.partition}
        for tenant in full - self._told_full:
            log.warning("parked_tenant_full", **place, tenant_id=str(tenant), letters=self.parking.max_letters)
        if no_room and not self._told_no_room:
            log.warning("too_many_tenants_parked", **place, tenants=self._parked.count, waiting=no_room)
        self._told_full, self._told_no_room = full, bool(no_room)

    def _count(self) -> None:
        parked = self.parking.parked
        self._parked.count += parked - self._counted
        self._counted = parked

    def _draft(self, letter: PendingLetter) -> RecordDraft:
        body = encode_original(
            Original(headers=letter.delivery.message.headers, payload=letter.delivery.message.payload)
        )

        def draft(epoch: Epoch) -> Drafted:
            return letter_record(letter, epoch, self._journal.journal.source), body

        return draft
