"""The owner's hand on the journal of one source partition: takes it over, writes, reads back, keeps its start, lets go.

- The journal is folded from what the server returns, never from what was written: a record counts once it is read.
- No record goes out under an epoch whose claim was not read back: between our claims another member may have owned the
  partition, and what this one knows would be old.
- Once a higher claim was read (F5), nothing more is written but the release.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar
from uuid import UUID, uuid4

from rustok_iggy.dead_letters.access import JournalAccess, OwnerTiming
from rustok_iggy.dead_letters.append_queue import Pen
from rustok_iggy.dead_letters.drafts import Drafted, RecordDraft, Written, written
from rustok_iggy.dead_letters.follower import JournalFollower
from rustok_iggy.dead_letters.journal import Journal, Verdict
from rustok_iggy.dead_letters.layout import Original, decode_original
from rustok_iggy.dead_letters.overtaken import OvertakenError, emptied
from rustok_iggy.dead_letters.persistence import Persistence
from rustok_iggy.dead_letters.read_back import Expectation
from rustok_iggy.dead_letters.records import (
    NOTHING_COMMITTED,
    Checkpoint,
    Claim,
    Epoch,
    Letter,
    Release,
    Source,
)
from rustok_iggy.dead_letters.snapshot import ClaimInForce, FoldedLetter, encode_snapshot
from rustok_iggy.dead_letters.stored_start import JournalPlace, Kept, keep
from rustok_iggy.errors import DeadLetterError, OffsetOutOfRangeError, TransportClosedError
from rustok_iggy_connector import ConnectorClosedError, ConnectorError, OutgoingMessage, get_logger

log = get_logger(__name__)

TAKEOVER_POLL_INTERVAL = 0.05
Check = Callable[[], Awaitable[None]]
_T = TypeVar("_T")


async def unchecked() -> None:
    """Let everything pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _OwnClaim:
    """Our last claim that was acknowledged and read back."""

    epoch: Epoch
    position: int


class OwnedJournal:
    """The journal of one source partition in the hand of its owner; `partition` is that of the dlq topic.

    Calls may come from several tasks. While the server is away or refuses, gain, renew, write and bodies repeat until
    they succeed or abandon() is called, with `trouble` saying why; each single request has the connector's deadline.
    All of them raise OvertakenError once the source partition is lost, and TransportClosedError.
    """

    def __init__(
        self,
        source: Source,
        *,
        partition: int,
        handled_types: str,
        access: JournalAccess,
        timing: OwnerTiming | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        new_id: Callable[[], UUID] = uuid4,
    ) -> None:
        self._source = source
        self._place = JournalPlace(stream=access.stream, topic=access.topic, partition=partition)
        self._handled_types = handled_types
        self._access = access
        self._timing = timing or OwnerTiming()
        self._clock = clock
        self._sleep = sleep
        self._new_id = new_id
        self._pen = Pen()
        self._claiming = asyncio.Lock()
        self._follower = JournalFollower(source, place=self._place, reader=access.reader, admin=access.admin)
        self._ours: tuple[Epoch, ...] = ()
        self._claim: _OwnClaim | None = None
        self._committed = NOTHING_COMMITTED
        self._may_release = False
        self._persistence = Persistence(facts=self._facts, check_lost=self._check_lost, sleep=sleep)

    @property
    def journal(self) -> Journal:
        """The journal as it was read back from the server so far."""
        return self._follower.fold.journal

    @property
    def claim_generation(self) -> int:
        """The generation of our last claim that was acknowledged and read back; 0 before the first."""
        return 0 if self._claim is None else self._claim.epoch.generation

    @property
    def predecessor(self) -> ClaimInForce | None:
        """The claim that was in force before our first one."""
        return self._follower.fold.predecessor

    @property
    def low_mark_at(self) -> int:
        """When the server stored what the journal's low mark comes from, µs since 1970 UTC."""
        return self._follower.fold.low_mark_at

    @property
    def letters_expired(self) -> bool:
        """Whether the server deleted records that were still needed: letters are lost."""
        return self._follower.letters_expired

    @property
    def is_lost(self) -> bool:
        """Whether the source partition was lost: by a higher claim, or by abandon()."""
        return self._pen.is_down

    @property
    def trouble(self) -> ConnectorError | None:
        """What keeps this owner from reading or writing right now."""
        return self._persistence.trouble or self._access.appender.trouble

    # Taking over

    async def gain(self, *, epoch: Epoch, committed: int, check: Check = unchecked) -> int:
        """Fold the journal, claim the partition and read on to the end; the offset after which delivery begins.

        Waits until the previous owner's handlers have ended: for its release, or the takeover timeout. `committed` is
        the group's committed offset, −1 for none. What `check` raises of the journal as it was comes before anything
        is written: a claim would make it say something else from then on.
        """
        async with self._claiming:
            await self._persistently(self._follower.begin)
            await self._persistently(check)
            position = self._follower.fold.claimed_at = await self._append_claim(epoch, committed)
            began = self._clock()
            await self._persistently(lambda: self._follower.read_to(position))
            await self._persistently(self._follower.read_on)
            self._confirm(epoch, position)
        while self._must_wait and self._clock() - began < self._timing.takeover_timeout:
            await self._sleep(TAKEOVER_POLL_INTERVAL)
            await self._persistently(self._follower.read_on)
        self._may_release = True
        await self.keep_start()
        return max(self._committed, self.journal.low_mark)

    async def renew(self, *, epoch: Epoch, committed: int, check: Check = unchecked) -> None:
        """Claim again after a change of generation, while keeping the partition; may overlap with gain's wait.

        A claim of another member in between raises OvertakenError: it may have worked on what this one holds.
        """
        async with self._claiming:
            await self._persistently(check)
            position = await self._append_claim(epoch, committed)
            await self._persistently(lambda: self._follower.read_to(position))
            self._confirm(epoch, position)

    async def _append_claim(self, epoch: Epoch, committed: int) -> int:
        self._check_lost()
        self._committed = committed
        self._ours += (epoch,)
        self._follower.fold.ours = self._ours
        claim = Claim(source=self._source, epoch=epoch, committed=committed, handled_types=self._handled_types)
        return await (await self._submit([self._written(claim).message]))

    def _confirm(self, epoch: Epoch, position: int) -> None:
        """Our claim was read back at `position`: it must be the one in force."""
        self._check_lost()
        in_force = self.journal.claim
        if in_force is None or in_force.epoch != epoch:
            is_unread = in_force is not None and in_force.epoch.rank < epoch.rank
            raise self._emptied() if is_unread else self._lost()
        self._claim = _OwnClaim(epoch=epoch, position=position)
        self._ours = self._follower.fold.ours = (epoch,)

    @property
    def _must_wait(self) -> bool:
        return not self._follower.fold.predecessor_released

    # Reading

    async def catch_up(self) -> bool:
        """Read and fold what is new; whether something of this source changed. False also while the server is away.

        Raises OffsetOutOfRangeError when the log was emptied while letters were open.
        """
        self._check_lost()
        if self._claim is None:
            return False
        try:
            with self._noting_loss():
                changed = await self._follower.look()
        except ConnectorClosedError:
            raise
        except ConnectorError as error:
            self._persistence.trouble = error
            return False
        self._persistence.trouble = None
        return changed

    async def bodies(self, letters: Sequence[FoldedLetter]) -> list[Original]:
        """Read the original messages of the first of some letters: of one, and of what one poll brings with it.

        Raises DeadLetterError when the first one's record is gone.
        """
        read, positions = self._access.reader.read_first_of, [letter.position for letter in letters]
        records = await self._persistently(lambda: read(self._place.partition, positions=positions))
        originals: list[Original] = []
        for letter in letters:
            opened = records.get(letter.position)
            if opened is None or not isinstance(opened.record, Letter) or opened.record.offset != letter.offset:
                break
            originals.append(decode_original(opened.body))
        if not originals:
            gone = letters[0]
            raise DeadLetterError(f"the letter of offset {gone.offset} is not at position {gone.position} any more")
        return originals

    # Writing

    async def write(self, *records: RecordDraft) -> list[Verdict]:
        """Append records as one unit in order; what the journal made of each, once they are read back.

        Letters keep their message id over all copies, other records get one each. IGNORED says that the journal
        already knew. Raises DeadLetterError, with nothing sent, when a record is too big.
        """
        if not records:
            return []
        async with self._claiming:
            self._check_lost()
            claim = self._claim
            if claim is None:
                raise DeadLetterError("nothing is written before the partition was gained")
            expected = Expectation([self._written(draft(claim.epoch)) for draft in records])
            self._follower.fold.expect(expected)
            try:
                appended = await self._submit(expected.messages)
            except BaseException:
                self._follower.fold.forget(expected)
                raise
        return await self._read_back(appended, expected)

    async def _read_back(self, appended: asyncio.Future[int], expected: Expectation) -> list[Verdict]:
        fold = self._follower.fold
        try:
            position = await appended
            await self._persistently(lambda: self._follower.read_to(position))
        finally:
            fold.forget(expected)
        verdicts = expected.verdicts
        if verdicts is None:
            raise self._emptied()
        if Verdict.VOID in verdicts:
            raise self._lost()
        return verdicts

    async def keep_start(self, *, committed: int | None = None) -> None:
        """Store where the next owner begins to fold, where that moved; a checkpoint when one is due.

        `committed` is the group's committed offset where the caller knows it: a checkpoint carries it. Nothing is
        raised while the server is away: the next call does it.
        """
        self._check_lost()
        self._note_committed(committed)
        if self._claim is None:
            return
        try:
            if self._follower.fold.since_checkpoint >= self._timing.checkpoint_every:
                await self._write_checkpoint()
            await self._store_pin()
        except ConnectorClosedError:
            raise
        except ConnectorError as error:
            log.warning("journal_start_not_kept", **self._facts, error=type(error).__name__)

    async def _store_pin(self) -> None:
        pin = self.journal.pin or 0
        if pin != self._follower.pin:
            await self._keep(Kept.PIN, pin)
            self._follower.pin = pin

    async def _write_checkpoint(self, *more: RecordDraft) -> None:
        fold = self._follower.fold
        fold.since_checkpoint = 0  # also when it fails: it is tried again as many records later
        try:
            await self.write(self._checkpoint, *more)
        except DeadLetterError:
            log.warning("journal_checkpoint_too_large", **self._facts)
            return
        if fold.checkpoint is not None:
            await self._keep(Kept.CHECKPOINT, fold.checkpoint)

    async def _keep(self, kept: Kept, offset: int) -> None:
        await keep(self._access.admin, place=self._place, source=self._source, kept=kept, offset=offset)

    def _checkpoint(self, epoch: Epoch) -> Drafted:
        record = Checkpoint(source=self._source, epoch=epoch, committed=self._committed)
        return record, encode_snapshot(self.journal.snapshot())

    def _note_committed(self, committed: int | None) -> None:
        if committed is not None:
            self._committed = max(self._committed, committed)

    # Letting go

    async def release(self, *, committed: int | None = None) -> None:
        """Say that the last handler has ended: the next owner waits for that. With a checkpoint, unless it was lost.

        Only after gain() had ended its own wait: else the one before us may still run. Waits no longer than the
        release timeout and raises nothing of the server's.
        """
        claim = self._claim
        if not self._may_release or claim is None:
            return
        self._may_release = False
        self._note_committed(committed)
        record = Release(source=self._source, epoch=claim.epoch, claim=claim.position)
        try:
            async with asyncio.timeout(self._timing.release_timeout):
                if not await self._released_with_checkpoint(record):
                    await self._append_release(record)
        except (ConnectorError, TimeoutError, DeadLetterError, TransportClosedError) as error:
            log.warning("journal_not_released", **self._facts, error=type(error).__name__)
        finally:
            self.abandon()

    async def _released_with_checkpoint(self, record: Release) -> bool:
        if self.is_lost:
            return False
        try:
            await self._write_checkpoint(lambda _: record)
            await self._store_pin()
        except OvertakenError:
            return False
        return self.journal.claim is not None and self.journal.claim.is_released

    async def _append_release(self, record: Release) -> None:
        """With a pen of its own: it counts also behind the claim of the next owner."""
        pen = Pen()
        appender = self._access.appender
        try:
            await (await appender.submit(self._place.partition, [self._written(record).message], pen=pen))
        finally:
            appender.put_down(pen)

    def abandon(self) -> None:
        """The partition is lost: what waits to be written is not sent any more. Idempotent."""
        self._access.appender.put_down(self._pen)

    # Inside

    async def _submit(self, messages: Sequence[OutgoingMessage]) -> asyncio.Future[int]:
        return await self._access.appender.submit(self._place.partition, messages, pen=self._pen)

    def _written(self, drafted: Drafted) -> Written:
        return written(drafted, new_id=self._new_id)

    async def _persistently(self, call: Callable[[], Awaitable[_T]]) -> _T:
        with self._noting_loss():
            return await self._persistence.run(call)

    def _check_lost(self) -> None:
        if self.is_lost:
            raise self._lost()

    def _emptied(self) -> Exception:
        """A record stands below what was read long ago: nothing of that is there any more."""
        self.abandon()
        return emptied(self.journal, self._place.partition)

    def _lost(self) -> OvertakenError:
        self.abandon()
        return OvertakenError(f"{self._source.topic}/{self._source.partition} of group {self._source.group} was lost")

    @contextmanager
    def _noting_loss(self) -> Iterator[None]:
        try:
            yield
        except (OvertakenError, OffsetOutOfRangeError):
            self.abandon()
            raise

    @property
    def _facts(self) -> dict[str, object]:
        source = self._source
        return {"group": source.group, "topic": source.topic, "partition": source.partition}
