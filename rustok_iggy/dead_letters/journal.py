"""The fold: what the dead-letter journal says about one group and one source partition. Decides only.

The journal is append-only and written by whoever owns the source partition, also by those who do not know yet that they
lost it. These rules make every reader come to the same state, wherever he started (dead-letters.md):

- F1  A record of an owner is void when a claim of a higher (group id, generation) stands before it. A release is
      exempt: it normally follows the claim of the next owner.
- F2  A letter's key is its offset in the source. Only records that are not void count; a second letter with the same
      key is ignored, and so is one at or below the low mark = the highest committed offset in a valid claim or
      checkpoint before it: else a late copy of a settled letter would come back to life. Only `handled` and
      `discarded` close a letter.
- Reset  A claim that resets sets the low mark, also back, and forgets the closed letters above it. It fences off every
      record of earlier epochs, so that no late copy of one brings back what it has forgotten.
- Start  A fold may begin at an `anchor`: the first record, or a claim that says everything the fence and the low mark
      need. `pin` is the position before the oldest anchor that is still needed. Nothing below it matters any more:
      a claim fences off every record of earlier epochs, late copies included.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from uuid import UUID

from msgspec.structs import replace

from rustok_iggy.dead_letters.records import (
    AnyRecord,
    Attempt,
    Checkpoint,
    Claim,
    Epoch,
    Letter,
    Outcome,
    Release,
    Request,
    RequestEnd,
    Settlement,
    Source,
)
from rustok_iggy.dead_letters.snapshot import ClaimInForce, FoldedLetter, OpenRequest, Progress, Snapshot


class Verdict(StrEnum):
    """What the journal made of a record."""

    APPLIED = "applied"
    VOID = "void"
    """Of an owner that a higher claim had overtaken (F1)."""
    IGNORED = "ignored"
    """Valid, but says nothing new: a copy, or about something that is closed or gone (F2)."""
    FOREIGN = "foreign"
    """About another group or source."""


class Journal:
    """The state of one source's journal, folded record by record in order of position.

    A pure function of the records: `apply` and `skip` are its only changes. Bounded by the open requests, the letters
    they settled, the open letters and those above the low mark.
    """

    def __init__(self, source: Source) -> None:
        self._restore(Snapshot(source=source))

    @classmethod
    def restore(cls, snapshot: Snapshot) -> Journal:
        """Return the journal as it was at `snapshot.folded_up_to`; go on with the record after that."""
        journal = cls(snapshot.source)
        journal._restore(snapshot)
        return journal

    def _restore(self, snapshot: Snapshot) -> None:
        self.source = snapshot.source
        self.folded_up_to = snapshot.folded_up_to
        self.claim: ClaimInForce | None = snapshot.claim
        self.low_mark = snapshot.low_mark
        self._anchor = snapshot.anchor
        self._letters: dict[int, FoldedLetter] = {}
        self._requests = {open_.request.id: open_ for open_ in snapshot.requests}
        # What follows from the letters, so that nobody has to go through all of them.
        self._parking: dict[UUID, list[int]] = {}
        self.parking_changes = 0
        """Rises whenever parked_from() changes for somebody: not with the letters that only follow another one."""
        self._settled: Counter[tuple[UUID, Outcome]] = Counter()
        self._open = 0
        self._oldest_failure: int | None = None
        for letter in snapshot.letters:
            self._keep(letter)
            self._park(letter)

    def snapshot(self) -> Snapshot:
        """Return the whole state as a value: equal for every fold of the same log."""
        return Snapshot(
            source=self.source,
            folded_up_to=self.folded_up_to,
            anchor=self._anchor,
            claim=self.claim,
            low_mark=self.low_mark,
            letters=tuple(sorted(self._letters.values(), key=lambda letter: letter.offset)),
            requests=self.requests,
        )

    # What it says

    @property
    def pin(self) -> int | None:
        """The offset to store so that a fold from the next one knows all that this one does; None = from the start.

        Take it from a journal that was read back from the server, never from one that assumed an append.
        """
        anchors = [letter.anchor for letter in self._letters.values()]
        anchors += [open_.anchor for open_ in self._requests.values()]
        if self._anchor is not None:
            anchors.append(self._anchor)
        oldest = min(anchors, default=0)
        return oldest - 1 if oldest > 0 else None

    @property
    def requests(self) -> tuple[OpenRequest, ...]:
        """The open requests, in the order they are worked: that of the journal."""
        return tuple(sorted(self._requests.values(), key=lambda open_: open_.position))

    def progress(self, request_id: UUID) -> Progress:
        """How far an open request is here: what its request_end reports."""
        return Progress(
            handled=self._settled[request_id, Outcome.HANDLED],
            failed=self._settled[request_id, Outcome.FAILED],
            discarded=self._settled[request_id, Outcome.DISCARDED],
        )

    def letter(self, offset: int) -> FoldedLetter | None:
        """The letter of that source offset, None without one. An event that has one is not run live (F3).

        Known for offsets above the low mark; at or below it closed letters are forgotten, and no event is run.
        """
        return self._letters.get(offset)

    def open_letters(self) -> Iterator[FoldedLetter]:
        """All open letters, in order of source offset."""
        return (self._letters[offset] for offset in sorted(self._letters) if self._letters[offset].is_open)

    @property
    def open_count(self) -> int:
        """How many letters are open."""
        return self._open

    @property
    def oldest_failure(self) -> int | None:
        """When the open letter that failed first did so, in µs since 1970 UTC; None without letters.

        Goes through all letters, once after each change.
        """
        if self._oldest_failure is None and self._open:
            self._oldest_failure = min(each.first_failed_at for each in self._letters.values() if each.is_open)
        return self._oldest_failure

    def parked_from(self, tenant_id: UUID) -> int | None:
        """The offset of the tenant's first open letter that parks it: events above it become letters. None = live."""
        offsets = self._parking.get(tenant_id)
        return offsets[0] if offsets else None

    def parking_letters(self, tenant_id: UUID) -> int:
        """How many open letters hold the tenant."""
        return len(self._parking.get(tenant_id, ()))

    @property
    def parked_tenants(self) -> frozenset[UUID]:
        """The tenants that are held back."""
        return frozenset(self._parking)

    def is_overtaken(self, epoch: Epoch) -> bool:
        """Whether a claim higher than `epoch` was read: its owner has lost the partition (F5)."""
        claim = self.claim
        return claim is not None and epoch != claim.epoch and epoch.rank < claim.epoch.rank

    # Folding

    def skip(self, position: int) -> None:
        """Pass over a message that is no record. Positions rise."""
        assert position > self.folded_up_to, "the journal is folded in order of position, each record once"
        self.folded_up_to = position

    def apply(self, record: AnyRecord, *, position: int) -> Verdict:
        """Take in the record at `position`. Positions rise; of the dlq partition's records none may be left out."""
        self.skip(position)
        if isinstance(record, Request):
            return self._request(record, position) if record.concerns(self.source) else Verdict.FOREIGN
        if record.source != self.source:
            return Verdict.FOREIGN
        self._anchored(position)
        if isinstance(record, Release):
            return self._release(record)
        if self._is_void(record.epoch):
            return Verdict.VOID
        match record:
            case Claim():
                return self._claim(record, position)
            case Letter():
                return self._letter(record, position)
            case Attempt():
                return self._attempt(record)
            case Settlement():
                return self._settlement(record)
            case RequestEnd():
                return self._request_end(record)
            case Checkpoint():
                self._raise_low_mark(record.committed)
                return Verdict.APPLIED

    def _is_void(self, epoch: Epoch) -> bool:
        return self.is_overtaken(epoch)

    def _claim(self, record: Claim, position: int) -> Verdict:
        if record.resets:
            return self._reset(record, position)
        if self.claim is not None and record.epoch.rank == self.claim.epoch.rank:
            # A copy, or the same owner again: the anchor stays, for copies of what it wrote since the first may follow.
            self.claim = replace(self.claim, is_released=False)
        else:
            self.claim = ClaimInForce(position=position, epoch=record.epoch, handled_types=record.handled_types)
            if record.committed >= self.low_mark:
                self._anchor = position
        self._raise_low_mark(record.committed)
        return Verdict.APPLIED

    def _reset(self, record: Claim, position: int) -> Verdict:
        # Nothing runs under it, so nobody waits for its release; earlier epochs, and late copies, are fenced off.
        self.claim = ClaimInForce(
            position=position, epoch=record.epoch, handled_types=record.handled_types, is_released=True
        )
        self._anchor = position
        self.low_mark = record.committed
        for letter in [each for each in self._letters.values() if not each.is_open and each.offset > self.low_mark]:
            self._drop(letter.offset)
        self._forget(*self._letters)
        return Verdict.APPLIED

    def _release(self, record: Release) -> Verdict:
        if self.claim is None or not self.claim.is_closed_by(record):
            return Verdict.IGNORED
        self.claim = replace(self.claim, is_released=True)
        return Verdict.APPLIED

    def _letter(self, record: Letter, position: int) -> Verdict:
        if record.offset in self._letters or record.offset <= self.low_mark:
            return Verdict.IGNORED
        letter = _folded(record, position=position, anchor=self._anchored(position))
        self._keep(letter)
        self._park(letter)
        return Verdict.APPLIED

    def _attempt(self, record: Attempt) -> Verdict:
        letter = self._letters.get(record.offset)
        if letter is None or not letter.is_open or record.number <= letter.attempts:
            return Verdict.IGNORED
        self._keep(replace(letter, attempts=record.number))
        return Verdict.APPLIED

    def _settlement(self, record: Settlement) -> Verdict:
        letter = self._letters.get(record.offset)
        if letter is None or not letter.is_open:
            return Verdict.IGNORED
        if record.outcome is Outcome.NOT_RUN:
            return self._not_run(letter, record.number)
        if record.failure is None:
            self._close(letter, record)
        elif record.number < letter.attempts or letter.settled_in == record.request:
            return Verdict.IGNORED  # a late copy: a later attempt has begun
        else:
            self._keep(
                replace(
                    letter,
                    settled_in=record.request,
                    last_failed_at=record.settled_at,
                    error_type=record.failure.error_type,
                    fingerprint=record.failure.fingerprint,
                )
            )
        return Verdict.APPLIED

    def _not_run(self, letter: FoldedLetter, number: int) -> Verdict:
        if not 0 < number == letter.attempts:
            return Verdict.IGNORED
        self._keep(replace(letter, attempts=number - 1))
        return Verdict.APPLIED

    def _request(self, record: Request, position: int) -> Verdict:
        if record.id in self._requests:
            return Verdict.IGNORED
        self._requests[record.id] = OpenRequest(position=position, anchor=self._anchored(position), request=record)
        return Verdict.APPLIED

    def _anchored(self, position: int) -> int:
        if self._anchor is None:
            self._anchor = position
        return self._anchor

    def _keep(self, letter: FoldedLetter) -> None:
        self._drop(letter.offset)
        self._letters[letter.offset] = letter
        self._open += letter.is_open
        self._oldest_failure = None
        if letter.settled_in is not None:
            self._settled[letter.settled_in, letter.outcome or Outcome.FAILED] += 1

    def _drop(self, offset: int) -> None:
        letter = self._letters.pop(offset, None)
        if letter is not None:
            self._open -= letter.is_open
            self._oldest_failure = None
        if letter is not None and letter.settled_in is not None:
            counted = letter.settled_in, letter.outcome or Outcome.FAILED
            self._settled[counted] -= 1
            if not self._settled[counted]:
                del self._settled[counted]

    def _park(self, letter: FoldedLetter) -> None:
        if letter.parks and letter.is_open and letter.tenant_id is not None:
            offsets = self._parking.setdefault(letter.tenant_id, [])
            insort(offsets, letter.offset)
            self.parking_changes += offsets[0] == letter.offset

    def _close(self, letter: FoldedLetter, settlement: Settlement) -> None:
        if letter.parks and letter.tenant_id is not None:
            offsets = self._parking[letter.tenant_id]
            self.parking_changes += offsets[0] == letter.offset
            offsets.remove(letter.offset)
            if not offsets:
                del self._parking[letter.tenant_id]
        self._keep(replace(letter, outcome=settlement.outcome, settled_in=settlement.request))
        self._forget(letter.offset)

    def _raise_low_mark(self, committed: int) -> None:
        if committed > self.low_mark:
            self.low_mark = committed
            self._forget(*self._letters)

    def _request_end(self, record: RequestEnd) -> Verdict:
        if self._requests.pop(record.request, None) is None:
            return Verdict.IGNORED
        self._forget(*self._letters)
        return Verdict.APPLIED

    def _forget(self, *offsets: int) -> None:
        """Drop the letters nobody needs any more: closed, with the low mark to recognise copies, and counted."""
        for offset in offsets:
            letter = self._letters[offset]
            if not letter.is_open and offset <= self.low_mark and letter.settled_in not in self._requests:
                self._drop(offset)


def _folded(record: Letter, *, position: int, anchor: int) -> FoldedLetter:
    return FoldedLetter(
        offset=record.offset,
        position=position,
        anchor=anchor,
        event_id=record.event_id,
        tenant_id=record.tenant_id,
        event_type=record.event_type,
        schema_version=record.schema_version,
        cause=record.cause,
        parks=record.parks,
        error_type=record.failure.error_type,
        fingerprint=record.failure.fingerprint,
        stored_at=record.stored_at,
        first_failed_at=record.first_failed_at,
        last_failed_at=record.last_failed_at,
    )
