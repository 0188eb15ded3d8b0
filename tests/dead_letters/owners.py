"""Owners of one source partition who keep to the protocol, while the group is dealt anew behind their backs.

An owner claims, reads the journal back from where a real one would start, and then writes letters, attempts,
settlements, ends and checkpoints by what it read. It does not know when it was overtaken: it goes on writing. Any
record it wrote may come again later, behind anything: a stalled connection that heals.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rustok_iggy.dead_letters.fold_start import StoredStart, plan_fold
from rustok_iggy.dead_letters.journal import Journal
from rustok_iggy.dead_letters.layout import Opened, decode_record, encode_record
from rustok_iggy.dead_letters.records import AnyRecord, Checkpoint, Claim, Epoch
from rustok_iggy.dead_letters.snapshot import Snapshot, decode_snapshot, encode_snapshot
from tests.dead_letters.journal_records import SOURCE


@dataclass
class Fold:
    """A journal that began somewhere, and how it is called when it turns out wrong."""

    label: str
    journal: Journal


@dataclass
class Owner:
    epoch: Epoch
    journal: Journal
    committed: int
    """The group's offset as this owner read it before its claim."""
    next_offset: int = 0
    position: int | None = None
    """Of its claim; None before it was acknowledged."""


@dataclass
class World:
    """A dlq partition, the group's offset, and every fold that anyone could have begun."""

    journal_type: type[Journal] = Journal
    log: list[AnyRecord] = field(default_factory=list)
    snapshots: dict[int, Snapshot] = field(default_factory=dict)
    folds: list[Fold] = field(default_factory=list)
    begun: set[int] = field(default_factory=set)
    truth: Journal = field(init=False)
    committed: int = -1
    pin: int | None = None
    checkpoint: int | None = None

    def __post_init__(self) -> None:
        self.truth = self.journal_type(SOURCE)

    def append(self, record: AnyRecord, *, snapshot: Snapshot | None = None) -> int:
        position = len(self.log)
        self.log.append(record)
        if snapshot is not None:
            self.snapshots[position] = snapshot
        self.truth.apply(record, position=position)
        for fold in self.folds:
            fold.journal.apply(record, position=position)
        self._begin_folds(position)
        return position

    def _begin_folds(self, position: int) -> None:
        """Whoever stored a pin or wrote a checkpoint now: a later fold may start there."""
        restored = decode_snapshot(encode_snapshot(self.truth.snapshot()))
        self.folds.append(Fold(f"from the checkpoint of {position}", self.journal_type.restore(restored)))
        start = 0 if self.truth.pin is None else self.truth.pin + 1
        if start not in self.begun:
            self.begun.add(start)
            self.folds.append(Fold(f"from the pin {start - 1} of {position}", self.read(start, position + 1)))

    def read(self, start: int, end: int, journal: Journal | None = None) -> Journal:
        if journal is None:
            journal = self.journal_type(SOURCE)
        for position in range(start, end):
            journal.apply(self.log[position], position=position)
        return journal

    def gain(self, owner: Owner) -> None:
        """Claim, fold up to the claim from the stored checkpoint or pin, store the pin."""
        claim = Claim(source=SOURCE, epoch=owner.epoch, committed=owner.committed, handled_types="x")
        owner.position = self.append(claim)
        start = plan_fold(SOURCE, stored=self._stored())
        journal = self.journal_type.restore(start.journal.snapshot())
        owner.journal = self.read(start.position, owner.position + 1, journal)
        owner.next_offset = max(owner.committed, owner.journal.low_mark) + 1
        self.pin = owner.journal.pin

    def read_on(self, owner: Owner) -> None:
        self.read(owner.journal.folded_up_to + 1, len(self.log), owner.journal)

    def write_checkpoint(self, owner: Owner) -> None:
        record = Checkpoint(source=SOURCE, epoch=owner.epoch, committed=owner.committed)
        self.checkpoint = self.append(record, snapshot=owner.journal.snapshot())

    def _stored(self) -> StoredStart:
        pin, checkpoint = self.pin, self.checkpoint
        return StoredStart(
            first=0,
            pin=pin,
            pinned=None if pin is None else decode_record(encode_record(self.log[pin + 1]).payload),
            checkpoint=None if checkpoint is None else self._stored_checkpoint(checkpoint),
        )

    def _stored_checkpoint(self, position: int) -> Opened:
        message = encode_record(self.log[position], body=encode_snapshot(self.snapshots[position]))
        return decode_record(message.payload)
