"""Mistakes that the engine could have, each put into the real code: the simulation must notice every one.

What only the fold of the journal can get wrong is planted in tests/dead_letters/test_journal_machine.py: the low
mark left out, letters of overtaken owners counted, a failed settlement that closes its letter, a fold from the oldest
open letter only. Appends side by side are not here: an owner counts what it reads back, so that they do no harm.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rustok_iggy.consumer.deduplication import Deduplication
from rustok_iggy.consumer.handling import Handling
from rustok_iggy.consumer.intake import Intake
from rustok_iggy.consumer.letters import LetterWriter
from rustok_iggy.consumer.parking import Parking
from rustok_iggy.consumer.polling import Polling
from rustok_iggy.consumer.watermark import Watermark
from rustok_iggy.dead_letters.journal import Journal
from rustok_iggy.dead_letters.owner import OwnedJournal
from rustok_iggy.dead_letters.records import Outcome

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
            self.ahead_bytes -= self._sizes.popleft()

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
