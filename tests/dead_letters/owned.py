"""Owners of one source partition over a server that is an object, and a connector whose appends fail on demand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from rustok_iggy.dead_letters.access import JournalAccess, OwnerTiming
from rustok_iggy.dead_letters.appender import JournalAppender
from rustok_iggy.dead_letters.drafts import RecordDraft
from rustok_iggy.dead_letters.journal import Journal
from rustok_iggy.dead_letters.layout import Original, encode_original
from rustok_iggy.dead_letters.owner import OwnedJournal
from rustok_iggy.dead_letters.reader import JournalReader
from rustok_iggy.dead_letters.records import AnyRecord, Epoch, Letter, Source
from rustok_iggy_connector import (
    BatchConfirmation,
    ConnectionLostError,
    InMemoryConnector,
    MemoryServer,
    PublishBatch,
    TopicSpec,
)
from tests.dead_letters.journal_records import SOURCE, letter

STREAM, DLQ = "rustok", "dlq"
PARTITION = 0
ORIGINAL = Original(headers={"rk": b"\x01\x00"}, payload=b"the event as it was")
PATIENT = OwnerTiming(takeover_timeout=30, release_timeout=30)
HASTY = OwnerTiming(takeover_timeout=0.05, release_timeout=30)


class FaultyConnector(InMemoryConnector):
    """Appends as told by `faults`, one for each in turn: refuse, lose the reply, do it twice, or wait for `gate`."""

    def __init__(self, server: MemoryServer) -> None:
        super().__init__(server)
        self.faults: list[str | Exception] = []
        self.sent: list[PublishBatch] = []
        self.under_way = 0
        self.most_under_way = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def publish_batch(self, batch: PublishBatch) -> BatchConfirmation:
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        self.sent.append(batch)
        try:
            await self.gate.wait()
            return await self._with_fault(batch, self.faults.pop(0) if self.faults else "")
        finally:
            self.under_way -= 1

    async def _with_fault(self, batch: PublishBatch, fault: str | Exception) -> BatchConfirmation:
        if isinstance(fault, Exception):
            raise fault
        if fault == "fail":
            raise ConnectionLostError("cut before it was sent")
        confirmed = await super().publish_batch(batch)
        if fault == "lose reply":
            raise ConnectionLostError("cut before the reply")
        return await super().publish_batch(batch) if fault == "twice" else confirmed


@dataclass
class Place:
    """A dlq topic and those who work on it. `naps` are the pauses that owners and appender took."""

    server: MemoryServer
    connector: FaultyConnector
    access: JournalAccess
    naps: list[float] = field(default_factory=list)

    def owner(
        self, *, source: Source = SOURCE, timing: OwnerTiming = HASTY, clock: Callable[[], float] = time.monotonic
    ) -> OwnedJournal:
        return OwnedJournal(
            source, partition=PARTITION, handled_types="all", access=self.access, timing=timing, clock=clock
        )

    async def log(self) -> list[tuple[int, AnyRecord | None]]:
        """Every record of the dlq partition."""
        found: list[tuple[int, AnyRecord | None]] = []
        while records := await self.access.reader.read(PARTITION, position=len(found)):
            found += [(position, None if opened is None else opened.record) for position, opened in records]
        return found

    async def folded(self, *, source: Source = SOURCE) -> Journal:
        """The journal folded from the very first record."""
        journal = Journal(source)
        for position, record in await self.log():
            if record is None:
                journal.skip(position)
            else:
                journal.apply(record, position=position)
        return journal


@asynccontextmanager
async def dlq(server: MemoryServer | None = None) -> AsyncIterator[Place]:
    """A place of its own: another process, when it is given the server of the first."""
    first = server is None
    server = server or MemoryServer()
    async with FaultyConnector(server) as connector:
        if first:
            await connector.admin.create_stream(STREAM)
            await connector.admin.create_topic(stream=STREAM, spec=TopicSpec(name=DLQ, partitions=2))
        naps: list[float] = []

        async def nap(seconds: float) -> None:
            naps.append(seconds)
            await asyncio.sleep(0)

        reader = JournalReader(await connector.subscribe(stream=STREAM, topic=DLQ))
        async with JournalAppender(connector, stream=STREAM, topic=DLQ, sleep=nap) as appender:
            access = JournalAccess(reader=reader, appender=appender, admin=connector.admin, stream=STREAM, topic=DLQ)
            yield Place(server, connector, access, naps)


def letter_draft(offset: int, of: int | None = 0, *, body: bytes | None = None, **changes: object) -> RecordDraft:
    """A letter of tenant number `of`, with an original message behind it."""
    original = encode_original(ORIGINAL) if body is None else body

    def draft(epoch: Epoch) -> tuple[Letter, bytes]:
        return letter(epoch, offset, of, **changes), original

    return draft
