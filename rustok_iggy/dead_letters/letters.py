"""Dead letters as an operator sees them. Values only; payloads and messages of errors never stand in a repr."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from rustok_iggy.dead_letters.layout import Original
from rustok_iggy.dead_letters.records import Cause, Letter, Source
from rustok_iggy.dead_letters.snapshot import FoldedLetter
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.moments import MICROSECONDS_PER_SECOND, moment_of


class LetterKey(NamedTuple):
    """What names a letter: whose it is, and the position of its event in the source topic."""

    group: str
    topic: str
    partition_id: int
    offset: int

    @property
    def source(self) -> Source:
        """Whose journal it stands in."""
        return Source(group=self.group, topic=self.topic, partition=self.partition_id)

    def order(self, *, dlq_partitions: int) -> tuple[int, str, str, int, int]:
        """Return what letters are listed by: one dlq partition after the other, within a source by offset."""
        return self.partition_id % dlq_partitions, *self


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterSummary:
    """An open dead letter.

    `redrives` counts attempts since it became one; error type, fingerprint and `last_failed_at` are those of the
    latest failure, `age` is seconds since the first. `journal_position` is where its record stands in the dlq
    partition. Ids and type are None where the event could not be decoded.
    """

    key: LetterKey
    tenant_id: UUID | None
    event_id: UUID | None
    event_type: str | None
    schema_version: int | None
    cause: Cause
    parks: bool
    error_type: str
    fingerprint: str
    stored_at: datetime
    first_failed_at: datetime
    last_failed_at: datetime
    age: float
    redrives: int
    journal_position: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterDetails:
    """Everything that is kept of a dead letter.

    `attempts` counts live deliveries. `message` and `stack` are those of the failure that made it a letter.
    `envelope` is None when the payload cannot be decoded; `payload_bytes` is its size in any case.
    """

    letter: DeadLetterSummary
    handler: str
    attempts: int
    message: str = field(repr=False)
    stack: str = field(repr=False)
    trace_id: str | None
    headers: Mapping[str, bytes] = field(repr=False)
    payload: bytes = field(repr=False)
    envelope: EventEnvelope | None = field(repr=False)

    @property
    def payload_bytes(self) -> int:
        """The size of the original payload."""
        return len(self.payload)


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterPage:
    """Letters in order, per tenant that of the source; `next` continues after them, None at the end.

    `seen` is how far each dlq partition was read for this page: a discard takes it, so that it never means a letter
    that nobody looked at.
    """

    letters: tuple[DeadLetterSummary, ...]
    next: LetterKey | None
    seen: Mapping[int, int]


def dead_letter(source: Source, folded: FoldedLetter, *, now: int) -> DeadLetterSummary:
    """Return an open letter of the fold as it is shown at `now`, in µs since 1970 UTC."""
    return DeadLetterSummary(
        key=LetterKey(source.group, source.topic, source.partition, folded.offset),
        tenant_id=folded.tenant_id,
        event_id=folded.event_id,
        event_type=folded.event_type,
        schema_version=folded.schema_version,
        cause=folded.cause,
        parks=folded.parks,
        error_type=folded.error_type,
        fingerprint=folded.fingerprint,
        stored_at=moment_of(folded.stored_at),
        first_failed_at=moment_of(folded.first_failed_at),
        last_failed_at=moment_of(folded.last_failed_at),
        age=max(0, now - folded.first_failed_at) / MICROSECONDS_PER_SECOND,
        redrives=folded.attempts,
        journal_position=folded.position,
    )


def details(
    letter: DeadLetterSummary, record: Letter, original: Original, *, envelope: EventEnvelope | None
) -> DeadLetterDetails:
    """Return a letter with what its record and its original message say."""
    return DeadLetterDetails(
        letter=letter,
        handler=record.handler,
        attempts=record.attempts,
        message=record.failure.message,
        stack=record.failure.stack,
        trace_id=record.trace_id,
        headers=original.headers,
        payload=original.payload,
        envelope=envelope,
    )
