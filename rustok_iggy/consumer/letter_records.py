"""What the journal records of failed deliveries. Decides only."""

from __future__ import annotations

from uuid import UUID

from rustok_iggy.consumer.delivery import Delivery
from rustok_iggy.consumer.parking import PendingLetter
from rustok_iggy.dead_letters.failures import describe_failure
from rustok_iggy.dead_letters.records import MAX_NAME_CHARACTERS, Cause, Epoch, Failure, Letter, Source
from rustok_iggy.errors import SerializationError


def failure_of(delivery: Delivery, error: Exception) -> Failure:
    """Return what is recorded of a handler's error."""
    opened = delivery.opened
    return describe_failure(
        error,
        user_package=delivery.route.package,
        event_type=None if delivery.is_unreadable else opened.event_type,
        schema_version=None if delivery.is_unreadable else opened.schema_version,
    )


def letter_record(letter: PendingLetter, epoch: Epoch, source: Source) -> Letter:
    """Return the record of a letter; its original message is the body."""
    delivery = letter.delivery
    unreadable, opened = delivery.is_unreadable, delivery.opened
    return Letter(
        source=source,
        epoch=epoch,
        offset=delivery.offset,
        stored_at=delivery.message.timestamp,
        event_id=delivery.event_id,
        tenant_id=delivery.tenant_id,
        event_type=None if unreadable else _type_name(opened.event_type),
        schema_version=None if unreadable else opened.schema_version,
        handler=delivery.route.name[-MAX_NAME_CHARACTERS:],
        cause=letter.cause,
        parks=letter.parks,
        attempts=delivery.attempt,
        first_failed_at=letter.first_failed_at,
        last_failed_at=letter.last_failed_at,
        failure=letter.failure,
        trace_id=_trace_id(letter),
    )


def _type_name(event_type: str) -> str | None:
    """What fits into a record: no catalogue knows an empty or longer one, but others publish too."""
    return event_type[:MAX_NAME_CHARACTERS] or None


def facts(
    source: Source, *, offset: int, event_id: UUID | None, tenant_id: UUID | None, failure: Failure
) -> dict[str, object]:
    """Return what logs say of a letter that has failed."""
    return {
        "group": source.group,
        "topic": source.topic,
        "partition_id": source.partition,
        "offset": offset,
        "event_id": str(event_id),
        "tenant_id": str(tenant_id),
        "error": failure.error_type,
        "fingerprint": failure.fingerprint,
    }


def _trace_id(letter: PendingLetter) -> str | None:
    """The trace of an event that its handler has seen; reading it means decoding the event once more."""
    if letter.cause not in (Cause.FAILED, Cause.REJECTED):
        return None
    opened = letter.delivery.opened
    try:
        trace_id = opened.decode().trace_id
    except SerializationError:  # of an unknown type, with unknown="deliver_raw"
        trace_id = opened.decode_raw().trace_id
    return trace_id[:MAX_NAME_CHARACTERS] or None if trace_id else None
