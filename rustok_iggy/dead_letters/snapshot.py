"""What a fold of the journal knows, as values; and those values as the body of a checkpoint.

A snapshot is a pure function of the log up to `folded_up_to`: any owner's is valid, also one that was overtaken.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from rustok_iggy.dead_letters.layout import UNREADABLE, UNWRITABLE
from rustok_iggy.dead_letters.records import (
    NOTHING_COMMITTED,
    AnyRecord,
    Cause,
    Committed,
    Epoch,
    Name,
    Outcome,
    Release,
    Request,
    Source,
)
from rustok_iggy.errors import DeadLetterError
from rustok_iggy.integers import U16, U32, U64

NOTHING_READ = -1
"""`folded_up_to` before the first record."""
MAX_SNAPSHOT_BYTES = 32 * 1024 * 1024
"""Half of what a message may carry, some 100 000 letters. Beyond, write no checkpoint: the pin still finds all."""


class ClaimInForce(Struct, frozen=True, kw_only=True, array_like=True):
    """The highest claim so far: who owns the source partition, as far as the journal knows.

    `position` is that of the first record of this epoch; `is_released`: its handlers have all ended since.
    """

    position: U64
    epoch: Epoch
    handled_types: Name
    is_released: bool = False

    def is_closed_by(self, record: AnyRecord) -> bool:
        """Whether `record` is the release that a new owner waits for."""
        return isinstance(record, Release) and record.epoch == self.epoch and record.claim >= self.position


class FoldedLetter(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A letter and what became of it. `position` is where its record stands in the journal; read it there.

    `attempts` counts redrives begun; `settled_in` is the request under which it last failed again, or was closed;
    failure facts are those of the latest failure. `outcome` None: still open. `anchor` is where a fold must start to
    know it. Not tracked by the garbage collector, which would go through tens of thousands again and again.
    """

    offset: U64
    position: U64
    anchor: U64
    event_id: UUID | None
    tenant_id: UUID | None
    event_type: Name | None
    schema_version: U16 | None
    cause: Cause
    parks: bool
    error_type: Name
    fingerprint: Name
    stored_at: U64
    first_failed_at: U64
    last_failed_at: U64
    attempts: U32 = 0
    settled_in: UUID | None = None
    outcome: Outcome | None = None

    @property
    def is_open(self) -> bool:
        """Whether it still waits to be handled or discarded."""
        return self.outcome is None


class OpenRequest(Struct, frozen=True, kw_only=True):
    """A request that this source partition has not ended. `anchor` is where a fold must start to know it."""

    position: U64
    anchor: U64
    request: Request


class Progress(Struct, frozen=True, kw_only=True):
    """How far a request is: its letters by how their last attempt under it ended."""

    handled: int = 0
    failed: int = 0
    discarded: int = 0


class Snapshot(Struct, frozen=True, kw_only=True):
    """A folded journal: all that is needed to fold on at `folded_up_to` + 1.

    `letters` are those that are open, above the low mark, or settled by an open request, in order of offset; `requests`
    in order of position.
    """

    source: Source
    folded_up_to: Annotated[int, Meta(ge=NOTHING_READ)] = NOTHING_READ
    anchor: U64 | None = None
    claim: ClaimInForce | None = None
    low_mark: Committed = NOTHING_COMMITTED
    letters: tuple[FoldedLetter, ...] = ()
    requests: tuple[OpenRequest, ...] = ()


_DECODER: msgspec.json.Decoder[Snapshot] = msgspec.json.Decoder(Snapshot)


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """Return the body of a checkpoint. Raises DeadLetterError when it is larger than MAX_SNAPSHOT_BYTES."""
    try:
        body = msgspec.json.encode(snapshot)
    except UNWRITABLE:
        raise DeadLetterError("the folded journal holds a number or text that JSON cannot") from None
    if len(body) > MAX_SNAPSHOT_BYTES:
        raise DeadLetterError(f"a checkpoint of {len(body)} bytes, where {MAX_SNAPSHOT_BYTES} are allowed")
    return body


def decode_snapshot(body: bytes) -> Snapshot:
    """Return the folded journal in a checkpoint's body. Raises DeadLetterError for anything else."""
    if len(body) > MAX_SNAPSHOT_BYTES:
        raise DeadLetterError(f"a checkpoint of {len(body)} bytes, where {MAX_SNAPSHOT_BYTES} are allowed")
    try:
        return _DECODER.decode(body)
    except UNREADABLE:
        raise DeadLetterError(f"{len(body)} bytes that are no folded journal") from None
