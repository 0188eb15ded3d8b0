"""Where a new owner starts to fold a journal, from the two offsets its predecessors stored. Decides only.

`pin` and `checkpoint` are stored as offsets of named single consumers. The server hashes such names to 32 bits, so two
sources may share one: each offset is believed only when a record of this source stands where it points. Without the
checkpoint the fold starts after the pin, without the pin at the first record there is.
"""

from __future__ import annotations

from dataclasses import dataclass

from rustok_iggy.dead_letters.journal import Journal
from rustok_iggy.dead_letters.layout import Opened
from rustok_iggy.dead_letters.records import Checkpoint, Request, Source
from rustok_iggy.dead_letters.snapshot import Snapshot, decode_snapshot
from rustok_iggy.errors import DeadLetterError


@dataclass(frozen=True, slots=True, kw_only=True)
class FoldStart:
    """Fold `journal` on with the record at `position`.

    `stored_at` is when the server stored the checkpoint that the journal comes from, 0 without one.
    `letters_expired`: the server has deleted records that the pin should have kept. Letters are lost: Unhealthy.
    """

    journal: Journal
    position: int
    letters_expired: bool
    stored_at: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredStart:
    """What the server has: the offsets stored for this source, and the records found where they point.

    `first` is the first offset the dlq partition still has. `pin` is None when none is stored, 0 also when the fold
    must start at the very first record, because nothing lower can be stored; `pinned` is the record at pin + 1.
    `checkpoint` is the record at the stored checkpoint offset. A record is None when it is gone or cannot be read.
    """

    first: int
    pin: int | None = None
    pinned: Opened | None = None
    checkpoint: Opened | None = None


def plan_fold(source: Source, *, stored: StoredStart) -> FoldStart:
    """Return where to start folding the journal of `source`."""
    first, pin = stored.first, stored.pin
    expired = pin is not None and first > pin + 1
    snapshot = None if stored.checkpoint is None else checkpoint_of(source, stored.checkpoint)
    if snapshot is not None and stored.checkpoint is not None and first <= snapshot.folded_up_to + 1:
        return FoldStart(
            journal=Journal.restore(snapshot),
            position=snapshot.folded_up_to + 1,
            letters_expired=expired,
            stored_at=stored.checkpoint.stored_at,
        )
    if not pin or stored.pinned is None or not _is_about(source, stored.pinned):
        return FoldStart(journal=Journal(source), position=first, letters_expired=expired)
    return FoldStart(journal=Journal(source), position=max(first, pin + 1), letters_expired=expired)


def checkpoint_of(source: Source, opened: Opened) -> Snapshot | None:
    """Return the folded journal in a checkpoint of `source`; None for any other record, or one that is damaged."""
    if not isinstance(opened.record, Checkpoint) or opened.record.source != source:
        return None
    try:
        snapshot = decode_snapshot(opened.body)
    except DeadLetterError:
        return None
    return snapshot if snapshot.source == source else None


def _is_about(source: Source, opened: Opened) -> bool:
    record = opened.record
    return record.concerns(source) if isinstance(record, Request) else record.source == source
