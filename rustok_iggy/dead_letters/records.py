"""Every kind of record in the dead-letter journal: its metadata. layout.py puts them into messages.

Who writes what: claim, release, letter, attempt, settlement, request_end and checkpoint come from the member that owns
the source partition, and carry its epoch; a request comes from an operator and carries none.

Times are microseconds since 1970 UTC; offsets count from 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from hashlib import blake2b
from typing import Annotated, TypeAlias
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from rustok_iggy.integers import U16, U32, U64

NOTHING_COMMITTED = -1
"""A committed offset before the first commit."""
NO_TYPES = "none"
"""`handled_types` of a claim under which nothing is handled."""
MAX_NAME_CHARACTERS = 255
"""What the server allows for the name of a group or topic; enough for an event type and a handler's name."""
MAX_SELECTED = 1000
"""Names one request may list of each kind: 1000 ids are 38 KiB, well within a record's metadata."""

Name: TypeAlias = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARACTERS)]
Committed: TypeAlias = Annotated[int, Meta(ge=NOTHING_COMMITTED)]
Ratio: TypeAlias = Annotated[float, Meta(ge=0, le=1)]
Rate: TypeAlias = Annotated[float, Meta(gt=0)]
Names: TypeAlias = Annotated[tuple[Name, ...], Meta(max_length=MAX_SELECTED)]
Ids: TypeAlias = Annotated[tuple[UUID, ...], Meta(max_length=MAX_SELECTED)]


class Source(Struct, frozen=True, kw_only=True, gc=False):
    """Whose journal a record belongs to: what one group keeps of one source partition."""

    group: Name
    topic: Name
    partition: U32


class Epoch(Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """Under which assignment an owner wrote. `member` names the owner; only the others order epochs.

    The generation rises with every change of the group, also over a restart of the server; a group that is created
    again starts its generations again, but has a higher id; a topic that is created again starts the ids again, but at
    a later time, in µs since 1970 UTC. 0: of a record from before times were written.
    """

    group_id: U64
    generation: U64
    member: Name
    topic_created_at: U64 = 0

    @property
    def rank(self) -> tuple[int, int, int]:
        """What epochs are compared by."""
        return self.topic_created_at, self.group_id, self.generation


class Cause(StrEnum):
    """Why an event became a letter."""

    FAILED = "failed"
    """Its handler failed for good."""
    SEQUENCE = "sequence"
    """An earlier event of its tenant is a letter: it waits its turn."""
    REJECTED = "rejected"
    """Its handler raised Reject."""
    UNDECODABLE = "undecodable"
    """Its bytes could not be read."""


class Outcome(StrEnum):
    """What became of a letter. Only the first two close it."""

    HANDLED = "handled"
    DISCARDED = "discarded"
    FAILED = "failed"
    NOT_RUN = "not_run"
    """It was announced and its turn did not come: its attempt does not count."""


class Action(StrEnum):
    """What a request wants."""

    REDRIVE = "redrive"
    DISCARD = "discard"


class Failure(Struct, frozen=True, kw_only=True, gc=False):
    """How a handler failed. `message` and `stack` are cut to fit, and never shown in a repr: they may quote an event.

    A letter with cause `sequence` carries type and fingerprint of the letter it waits for, so that one request by
    fingerprint frees both.
    """

    error_type: Name
    fingerprint: Name
    message: str = ""
    stack: str = ""

    def __repr__(self) -> str:
        return f"Failure(error_type={self.error_type!r}, fingerprint={self.fingerprint!r})"


class Record(Struct, frozen=True, kw_only=True, tag_field="kind", gc=False):
    """One record of the journal. Not tracked by the garbage collector, as all that it holds: it never refers back."""


class OwnerRecord(Record, frozen=True, kw_only=True):
    """A record that only the owner of the source partition may write; a higher claim before it makes it void."""

    source: Source
    epoch: Epoch


class Claim(OwnerRecord, frozen=True, kw_only=True, tag="claim"):
    """Written on gaining a partition, and on every change of generation while keeping it.

    `committed` is the group's committed offset, read before; `handled_types` the digest of what it handles. One that
    `resets` comes from an operator who is about to store `committed` for a group without members: events above it come
    again, also those whose letters are closed; open letters stay.
    """

    committed: Committed
    handled_types: Name
    resets: bool = False


class Release(OwnerRecord, frozen=True, kw_only=True, tag="release"):
    """Written when the last handler of a lost or revoked partition has ended. `claim` = position of its last claim."""

    claim: U64


class Letter(OwnerRecord, frozen=True, kw_only=True, tag="letter"):
    """An event that was not handled; its message's headers and payload follow the metadata.

    `offset` and `stored_at` are its position and time in the source. The ids and the type are None where the message
    could not be decoded. `parks` holds the tenant's later events behind it. `attempts` counts live deliveries.
    """

    offset: U64
    stored_at: U64
    event_id: UUID | None
    tenant_id: UUID | None
    event_type: Name | None
    schema_version: U16 | None
    handler: Name
    cause: Cause
    parks: bool
    attempts: U32
    first_failed_at: U64
    last_failed_at: U64
    failure: Failure
    trace_id: Name | None = None

    def __post_init__(self) -> None:
        if self.parks and self.tenant_id is None:
            raise ValueError("only a letter with a tenant can park it")


class Attempt(OwnerRecord, frozen=True, kw_only=True, tag="attempt"):
    """Acknowledged before a letter runs. `number` starts at 1 and counts over all requests."""

    offset: U64
    number: Annotated[int, Meta(ge=1, le=2**32 - 1)]
    request: UUID


class Settlement(OwnerRecord, frozen=True, kw_only=True, tag="settlement"):
    """How a letter's attempt `number` ended (of a discarded letter: its attempts so far)."""

    offset: U64
    number: U32
    request: UUID
    outcome: Outcome
    settled_at: U64
    failure: Failure | None = None

    def __post_init__(self) -> None:
        if (self.outcome is Outcome.FAILED) != (self.failure is not None):
            raise ValueError("a settlement has a failure exactly when it failed")


class Selection(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which letters are meant: those that match every criterion given; of one criterion, any of its values.

    `since` and `until` bound the time the source stored the event, until excluded. `everything` must be said.
    """

    everything: bool = False
    tenants: Ids = ()
    event_ids: Ids = ()
    fingerprints: Names = ()
    event_types: Names = ()
    since: U64 | None = None
    until: U64 | None = None

    def __post_init__(self) -> None:
        lists = self.tenants or self.event_ids or self.fingerprints or self.event_types
        if self.everything == bool(lists or self.since is not None or self.until is not None):
            raise ValueError("select by at least one criterion, or everything, not both")


class Request(Record, frozen=True, kw_only=True, tag="request"):
    """What an operator wants of a group's letters; one record for every dlq partition concerned, with the same id.

    `topic` and `partitions` narrow it to some of the sources kept there. `rate` = letters a second; the request is
    given up when more than `abort_ratio` of its letters fail again. `force` runs letters beyond their redrives.
    `seen` is the last journal offset the operator had read: a discard never means a letter above it, so that neither
    letters written meanwhile nor a late copy of the request discard what nobody looked at.
    """

    id: UUID
    group: Name
    action: Action
    selection: Selection
    requested_at: U64
    requested_by: Name
    reason: Annotated[str, Meta(max_length=1000)]
    topic: Name | None = None
    partitions: Annotated[tuple[U32, ...], Meta(max_length=MAX_SELECTED)] = ()
    seen: U64 | None = None
    break_order: bool = False
    force: bool = False
    rate: Rate | None = None
    abort_ratio: Ratio | None = None

    def __post_init__(self) -> None:
        if self.action is Action.DISCARD and self.seen is None:
            raise ValueError("a discard says up to which journal offset the letters were seen")

    def concerns(self, source: Source) -> bool:
        """Whether letters of `source` may be meant."""
        return (
            self.group == source.group
            and self.topic in (None, source.topic)
            and (not self.partitions or source.partition in self.partitions)
        )


class RequestEnd(OwnerRecord, frozen=True, kw_only=True, tag="request_end"):
    """One source partition is done with a request, also when it had no letters for it."""

    request: UUID
    handled: U32
    failed: U32
    discarded: U32
    aborted: bool


class Checkpoint(OwnerRecord, frozen=True, kw_only=True, tag="checkpoint"):
    """The folded journal follows the metadata (snapshot.py); `committed` is the group's committed offset."""

    committed: Committed


OWNERS: TypeAlias = Claim | Release | Letter | Attempt | Settlement | RequestEnd | Checkpoint
AnyRecord: TypeAlias = OWNERS | Request


def letter_id(source: Source, *, offset: int) -> UUID:
    """Return the message id of a letter: the same for every copy of it, so that readers recognise a late one."""
    return UUID(bytes=_digest([source.group, source.topic, source.partition, offset]))


def handled_types_digest(event_types: Iterable[str] | None) -> str:
    """Return what a claim says of the event types its group handles there; None = all of them."""
    return _digest(None if event_types is None else sorted(set(event_types))).hex()


def _digest(value: object) -> bytes:
    # As JSON, so that ("a", "bc") and ("ab", "c") differ. 16 bytes: as long as a message id.
    return blake2b(msgspec.json.encode(value), digest_size=16).digest()
