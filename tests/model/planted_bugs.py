"""Mistakes that the engine could have, each put into the real code: the simulation must notice every one.

What only the fold of the journal can get wrong is planted in tests/dead_letters/test_journal_machine.py: the low
mark left out, letters of overtaken owners counted, a failed settlement that closes its letter, a fold from the oldest
open letter only. Appends side by side are not here: an owner counts what it reads back, so that they do no harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Literal

import pytest

from rustok_iggy.consumer.commits import Commits
from rustok_iggy.consumer.deduplication import Deduplication
from rustok_iggy.consumer.handling import Handling
from rustok_iggy.consumer.intake import Intake
from rustok_iggy.consumer.lane_runner import LaneRunner
from rustok_iggy.consumer.letters import LetterWriter
from rustok_iggy.consumer.parking import Parking
from rustok_iggy.consumer.polling import Polling
from rustok_iggy.consumer.tenure import Tenure
from rustok_iggy.consumer.watermark import Watermark
from rustok_iggy.dead_letters.journal import Journal, Verdict
from rustok_iggy.dead_letters.owner import OwnedJournal
from rustok_iggy.dead_letters.read_back import Expectation
from rustok_iggy.dead_letters.records import Letter, Outcome
from rustok_iggy_connector import ConnectorError, NotAssignedError
from rustok_iggy_connector.client import Client
from rustok_iggy_connector.sessions import Session

Plant = Callable[[pytest.MonkeyPatch], None]


def commit_before_handle(patch: pytest.MonkeyPatch) -> None:
    """What was polled is settled."""
    begin = Watermark.begin

    def begin_and_settle(self: Watermark, offset: int, size: int = 0) -> None:
        begin(self, offset, size)
        self.settle(offset)

    patch.setattr(Watermark, "begin", begin_and_settle)
    patch.setattr(Watermark, "settle", _settle_once(Watermark.settle))


def _settle_once(settle: Callable[[Watermark, int], None]) -> Callable[[Watermark, int], None]:
    def settle_once(self: Watermark, offset: int) -> None:
        if offset in self._begun:
            settle(self, offset)

    return settle_once


def watermark_over_an_open_delivery(patch: pytest.MonkeyPatch) -> None:
    """The highest event that is done is taken for the watermark."""

    def settle(self: Watermark, offset: int) -> None:
        self.settled = offset if self.settled is None else max(self.settled, offset)
        while self._begun and self._begun[0] <= self.settled:
            self._begun.popleft()
            self._settled_bytes += self._sizes.popleft()

    patch.setattr(Watermark, "settle", settle)


def letter_after_the_commit(patch: pytest.MonkeyPatch) -> None:
    """An event that failed is settled before its letter stands in the journal."""
    fail = LetterWriter.fail

    def settle_and_fail(self: LetterWriter, letter: Any) -> None:
        self._holder.commits.settle(letter.delivery.offset)  # type: ignore[attr-defined]  # it is the partition
        fail(self, letter)

    patch.setattr(LetterWriter, "fail", settle_and_fail)
    patch.setattr(Watermark, "settle", _settle_once(Watermark.settle))


def overtaken_owners_count(patch: pytest.MonkeyPatch) -> None:
    """F1 left out: what an owner writes that was overtaken counts."""
    patch.setattr(Journal, "_is_void", lambda self, epoch: False)


def lettered_events_run_live(patch: pytest.MonkeyPatch) -> None:
    """F3 left out."""
    start_after = Intake.start_after
    patch.setattr(Intake, "start_after", lambda self, offset, lettered: start_after(self, offset, lettered=frozenset()))


def redrive_without_settlement(patch: pytest.MonkeyPatch) -> None:
    """That a letter was handled is written nowhere."""
    write = OwnedJournal.write

    async def write_less(self: OwnedJournal, *records: Any) -> Any:
        kept = [
            each
            for each in records
            if not any(getattr(cell, "cell_contents", None) is Outcome.HANDLED for cell in each.__closure__ or ())
        ]
        return await write(self, *kept)

    patch.setattr(OwnedJournal, "write", write_less)


def parked_tenants_forgotten(patch: pytest.MonkeyPatch) -> None:
    """A new owner knows nothing of the tenants that were parked before."""
    begin, look = LetterWriter.begin, Parking._look

    def forget(self: LetterWriter) -> None:
        begin(self)
        self.parking.before = set(self.parking._parked)  # type: ignore[attr-defined]  # the bug's own memory
        self.parking._look()

    def look_forgetfully(self: Parking) -> None:
        look(self)
        for tenant in getattr(self, "before", ()):
            self._parked.pop(tenant, None)

    patch.setattr(LetterWriter, "begin", forget)
    patch.setattr(Parking, "_look", look_forgetfully)


def cancellation_is_success(patch: pytest.MonkeyPatch) -> None:
    """A handler that was cancelled for its time limit has returned, hasn't it."""
    patch.setattr(Handling, "_timeout", lambda self, delivery: None)


def window_kept_across_a_gain(patch: pytest.MonkeyPatch) -> None:
    """A process goes on to know the ids of what it polled before it lost the partition."""
    seeded = Polling.seeded

    async def kept(self: Polling) -> Deduplication:
        windows = vars(self._member).setdefault("windows", {})
        if self._partition_id not in windows:
            windows[self._partition_id] = await seeded(self)
        window: Deduplication = windows[self._partition_id]
        return window

    patch.setattr(Polling, "seeded", kept)


def letters_not_read_back(patch: pytest.MonkeyPatch) -> None:
    """F4 left out: the offset of a letter is committed as soon as the letter was taken, whoever owns the partition.

    Neither was the letter read back, nor did the server name the generation of a claim that was.
    """
    begin, read_back = LetterWriter.begin, OwnedJournal._read_back

    def begin_trusting(self: LetterWriter) -> None:
        begin(self)
        vars(self._journal)["trusting"] = self._holder.commits  # type: ignore[attr-defined]  # it is the partition

    async def trust(self: OwnedJournal, appended: asyncio.Future[int], expected: Expectation) -> list[Verdict]:
        await asyncio.wait([appended])
        letters = [record.offset for record in expected.records.values() if isinstance(record, Letter)]
        if letters and not appended.cancelled() and appended.exception() is None:
            commits: Commits = vars(self)["trusting"]
            for offset in letters:
                commits.settle(offset)
            with suppress(ConnectorError):
                await commits.store()
        return await read_back(self, appended, expected)

    patch.setattr(LetterWriter, "begin", begin_trusting)
    patch.setattr(OwnedJournal, "_read_back", trust)
    patch.setattr(Watermark, "settle", _settle_once(Watermark.settle))
    patch.setattr(Tenure, "freeze", lambda self, generation: setattr(self, "_newest", generation))


def stores_side_by_side(patch: pytest.MonkeyPatch) -> None:
    """Two stores in flight: the probe of a missing partition, with the offset stored last, beside a newer one.

    Neither the partition's commits nor the member's session wait for the one before.
    """

    async def run_at_once(self: Session, call: Callable[[Client], Awaitable[Any]]) -> Any:
        client = self._client
        if client is None or not client.usable:
            raise NotAssignedError("the connection is gone")
        return await call(client)

    begin = Commits.__init__

    def begin_without_turns(self: Commits, *arguments: Any, **options: Any) -> None:
        begin(self, *arguments, **options)
        self._storing = NoTurns()

    async def store_what_is_stored(self: Commits) -> bool:
        watermark = self.watermark
        offset = watermark.settled if watermark.stored is None else watermark.stored
        assert offset is not None
        try:
            await self._subscriber.commit(self._partition_id, offset=offset)
        except NotAssignedError:
            return False
        return True

    patch.setattr(Session, "run_as_member", run_at_once)
    patch.setattr(Commits, "__init__", begin_without_turns)
    patch.setattr(Commits, "store_again", store_what_is_stored)


class NoTurns(asyncio.Lock):
    """Everybody's turn at once."""

    async def acquire(self) -> Literal[True]:
        return True

    def release(self) -> None:
        pass


def clean_up_within_the_task(patch: pytest.MonkeyPatch) -> None:
    """A task that is cancelled before its first step is never entered: nothing within it cleans up."""
    drain = LaneRunner._drain

    async def drain_and_clean_up(self: LaneRunner) -> None:
        task = asyncio.current_task()
        assert task is not None
        try:
            await drain(self)
        finally:
            self._tasks.discard(task)
            following = self._services.slots.give()
            if following is not None:
                following.kick()
            if not task.cancelling():
                self.kick()
            self._partition.changed()

    patch.setattr(LaneRunner, "_drain", drain_and_clean_up)
    patch.setattr(LaneRunner, "_drained", lambda self, task: None)
