"""A fold as its owner needs it: it also notes who claimed before and since, and what became of our own records.

Decides only. Rules:
- a claim of somebody else that counts, behind our first one, means that the partition was lost: also when a claim of
  ours under a higher generation follows it (ownership went away and came back);
- the first copy of a record says what became of it: later ones are ignored by the journal;
- the event at the low mark stood in the source before the first record was stored that noted it (log_identity.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from rustok_iggy.dead_letters.journal import Journal, Verdict
from rustok_iggy.dead_letters.layout import Opened
from rustok_iggy.dead_letters.records import AnyRecord, Checkpoint, Claim, Epoch, Release
from rustok_iggy.dead_letters.snapshot import ClaimInForce


class Expectation:
    """Records that were written and are to be read back."""

    def __init__(self, records: Sequence[AnyRecord]) -> None:
        self._records = tuple(records)
        self._found: dict[AnyRecord, Verdict | None] = dict.fromkeys(self._records)

    @property
    def verdicts(self) -> list[Verdict] | None:
        """What became of each in order; None while one was not read yet."""
        found = [self._found[record] for record in self._records]
        verdicts = [verdict for verdict in found if verdict is not None]
        return verdicts if len(verdicts) == len(found) else None

    def note(self, record: AnyRecord, verdict: Verdict) -> None:
        """A record was folded; most are not ours."""
        if record in self._found and self._found[record] is None:
            self._found[record] = verdict


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
        self._expected: list[Expectation] = []

    def expect(self, expectation: Expectation) -> None:
        """Note what becomes of these records, until they are forgotten."""
        self._expected.append(expectation)

    def forget(self, expectation: Expectation) -> None:
        self._expected.remove(expectation)

    def take(self, position: int, opened: Opened | None) -> None:
        """Fold what stands at `position`, None for what is no record. Positions rise."""
        self.has_gap = self.has_gap or position > self.next_position
        self.next_position = position + 1
        self.since_checkpoint += 1
        if opened is None:
            self.journal.skip(position)
            return
        record, before, low_mark = opened.record, self.journal.claim, self.journal.low_mark
        verdict = self.journal.apply(record, position=position)
        self.changes += verdict is Verdict.APPLIED
        # Whoever resets means the log as it is then, also when he sets the mark where it was.
        resets = isinstance(record, Claim) and record.resets and verdict is Verdict.APPLIED
        if resets or self.journal.low_mark != low_mark:
            self.low_mark_at = opened.stored_at
        for expectation in self._expected:
            expectation.note(record, verdict)
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
