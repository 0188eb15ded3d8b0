"""Reads stored events for people: partition by partition, decoded as far as that is possible."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from rustok_iggy.cli.session import Session
from rustok_iggy.consumer.pacing import MAX_POLL_MESSAGES, PollPace
from rustok_iggy.errors import SerializationError
from rustok_iggy.moments import moment_of
from rustok_iggy.replay.log_reader import LogReader
from rustok_iggy_connector import MessageSubscriber, ReceivedMessage

MAX_IDLE_DELAY = 0.25
"""Seconds between two looks at a partition in which nothing happens: a person does not see the difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEvent:
    """Where an event stands and what it is; ids and type are None when the message cannot be read."""

    topic: str
    partition_id: int
    offset: int
    stored_at: datetime
    event_id: UUID
    event_type: str | None
    schema_version: int | None
    tenant_id: UUID | None
    correlation_id: UUID | None
    payload_bytes: int
    envelope: bytes | None
    """The whole envelope as JSON, when it was asked for and can be read."""

    def data(self) -> dict[str, Any]:
        """Return it as JSON has it, without its content."""
        return {
            "topic": self.topic,
            "partition": self.partition_id,
            "offset": self.offset,
            "stored_at": self.stored_at,
            "event_id": self.event_id,
            "event_type": self.event_type,
            "schema_version": self.schema_version,
            "tenant_id": self.tenant_id,
            "correlation_id": self.correlation_id,
            "payload_bytes": self.payload_bytes,
        }


class PartitionTail:
    """The messages of one partition from an offset on, as they come."""

    def __init__(self, log: LogReader, partition_id: int, *, offset: int) -> None:
        self.partition_id = partition_id
        self.offset = offset
        self._log = log
        self._pace = PollPace(max_messages=MAX_POLL_MESSAGES, max_idle_delay=MAX_IDLE_DELAY)
        self.delay = 0.0
        """Seconds to wait before the next look."""

    async def poll(self) -> list[ReceivedMessage]:
        """Return what is there now. Raises connector errors."""
        found = await self._log.poll(self.partition_id, offset=self.offset, max_messages=self._pace.count)
        self.delay = self._pace.polled(found)
        if found:
            self.offset = found[-1].offset + 1
        return list(found)


@asynccontextmanager
async def open_log(session: Session, topic: str) -> AsyncIterator[LogReader]:
    """Read a topic without a name: no group and no offset is touched."""
    subscriber: MessageSubscriber = await session.connector.subscribe(stream=session.stream, topic=topic)
    try:
        yield LogReader(subscriber)
    finally:
        await subscriber.leave()


def stored_event(
    session: Session, message: ReceivedMessage, *, topic: str, partition_id: int, with_content: bool = False
) -> StoredEvent:
    """Return a message as an event; one that cannot be read has its id only."""
    opened = None
    envelope = None
    try:
        opened = session.reader.open(message)
        if with_content:
            envelope = session.originals.as_json(opened.decode())
    except SerializationError:
        pass  # shown as far as it was read: that it cannot be read is what a person looks for
    return StoredEvent(
        topic=topic,
        partition_id=partition_id,
        offset=message.offset,
        stored_at=moment_of(message.timestamp),
        event_id=UUID(int=message.id) if opened is None else opened.id,
        event_type=None if opened is None else opened.event_type,
        schema_version=None if opened is None else opened.schema_version,
        tenant_id=None if opened is None else opened.tenant_id,
        correlation_id=None if opened is None else opened.correlation_id,
        payload_bytes=len(message.payload),
        envelope=envelope,
    )
