"""Opens the journals of the partitions that this process owns, all over one session that reads, one that appends."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import time
from collections.abc import Callable

from rustok_iggy.dead_letters.access import JournalAccess, OwnerTiming
from rustok_iggy.dead_letters.appender import JournalAppender
from rustok_iggy.dead_letters.owner import OwnedJournal
from rustok_iggy.dead_letters.partition_journal import dlq_partition_of
from rustok_iggy.dead_letters.reader import JournalReader
from rustok_iggy.dead_letters.records import Source
from rustok_iggy.dead_letters.stored_start import JournalPlace, Kept, stored_offset
from rustok_iggy.topology import Topic
from rustok_iggy_connector import IggyConnector, MessageSubscriber


def own_name() -> str:
    """Return a name that no other member has, ever: host, process, and chance."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


class OwnJournals:
    """Call ready() before open(), and aclose() at the end. `new_name` names a member; `clock` gives seconds."""

    def __init__(
        self,
        connector: IggyConnector,
        *,
        stream: str,
        dlq_partitions: int,
        takeover_timeout: float,
        new_name: Callable[[], str] = own_name,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.new_name = new_name
        self._clock = clock
        self._connector = connector
        self._stream = stream
        self._dlq_partitions = dlq_partitions
        self._timing = OwnerTiming(takeover_timeout=takeover_timeout)
        self._opening = asyncio.Lock()
        self._session: MessageSubscriber | None = None
        self._access: JournalAccess | None = None

    async def ready(self) -> None:
        """Open the sessions, once. Raises what IggyConnector.subscribe raises."""
        async with self._opening:
            if self._access is not None:
                return
            session = self._session = await self._connector.subscribe(stream=self._stream, topic=Topic.DLQ)
            self._access = JournalAccess(
                reader=JournalReader(session),
                appender=JournalAppender(self._connector, stream=self._stream, topic=Topic.DLQ),
                admin=self._connector.admin,
                stream=self._stream,
                topic=Topic.DLQ,
            )

    async def has_begun(self, group: str, topic: str, partition_id: int) -> bool:
        """Whether any member of the group ever took the partition over: its first one stored the pin."""
        source = Source(group=group, topic=topic, partition=partition_id)
        partition = dlq_partition_of(source, dlq_partitions=self._dlq_partitions)
        place = JournalPlace(stream=self._stream, topic=Topic.DLQ, partition=partition)
        return await stored_offset(self._connector.admin, place, source, Kept.PIN) is not None

    def open(self, source: Source, handled_types: str) -> OwnedJournal:
        """Return the journal of a source, for an owner that handles event types of this digest."""
        assert self._access is not None, "opened before it was ready"
        return OwnedJournal(
            source,
            partition=dlq_partition_of(source, dlq_partitions=self._dlq_partitions),
            handled_types=handled_types,
            access=self._access,
            timing=self._timing,
            clock=self._clock,
        )

    async def aclose(self) -> None:
        """End the sessions. Idempotent."""
        access, session = self._access, self._session
        self._access = self._session = None
        try:
            if access is not None:
                await access.appender.aclose()
        finally:
            if session is not None:
                await session.leave()
