"""Follows the journal of one source as its owner: begins the fold, and reads on. One read at a time."""

from __future__ import annotations

import asyncio

from rustok_iggy.dead_letters.fold_start import plan_fold
from rustok_iggy.dead_letters.journal import Journal
from rustok_iggy.dead_letters.overtaken import OvertakenError, emptied
from rustok_iggy.dead_letters.read_back import ReadBack
from rustok_iggy.dead_letters.reader import JournalReader
from rustok_iggy.dead_letters.records import Claim, Source
from rustok_iggy.dead_letters.stored_start import JournalPlace, Kept, read_start, stored_offset
from rustok_iggy_connector import TopologyAdmin

FOLD_TRIES = 3
"""A record that is removed while a fold reads towards it was not needed any more: begin again where the pin is now."""


class JournalFollower:
    """Keeps `fold` up to date. Calls may come from several tasks; all raise connector errors, and OvertakenError once
    the fold has read that the partition was lost.
    """

    def __init__(self, source: Source, *, place: JournalPlace, reader: JournalReader, admin: TopologyAdmin) -> None:
        self._source = source
        self._place = place
        self._reader = reader
        self._admin = admin
        self._turn = asyncio.Lock()
        self.fold = ReadBack(Journal(source), position=0)
        self.pin: int | None = None
        """The pin as it is stored."""
        self.letters_expired = False

    async def begin(self) -> None:
        """Fold from where the stored offsets say to the end."""
        for _ in range(FOLD_TRIES):
            stored = await read_start(self._reader, self._admin, place=self._place, source=self._source)
            start = plan_fold(self._source, stored=stored)
            async with self._turn:
                self.fold = ReadBack(start.journal, position=start.position, low_mark_at=start.stored_at)
                self.pin = stored.pin
            await self.read_on()
            self.letters_expired = start.letters_expired or self.fold.has_gap
            if not self.fold.has_gap:
                break

    async def read_on(self) -> bool:
        """Fold to the end of the log; whether something of this source changed."""
        before = self.fold.changes
        while await self._read_once():
            pass
        self.letters_expired = self.letters_expired or self.fold.has_gap
        return self.fold.changes != before

    async def look(self) -> bool:
        """As read_on(); also raise emptied() when the log was emptied since, however long it is again."""
        changed = await self.read_on()
        if self.pin is None or await stored_offset(self._admin, self._place, self._source, Kept.PIN) is not None:
            return changed
        self.pin = None  # a purge takes it along; deleted by hand, it is stored again
        claim = self.fold.journal.claim
        if claim is not None:
            opened = await self._reader.read_at(self._place.partition, position=claim.position)
            record = None if opened is None else opened.record
            if not isinstance(record, Claim) or (record.source, record.epoch) != (self._source, claim.epoch):
                raise emptied(self.fold.journal, self._place.partition)
        return changed

    async def read_to(self, position: int) -> None:
        """Fold at least up to `position`, where a record was acknowledged."""
        while self.fold.next_position <= position:
            # Another task may have read on while this one waited for its turn.
            if not await self._read_once() and self.fold.next_position <= position:
                raise OvertakenError(
                    f"the dead-letter log ends before {position}, where a record was: it was made anew"
                )

    async def _read_once(self) -> bool:
        async with self._turn:
            fold = self.fold
            messages = await self._reader.messages(self._place.partition, position=fold.next_position)
            for message in messages:
                fold.take(message.offset, message.payload, stored_at=message.timestamp)
        if fold.is_overtaken:
            source = self._source
            raise OvertakenError(f"a higher claim on {source.topic}/{source.partition} of group {source.group}")
        return bool(messages)
