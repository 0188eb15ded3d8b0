"""A fold as its owner needs it: it also notes who claimed before and since, and what became of our own records.

Decides only. Rules:
- a claim of somebody else that counts, behind our first one, means that the partition was lost: also when a claim of
  ours under a higher generation follows it (ownership went away and came back);
- the first copy of a record says what became of it: later ones are ignored by the journal;
- the event at the low mark stood in the source before the first record was stored that noted it (log_identity.py).
- what stands in the log is what counts, and where it stands. Bytes that we wrote ourselves are not decoded once more:
  the same bytes say the same.
"""

from __future__ import annotations

from collections.abc import Sequence

from rustok_iggy.dead_letters.drafts import Written
from rustok_iggy.dead_letters.journal import Journal, Verdict
from rustok_iggy.dead_letters.layout import decode_record
from rustok_iggy.dead_letters.records import AnyRecord, Checkpoint, Claim, Epoch, Release
from rustok_iggy.dead_letters.snapshot import ClaimInForce
from rustok_iggy.errors import DeadLetterError
from rustok_iggy_connector import OutgoingMessage


class Expectation:
    """Records that were written and are to be read back."""

    def __init__(self, expected: Sequence[Written]) -> None:
        self.messages: Sequence[OutgoingMessage] = [each.message for each in expected]
        self.records: dict[bytes, AnyRecord] = {each.message.payload: each.record for each in expected}
        """By the bytes they are read from."""
        self._found: dict[bytes, Verdict] = {}

    @property
    def verdicts(self) -> list[Verdict] | None:
        """What became of each in order; None while one was not read yet."""
        if len(self._found) < len(self.records):
            return None
        return [self._found[message.payload] for message in self.messages]

    def note(self, payload: bytes, verdict: Verdict) -> None:
        """One of them was folded."""
        self._found.setdefault(payload, verdict)


class ReadBack:
    """The journal folded on from `position`; `claimed_at` is where our first claim was acknowledged, None before.

    `ours` are the epochs we claim under: two while a change of generation is being claimed. `changes` counts records
    of the source that said something new, `since_checkpoint` all records since a checkpoint of ours. `low_mark_at` is
    when the server stored the first record read that set the journal's low mark, µs since 1970 UTC.
    """

    def __init__(self, journal: Journal, *, position: int, low_mark_at: int = 0) -> None:
        self.journal = journal
        self.low_mark_at = low_mark_at
        self.next_position = position
        self.claimed_at: int | None = None
        self.ours: tuple[Epoch, ...] = ()
        self.changes = 0
        self.since_checkpoint = 0
        self.checkpoint: int | None = None
        self.predecessor: ClaimInForce | None = None
        self.predecessor_released = True
        self.is_overtaken = False
        self.has_gap = False
        self._expected: dict[bytes, list[Expectation]] = {}

    def expect(self, expectation: Expectation) -> None:
        """Note what becomes of these records, until they are forgotten."""
        for payload in expectation.records:
            self._expected.setdefault(payload, []).append(expectation)

    def forget(self, expectation: Expectation) -> None:
        for payload in expectation.records:
            self._expected[payload].remove(expectation)
            if not self._expected[payload]:
                del self._expected[payload]

    def take(self, position: int, payload: bytes, *, stored_at: int) -> None:
        """Fold the message at `position`, which the server stored at `stored_at`, µs since 1970 UTC. Positions rise."""
        self.has_gap = self.has_gap or position > self.next_position
        self.next_position = position + 1
        self.since_checkpoint += 1
        expectations = self._expected.get(payload, ())
        record = expectations[0].records[payload] if expectations else _record_in(payload)
        if record is None:
            self.journal.skip(position)
            return
        before, low_mark = self.journal.claim, self.journal.low_mark
        verdict = self.journal.apply(record, position=position)
        self.changes += verdict is Verdict.APPLIED
        # Whoever resets means the log as it is then, also when he sets the mark where it was.
        resets = isinstance(record, Claim) and record.resets and verdict is Verdict.APPLIED
        if resets or self.journal.low_mark != low_mark:
            self.low_mark_at = stored_at
        for expectation in expectations:
            expectation.note(payload, verdict)
        if verdict is Verdict.FOREIGN:
            return
        if position == self.claimed_at:
            self.predecessor = before
            self.predecessor_released = before is None or before.is_released
        elif self._holds(position):
            self._watch(record, verdict)
        if isinstance(record, Checkpoint) and record.epoch in self.ours:
            self.checkpoint = position
            self.since_checkpoint = 0

    def _holds(self, position: int) -> bool:
        return self.claimed_at is not None and position > self.claimed_at

    def _watch(self, record: AnyRecord, verdict: Verdict) -> None:
        if isinstance(record, Claim) and verdict is Verdict.APPLIED and record.epoch not in self.ours:
            self.is_overtaken = True
        if isinstance(record, Release) and self.predecessor is not None and self.predecessor.is_closed_by(record):
            self.predecessor_released = True


def _record_in(payload: bytes) -> AnyRecord | None:
    try:
        return decode_record(payload).record
    except DeadLetterError:
        return None  # made by hand, or by who knows whom: a fold skips it
