"""What the dead-letter journal says of one event, record by record, as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from rustok_iggy.cli.session import Session
from rustok_iggy.cli.stored_events import PartitionTail, StoredEvent, open_log
from rustok_iggy.dead_letters.layout import decode_record
from rustok_iggy.dead_letters.records import AnyRecord, Attempt, Letter, Outcome, Request, Settlement
from rustok_iggy.errors import DeadLetterError
from rustok_iggy.moments import microseconds, moment_of
from rustok_iggy.topology import Topic
from rustok_iggy_connector import ReceivedMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalEntry:
    """One record. `outcome` is that of a settlement."""

    position: int
    at: datetime | None
    group: str
    what: str
    detail: str
    request: UUID | None
    outcome: Outcome | None

    def data(self) -> dict[str, object]:
        """Return it as JSON has it."""
        return {
            "position": self.position,
            "at": self.at,
            "group": self.group,
            "what": self.what,
            "detail": self.detail,
            "request": self.request,
        }


async def journal_of(session: Session, event: StoredEvent) -> list[JournalEntry]:
    """Read what was written since the event was stored; nothing when there is no journal. Raises connector errors.

    Records that a later owner's claim made void are shown as well: they happened.
    """
    topic = await session.topic(Topic.DLQ)
    if topic is None:
        return []
    partition_id = event.partition_id % topic.partitions
    last = topic.current_offsets.get(partition_id, -1)
    entries: list[JournalEntry] = []
    requests: dict[UUID, Request] = {}
    async with open_log(session, Topic.DLQ) as log:
        first = await log.subscriber.first_offset_since(partition_id, timestamp=microseconds(event.stored_at))
        tail = PartitionTail(log, partition_id, offset=last + 1 if first is None else first)
        while tail.offset <= last and (messages := await tail.poll()):
            for message in messages:
                entries += _entries(message, event, requests)
    return entries


def _entries(message: ReceivedMessage, event: StoredEvent, requests: dict[UUID, Request]) -> Iterator[JournalEntry]:
    try:
        record = decode_record(message.payload).record
    except DeadLetterError:
        return  # a message that is no record: every fold passes over it
    if isinstance(record, Request):
        requests[record.id] = record
    elif isinstance(record, Letter | Attempt | Settlement) and _is_about(record, event):
        yield _entry(record, message, requests)


def _is_about(record: Letter | Attempt | Settlement, event: StoredEvent) -> bool:
    where = record.source.topic, record.source.partition, record.offset
    return where == (event.topic, event.partition_id, event.offset)


def _entry(record: AnyRecord, message: ReceivedMessage, requests: dict[UUID, Request]) -> JournalEntry:
    stored = moment_of(message.timestamp)
    match record:
        case Letter():
            detail = f"{record.cause}: {record.failure.error_type}, attempt {record.attempts}, in {record.handler}"
            return _made(record, message, stored, "dead letter", detail)
        case Attempt():
            asked = requests.get(record.request)
            by = "" if asked is None else f", asked for by {asked.requested_by}"
            return _made(record, message, stored, f"redrive {record.number}", f"request {record.request}{by}")
        case Settlement():
            detail = "" if record.failure is None else record.failure.error_type
            return _made(record, message, moment_of(record.settled_at), record.outcome.value, detail)
        case _:
            raise AssertionError("no other record is about one event")


def _made(
    record: Letter | Attempt | Settlement, message: ReceivedMessage, at: datetime, what: str, detail: str
) -> JournalEntry:
    return JournalEntry(
        position=message.offset,
        at=at,
        group=record.source.group,
        what=what,
        detail=detail,
        request=None if isinstance(record, Letter) else record.request,
        outcome=record.outcome if isinstance(record, Settlement) else None,
    )
