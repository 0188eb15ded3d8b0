"""Records with everything filled in, for tests that care about one field."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rustok_iggy.dead_letters.journal import Journal
from rustok_iggy.dead_letters.records import (
    Action,
    AnyRecord,
    Attempt,
    Cause,
    Checkpoint,
    Claim,
    Epoch,
    Failure,
    Letter,
    Outcome,
    Release,
    Request,
    RequestEnd,
    Selection,
    Settlement,
    Source,
)

SOURCE = Source(group="billing", topic="domain", partition=3)
ELSEWHERE = Source(group="billing", topic="domain", partition=11)
EVERYTHING = Selection(everything=True)


def tenant(number: int) -> UUID:
    return UUID(int=1000 + number)


def event(number: int) -> UUID:
    return UUID(int=2000 + number)


def request_id(number: int) -> UUID:
    return UUID(int=3000 + number)


def epoch(generation: int, member: str = "A", *, group_id: int = 1, topic: int = 0) -> Epoch:
    return Epoch(group_id=group_id, generation=generation, member=member, topic_created_at=topic)


def failure(**changes: Any) -> Failure:
    return Failure(**{"error_type": "ValueError", "fingerprint": "f1", **changes})


def claim(under: Epoch, *, committed: int = -1, source: Source = SOURCE) -> Claim:
    return Claim(source=source, epoch=under, committed=committed, handled_types="all")


def release(under: Epoch, *, closes: int) -> Release:
    return Release(source=SOURCE, epoch=under, claim=closes)


def letter(under: Epoch, offset: int, of: int | None = 0, **changes: Any) -> Letter:
    """A letter of tenant number `of` (None: unknown)."""
    facts: dict[str, Any] = {
        "source": SOURCE,
        "epoch": under,
        "offset": offset,
        "stored_at": 1_000_000 + offset,
        "event_id": event(offset),
        "tenant_id": None if of is None else tenant(of),
        "event_type": "order.placed",
        "schema_version": 1,
        "handler": "billing.bill",
        "cause": Cause.FAILED,
        "parks": of is not None,
        "attempts": 3,
        "first_failed_at": 2_000_000 + offset,
        "last_failed_at": 3_000_000 + offset,
        "failure": failure(),
    }
    return Letter(**{**facts, **changes})


def attempt(under: Epoch, offset: int, number: int, *, request: int = 1) -> Attempt:
    return Attempt(source=SOURCE, epoch=under, offset=offset, number=number, request=request_id(request))


def settlement(
    under: Epoch, offset: int, outcome: Outcome, *, number: int = 1, request: int = 1, fingerprint: str = "f2"
) -> Settlement:
    failed = failure(fingerprint=fingerprint) if outcome is Outcome.FAILED else None
    return Settlement(
        source=SOURCE,
        epoch=under,
        offset=offset,
        number=number,
        request=request_id(request),
        outcome=outcome,
        settled_at=4_000_000 + offset,
        failure=failed,
    )


def request(number: int = 1, *, selection: Selection = EVERYTHING, **changes: Any) -> Request:
    facts: dict[str, Any] = {
        "id": request_id(number),
        "group": SOURCE.group,
        "action": Action.REDRIVE,
        "selection": selection,
        "requested_at": 5_000_000,
        "requested_by": "ops",
        "reason": "fixed",
    }
    return Request(**{**facts, **changes})


def request_end(under: Epoch, number: int = 1) -> RequestEnd:
    return RequestEnd(
        source=SOURCE, epoch=under, request=request_id(number), handled=0, failed=0, discarded=0, aborted=False
    )


def checkpoint(under: Epoch, *, committed: int = -1, source: Source = SOURCE) -> Checkpoint:
    return Checkpoint(source=source, epoch=under, committed=committed)


def folded(*records: AnyRecord, source: Source = SOURCE) -> Journal:
    """The journal after `records`, which stand at positions 0, 1, 2…"""
    journal = Journal(source)
    for position, record in enumerate(records):
        journal.apply(record, position=position)
    return journal
