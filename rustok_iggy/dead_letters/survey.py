"""Reading the journal from outside: without owning anything, joining a group, or storing an offset."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from rustok_iggy.dead_letters.fold_start import FoldStart, plan_fold
from rustok_iggy.dead_letters.journal import Journal, Verdict
from rustok_iggy.dead_letters.layout import Original, decode_original
from rustok_iggy.dead_letters.letters import DeadLetterSummary, LetterKey
from rustok_iggy.dead_letters.partition_journal import PartitionJournal, dlq_partition_of, group_of, sources_kept_in
from rustok_iggy.dead_letters.reader import JournalReader, ReadRecord
from rustok_iggy.dead_letters.records import AnyRecord, Letter, Source
from rustok_iggy.dead_letters.snapshot import NOTHING_READ
from rustok_iggy.dead_letters.stored_start import JournalPlace, read_start
from rustok_iggy.errors import DeadLetterError
from rustok_iggy.topology import Topic
from rustok_iggy_connector import IggyConnector, RetryPolicy, TopologyAdmin

EMPTY_POLLS = 10
"""In a row, below an offset the server says is there. Disk faults look like empty polls: then it is an error."""
EMPTY_POLL_DELAY = 0.1
"""Seconds; with the number above one second, some thousand times as long as a poll takes."""

Sleep = Callable[[float], Awaitable[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadProgress:
    """How far the journal was read: `position` of `end` in one dlq partition of `partitions`."""

    partition_id: int
    partitions: int
    position: int
    end: int


OnRead = Callable[[ReadProgress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalExtent:
    """What there is to read. `topics` maps source topics to their partitions, `ends` dlq partitions to last offsets."""

    dlq_partitions: int
    ends: Mapping[int, int]
    topics: Mapping[str, int]


async def journal_extent(connector: IggyConnector, *, stream: str) -> JournalExtent:
    """Ask the server for the stream's topics. Raises DeadLetterError without a dlq topic, and connector errors."""
    described = await connector.admin.describe_stream(stream)
    topics = {}
    journal = None
    for name in () if described is None else described.topics:
        topic = await connector.admin.describe_topic(stream=stream, topic=name)
        if topic is not None and name == Topic.DLQ:
            journal = topic
        elif topic is not None:
            topics[name] = topic.partitions
    if journal is None:
        raise DeadLetterError(f"stream {stream} has no topic {Topic.DLQ}: nothing was ever opened on it")
    return JournalExtent(dlq_partitions=journal.partitions, ends=journal.current_offsets, topics=topics)


class JournalSurvey:
    """Folds one dlq partition after the other, over one session. Holds what it folded only while the caller does.

    A poll that failed is repeated for some ten seconds when that may help: a session that was lost opens again.
    """

    def __init__(
        self,
        reader: JournalReader,
        admin: TopologyAdmin,
        extent: JournalExtent,
        *,
        stream: str,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._reader = reader
        self._admin = admin
        self._extent = extent
        self._stream = stream
        self._sleep = sleep
        self._retry = RetryPolicy()
        self._consumed: dict[tuple[str, str], bool] = {}

    @property
    def dlq_partitions(self) -> int:
        """How many there are."""
        return self._extent.dlq_partitions

    def partition_of(self, source: Source) -> int:
        """The dlq partition of a source."""
        return dlq_partition_of(source, dlq_partitions=self.dlq_partitions)

    async def fold(
        self, partition_id: int, *, group: str | None, up_to: int | None = None, progress: OnRead | None = None
    ) -> PartitionJournal:
        """Return the journals kept in a dlq partition, of one group or of all, folded up to its end or `up_to`.

        Raises DeadLetterError when the server gives nothing where it says there is something; connector errors.
        """
        journal = PartitionJournal(group=group)
        end = self._extent.ends.get(partition_id, NOTHING_READ) if up_to is None else up_to
        if group is not None:
            journal.begin(group, await self._starts(partition_id, group, end=end))
        await self._read(journal, partition_id, end=end, progress=progress)
        return journal

    async def follow(self, journal: PartitionJournal, partition_id: int) -> Sequence[AnyRecord]:
        """Take in what one poll brings of what was written since; return the records that changed anything."""
        applied = []
        for position, opened in await self._poll(partition_id, journal.folded_up_to + 1):
            record = None if opened is None else opened.record
            if journal.apply(record, position=position) is Verdict.APPLIED and record is not None:
                applied.append(record)
        return applied

    async def letter(self, letter: DeadLetterSummary) -> tuple[Letter, Original]:
        """Return a letter's record and the message it keeps. Raises DeadLetterError when it is gone."""
        partition_id = self.partition_of(letter.key.source)
        opened = await self._retry.run(lambda: self._reader.read_at(partition_id, position=letter.journal_position))
        found = None if opened is None else opened.record
        if opened is None or not isinstance(found, Letter) or _key(found) != letter.key:
            raise DeadLetterError(
                f"the letter of {letter.key} is no longer at offset {letter.journal_position} of {Topic.DLQ}"
                f" {partition_id}: it was settled and removed, or the topic was made anew; list again"
            )
        return found, decode_original(opened.body)

    async def _read(self, journal: PartitionJournal, partition_id: int, *, end: int, progress: OnRead | None) -> None:
        position = journal.first_needed
        empty = 0
        while position <= end:
            records = await self._poll(partition_id, position)
            empty = 0 if records else empty + 1
            if empty > EMPTY_POLLS:
                if not await self._poll(partition_id, 0):
                    break  # nothing is left of it at all: retention took the last segment
                raise DeadLetterError(
                    f"{Topic.DLQ} {partition_id} has records up to {end}, but the server gives none from {position} on:"
                    " look at the server's log and disk"
                )
            for at, opened in records:
                if at > end:
                    break
                record = None if opened is None else opened.record
                if record is not None and journal.is_new(record):
                    found = group_of(record)
                    journal.begin(found, await self._starts(partition_id, found, end=end))
                journal.apply(record, position=at)
            if records:
                position = records[-1][0] + 1
                _report(progress, partition_id, self.dlq_partitions, position - 1, end)
            else:
                await self._sleep(EMPTY_POLL_DELAY)
        journal.read_up_to(end)

    async def _poll(self, partition_id: int, position: int) -> Sequence[ReadRecord]:
        return await self._retry.run(lambda: self._reader.read(partition_id, position=position))

    async def _starts(self, partition_id: int, group: str, *, end: int) -> dict[Source, FoldStart]:
        """Return where the fold of each source kept there begins, so that it knows all that stands up to `end`.

        Without those that nobody can have owned: they would have everything read from the first record.
        """
        sources = sources_kept_in(
            partition_id, group=group, topics=self._extent.topics, dlq_partitions=self.dlq_partitions
        )
        starts = {source: await self._start(partition_id, source, end=end) for source in sources}
        return {source: start for source, start in starts.items() if start is not None}

    async def _start(self, partition_id: int, source: Source, *, end: int) -> FoldStart | None:
        place = JournalPlace(stream=self._stream, topic=Topic.DLQ, partition=partition_id)
        stored = await self._retry.run(lambda: read_start(self._reader, self._admin, place=place, source=source))
        if stored.pin is None and stored.checkpoint is None and not await self._is_consumed(source):
            return None
        start = plan_fold(source, stored=stored)
        if start.position <= end + 1:
            return start
        # What is stored tells of later records: of what stood at `end`, only all that there is can tell.
        return FoldStart(journal=Journal(source), position=stored.first, letters_expired=start.letters_expired)

    async def _is_consumed(self, source: Source) -> bool:
        """Whether the source's group exists on its topic, or did when that was last asked."""
        where = source.group, source.topic
        if where not in self._consumed:
            found = await self._retry.run(
                lambda: self._admin.describe_group(stream=self._stream, topic=source.topic, group=source.group)
            )
            self._consumed[where] = found is not None
        return self._consumed[where]


@asynccontextmanager
async def open_survey(
    connector: IggyConnector, *, stream: str, sleep: Sleep = asyncio.sleep
) -> AsyncIterator[JournalSurvey]:
    """Read the dlq topic of a stream over a session of its own. Raises DeadLetterError and connector errors."""
    # A session that was idle while the server went and came back is lost once before it opens again.
    extent = await RetryPolicy().run(lambda: journal_extent(connector, stream=stream))
    subscriber = await connector.subscribe(stream=stream, topic=Topic.DLQ)
    try:
        yield JournalSurvey(JournalReader(subscriber), connector.admin, extent, stream=stream, sleep=sleep)
    finally:
        await subscriber.leave()


def _report(progress: OnRead | None, partition_id: int, partitions: int, position: int, end: int) -> None:
    if progress is not None:
        progress(ReadProgress(partition_id=partition_id, partitions=partitions, position=min(position, end), end=end))


def _key(letter: Letter) -> LetterKey:
    return LetterKey(letter.source.group, letter.source.topic, letter.source.partition, letter.offset)
