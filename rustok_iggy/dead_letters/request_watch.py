"""Following a request until every source partition with letters for it has ended it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping

from rustok_iggy.dead_letters.journal import Journal
from rustok_iggy.dead_letters.partition_journal import PartitionJournal
from rustok_iggy.dead_letters.records import RequestEnd, Source
from rustok_iggy.dead_letters.request_progress import RequestProgress, RequestState, SourceProgress, progress_of
from rustok_iggy.dead_letters.requests import LetterRequest
from rustok_iggy.dead_letters.snapshot import Progress
from rustok_iggy.dead_letters.survey import JournalSurvey
from rustok_iggy_connector import GroupInfo, NotFoundError, RetryPolicy, TopologyAdmin

LOOK_INTERVAL = 0.2
"""Seconds between two looks at a journal in which nothing happens: a person waits for this."""
MEMBER_INTERVAL = 1.0
"""Seconds between two questions who is a member: as often as members ask themselves."""
MEMBER_PATIENCE = 5.0
"""Seconds without an owner before saying so: a take-over waits three, and a restart may be under way."""

OnProgress = Callable[[RequestProgress], None]
Sleep = Callable[[float], Awaitable[object]]


class RequestWatch:
    """Reads on in each dlq partition that a request was written to. Begin before the first look."""

    def __init__(
        self,
        survey: JournalSurvey,
        admin: TopologyAdmin,
        request: LetterRequest,
        *,
        stream: str,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._survey = survey
        self._admin = admin
        self._request = request
        self._stream = stream
        self._clock = clock
        self._sleep = sleep
        self._retry = RetryPolicy()
        self._planned: dict[Source, list[int]] = {source: [] for source in request.sources}
        for lane in request.lanes:
            self._planned[lane.source] += [letter.key.offset for letter in lane.letters]
        self._journals: dict[int, PartitionJournal] = {}
        self._ends: dict[Source, RequestEnd] = {}
        self._owned: frozenset[Source] = frozenset()
        self._asked_at: float | None = None

    async def run(self, on_progress: OnProgress | None) -> RequestProgress:
        """Return when all is done, or when what is left has had no owner for some seconds. Raises connector errors."""
        for partition_id, position in self._request.positions.items():
            self._journals[partition_id] = await self._survey.fold(
                partition_id, group=self._request.group, up_to=position
            )
        reported: RequestProgress | None = None
        ownerless_since: float | None = None
        while True:
            moved = await self._read_on()
            progress = await self._progress()
            if progress != reported and on_progress is not None:
                on_progress(progress)
            reported = progress
            if progress.state is RequestState.DONE:
                return progress
            if progress.state is RequestState.RUNNING:
                ownerless_since = None
            elif ownerless_since is None:
                ownerless_since = self._clock()
            elif self._clock() - ownerless_since >= MEMBER_PATIENCE:
                return progress
            if not moved:
                await self._sleep(LOOK_INTERVAL)

    def known(self) -> RequestProgress:
        """Return how far it is by what was read."""
        return progress_of(self._request.id, [self._source_progress(source) for source in _in_order(self._planned)])

    async def _read_on(self) -> bool:
        """Take in what is new where something is left; whether there was anything."""
        moved = False
        for partition_id, journal in self._journals.items():
            if all(
                source in self._ends for source in self._planned if self._survey.partition_of(source) == partition_id
            ):
                continue
            before = journal.folded_up_to
            for record in await self._survey.follow(journal, partition_id):
                if isinstance(record, RequestEnd) and record.request == self._request.id:
                    self._ends.setdefault(record.source, record)
            moved = moved or journal.folded_up_to > before
        return moved

    async def _progress(self) -> RequestProgress:
        now = self._clock()
        if self._asked_at is None or now - self._asked_at >= MEMBER_INTERVAL:
            self._asked_at = now
            self._owned = await self._ask_owned()
        return self.known()

    async def _ask_owned(self) -> frozenset[Source]:
        owned: set[Source] = set()
        for topic in sorted({source.topic for source in self._planned}):
            group = await self._describe_group(topic)
            partitions = {each for owned_by in (group.members.values() if group else ()) for each in owned_by}
            owned |= {source for source in self._planned if source.topic == topic and source.partition in partitions}
        return frozenset(owned)

    async def _describe_group(self, topic: str) -> GroupInfo | None:
        try:
            return await self._retry.run(
                lambda: self._admin.describe_group(stream=self._stream, topic=topic, group=self._request.group)
            )
        except NotFoundError:
            return None  # the topic is gone, and its members with it

    def _source_progress(self, source: Source) -> SourceProgress:
        journal = self._journal(source)
        claim = None if journal is None else journal.claim
        return SourceProgress(
            source=source,
            left=self._left(source, journal),
            progress=Progress() if journal is None else journal.progress(self._request.id),
            end=self._ends.get(source),
            # Alive by both: a process that died leaves its claim, one that is no member of this kind claims nothing.
            has_owner=claim is not None and not claim.is_released and source in self._owned,
        )

    def _left(self, source: Source, journal: Journal | None) -> int:
        planned = self._planned[source]
        if journal is None:
            return len(planned)
        letters = [journal.letter(offset) for offset in planned]
        return sum(each is not None and each.is_open and each.settled_in != self._request.id for each in letters)

    def _journal(self, source: Source) -> Journal | None:
        partition = self._journals.get(self._survey.partition_of(source))
        return None if partition is None else partition.journal(source)


def _in_order(sources: Mapping[Source, object]) -> list[Source]:
    """In order of topic and partition."""
    return sorted(sources, key=lambda source: (source.topic, source.partition))
