"""DlqManager: what an operator does with dead letters. It looks from outside; the owners of the partitions act."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Unpack
from uuid import UUID, uuid4

from rustok_iggy.dead_letters.export import ExportProgress, encode_line, open_export
from rustok_iggy.dead_letters.letters import (
    DeadLetterDetails,
    DeadLetterSummary,
    LetterKey,
    LetterPage,
    dead_letter,
    details,
)
from rustok_iggy.dead_letters.originals import OriginalReader
from rustok_iggy.dead_letters.partition_journal import PartitionJournal
from rustok_iggy.dead_letters.records import Action, Request
from rustok_iggy.dead_letters.request_options import RedriveOptions, check_options, check_request
from rustok_iggy.dead_letters.request_progress import RequestProgress, progress_of
from rustok_iggy.dead_letters.request_watch import OnProgress, RequestWatch
from rustok_iggy.dead_letters.request_writer import write_requests
from rustok_iggy.dead_letters.requests import LetterRequest, RequestDraft, plan_request, selected_letters
from rustok_iggy.dead_letters.selection import LetterSelection, recorded
from rustok_iggy.dead_letters.statistics import DeadLetterStatistics, LetterCensus
from rustok_iggy.dead_letters.survey import JournalSurvey, OnRead, Sleep, open_survey
from rustok_iggy.errors import DeadLetterError, RedriveError
from rustok_iggy_connector import IggyConnector

PAGE_LETTERS = 100
"""Letters of a page, unless said otherwise."""
MAX_PAGE_LETTERS = 10_000
"""Some 10 MB."""
ROUND = 100
"""Letters between two reports of an export."""


class DlqManager:
    """Looks at dead letters, and asks their owners to run them again or to discard them.

    Usable where nothing is consumed: it reads the journal over a session of its own for each call, joins no group and
    stores no offset. What it asks for is written into the journal; the members that own the source partitions do it,
    now or when one runs again. At most one dlq partition's letters are held in memory at a time by `list`, `stats` and
    `export`, one group's by `redrive` and `discard`. Safe for concurrent use.

    Every call reads the journal and may take its time: `progress` is told how far it is. Besides the errors named,
    each raises DeadLetterError (no dlq topic, a group that has no journal, a journal that cannot be read) and connector
    errors.
    """

    def __init__(
        self,
        connector: IggyConnector,
        *,
        stream: str,
        originals: OriginalReader,
        now: Callable[[], int] = lambda: time.time_ns() // 1000,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
        ids: Callable[[], UUID] = uuid4,
    ) -> None:
        """`now` is in µs since 1970 UTC, `clock` in seconds."""
        self._connector = connector
        self._stream = stream
        self._originals = originals
        self._now = now
        self._clock = clock
        self._sleep = sleep
        self._ids = ids

    async def list(
        self,
        *,
        group: str | None = None,
        selection: LetterSelection | None = None,
        limit: int = PAGE_LETTERS,
        after: LetterKey | None = None,
        progress: OnRead | None = None,
    ) -> LetterPage:
        """Return open letters: source by source, by offset, so that each tenant's are in order; `after` = `page.next`.

        `selection` None: all. `limit` is at most 10 000; a page holds fewer only at the end.
        """
        if not 1 <= limit <= MAX_PAGE_LETTERS:
            raise DeadLetterError(f"limit {limit} is not between 1 and {MAX_PAGE_LETTERS}")
        async with self._survey() as survey:
            return await self._page(survey, group, selection, limit, after, progress)

    async def show(self, letter: DeadLetterSummary) -> DeadLetterDetails:
        """Return everything kept of a letter: error, stack, original message, and the event if it can be decoded.

        Raises DeadLetterError when it is gone.
        """
        async with self._survey() as survey:
            return await self._details(survey, letter)

    async def stats(self, *, group: str | None = None, progress: OnRead | None = None) -> DeadLetterStatistics:
        """Count open letters, parked tenants and open requests; of one group, or of all."""
        census = LetterCensus()
        async with self._survey() as survey:
            async for _, journal in self._partitions(survey, group, progress):
                census.add(journal)
        return census.taken(now=self._now())

    async def export(
        self,
        path: str | Path,
        *,
        group: str | None = None,
        selection: LetterSelection | None = None,
        progress: Callable[[ExportProgress], None] | None = None,
    ) -> ExportProgress:
        """Write letters as JSON lines, one by one, in the order of list(); see export.py for the fields.

        The file appears when all is written, and holds the events themselves. Raises DeadLetterError when the disk is
        full, with nothing left there.
        """
        async with self._survey() as survey, open_export(Path(path)) as file:
            async for _, journal in self._partitions(survey, group, None):
                for letter in self._letters(journal, selection):
                    found = await self._details(survey, letter)
                    await file.write(encode_line(found, envelope=self._originals.as_json(found.envelope)))
                    if progress is not None and file.progress.letters % ROUND == 0:
                        progress(file.progress)
            if progress is not None:
                progress(file.progress)
            return file.progress

    async def redrive(
        self,
        selection: LetterSelection,
        *,
        group: str,
        by: str,
        reason: str = "",
        dry_run: bool = False,
        progress: OnRead | None = None,
        **options: Unpack[RedriveOptions],
    ) -> LetterRequest:
        """Ask the owners to run letters through the group's handlers again; returns when the request is written.

        Of a parked tenant, all letters up to the last selected one run, in order: running a later one first would
        break its order (`break_order=True` does so all the same). Letters written later join as far as they are
        selected, unless there is a `limit`. A letter that fails again stays open, and its tenant parked.
        `dry_run` writes nothing and returns what would run. Nothing is written either when no letter is meant.
        Raises RedriveError: options that cannot be, a request that was not written (it says where it was).
        """
        check_request(group=group, by=by, reason=reason, is_reason_needed=False)
        check_options(options)
        draft = RequestDraft(
            request=Request(
                id=self._ids(),
                group=group,
                action=Action.REDRIVE,
                selection=recorded(selection),
                requested_at=self._now(),
                requested_by=by,
                reason=reason,
                partitions=tuple(options.get("partitions", ())),
                break_order=options.get("break_order", False),
                force=options.get("force", False),
                rate=options.get("rate"),
                abort_ratio=options.get("abort_ratio"),
            ),
            limit=options.get("limit"),
        )
        return await self._request(draft, dry_run=dry_run, progress=progress)

    async def discard(
        self,
        selection: LetterSelection,
        *,
        group: str,
        by: str,
        reason: str,
        seen: Mapping[int, int] | None = None,
        dry_run: bool = False,
        progress: OnRead | None = None,
    ) -> LetterRequest:
        """Ask the owners to give up letters for good, exactly those selected; returns when the request is written.

        Only letters that were there when you looked: `seen` is that of the page or the dry run you looked at; without
        it, what this call reads. Discarding a tenant's last letter frees it. Export first: what retention removes
        cannot be brought back. Otherwise as redrive().
        """
        check_request(group=group, by=by, reason=reason, is_reason_needed=True)
        request = Request(
            id=self._ids(),
            group=group,
            action=Action.DISCARD,
            selection=recorded(selection),
            requested_at=self._now(),
            requested_by=by,
            reason=reason,
            seen=0,  # set for each dlq partition when it was read
        )
        return await self._request(RequestDraft(request=request, seen=seen), dry_run=dry_run, progress=progress)

    async def wait(
        self, request: LetterRequest, *, timeout: float, progress: OnProgress | None = None
    ) -> RequestProgress:
        """Wait until every source partition that has letters for a request has ended it; say how that went.

        Comes back earlier after `timeout` seconds (state `running`), or when what is left has had no owner for some
        seconds (`waiting_for_member`): the request stays open and goes on without this call. Waiting again is fine.
        Raises RedriveError for a dry run.
        """
        if not isinstance(request, LetterRequest):
            raise RedriveError(f"wait for what redrive() or discard() returned, not for {type(request).__name__}")
        if request.dry_run:
            raise RedriveError("a dry run was never written; there is nothing to wait for")
        if not request.positions:
            return progress_of(request.id, ())
        async with self._survey() as survey:
            watch = RequestWatch(
                survey, self._connector.admin, request, stream=self._stream, clock=self._clock, sleep=self._sleep
            )
            deadline = asyncio.timeout(timeout)
            try:
                async with deadline:
                    return await watch.run(progress)
            except TimeoutError:
                if not deadline.expired():
                    raise  # a request to the server that took too long
                return watch.known()

    def _survey(self) -> AbstractAsyncContextManager[JournalSurvey]:
        return open_survey(self._connector, stream=self._stream, sleep=self._sleep)

    async def _page(
        self,
        survey: JournalSurvey,
        group: str | None,
        selection: LetterSelection | None,
        limit: int,
        after: LetterKey | None,
        progress: OnRead | None,
    ) -> LetterPage:
        dlq_partitions = survey.dlq_partitions
        last = None if after is None else after.order(dlq_partitions=dlq_partitions)
        found = []
        seen = {}
        async for partition_id, journal in self._partitions(survey, group, progress, first=last[0] if last else 0):
            seen[partition_id] = journal.folded_up_to
            for letter in self._letters(journal, selection):
                if last is None or letter.key.order(dlq_partitions=dlq_partitions) > last:
                    found.append(letter)
                if len(found) > limit:
                    return LetterPage(letters=tuple(found[:limit]), next=found[limit - 1].key, seen=seen)
        return LetterPage(letters=tuple(found), next=None, seen=seen)

    async def _partitions(
        self, survey: JournalSurvey, group: str | None, progress: OnRead | None, *, first: int = 0
    ) -> AsyncIterator[tuple[int, PartitionJournal]]:
        """Fold one dlq partition after the other. Raises DeadLetterError when there is no journal of the group."""
        known = group is None or first > 0
        for partition_id in range(first, survey.dlq_partitions):
            journal = await survey.fold(partition_id, group=group, progress=progress)
            known = known or any(True for _ in journal.journals())
            yield partition_id, journal
        if group is not None and not known:
            raise DeadLetterError(await self._unknown(survey, group))

    async def _unknown(self, survey: JournalSurvey, group: str) -> str:
        with_letters: set[str] = set()
        async for _, partition in self._partitions(survey, None, None):
            with_letters |= {
                each.source.group for each in partition.journals() if any(True for _ in each.open_letters())
            }
        known = f"groups with letters: {', '.join(sorted(with_letters))}" if with_letters else "no group has letters"
        return f"group {group} has never kept a journal in stream {self._stream}; {known}"

    def _letters(self, partition: PartitionJournal, selection: LetterSelection | None) -> Iterator[DeadLetterSummary]:
        wanted = None if selection is None else recorded(selection)
        now = self._now()
        for journal in partition.journals():
            for folded in selected_letters(journal, wanted):
                yield dead_letter(journal.source, folded, now=now)

    async def _details(self, survey: JournalSurvey, letter: DeadLetterSummary) -> DeadLetterDetails:
        record, original = await survey.letter(letter)
        return details(letter, record, original, envelope=self._originals.envelope(original))

    async def _request(self, draft: RequestDraft, *, dry_run: bool, progress: OnRead | None) -> LetterRequest:
        async with self._survey() as survey:
            partitions = self._partitions(survey, draft.request.group, progress)
            planned = plan_request(draft, {partition_id: journal async for partition_id, journal in partitions})
        positions: dict[int, int] = {}
        if not dry_run:
            positions = await write_requests(self._connector, planned.records, stream=self._stream)
        return planned.request(now=self._now(), dry_run=dry_run, positions=positions)
