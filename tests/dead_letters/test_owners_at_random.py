"""Real owners over a server, dealt anew behind their backs, through a connector that fails, loses replies and doubles.

Whoever takes over must come to the state that the whole log says, from the offsets its predecessors stored.
"""

from __future__ import annotations

import random
import secrets
from dataclasses import dataclass, field

import pytest

from rustok_iggy.dead_letters.access import OwnerTiming
from rustok_iggy.dead_letters.fold_start import plan_fold
from rustok_iggy.dead_letters.journal import Journal, Verdict
from rustok_iggy.dead_letters.layout import encode_record
from rustok_iggy.dead_letters.overtaken import OvertakenError
from rustok_iggy.dead_letters.owner import OwnedJournal
from rustok_iggy.dead_letters.records import Outcome
from rustok_iggy.dead_letters.stored_start import JournalPlace, read_start
from rustok_iggy_connector import OutgoingMessage, PublishBatch
from tests.dead_letters.journal_records import (
    ELSEWHERE,
    SOURCE,
    attempt,
    claim,
    epoch,
    request,
    request_end,
    settlement,
)
from tests.dead_letters.owned import DLQ, PARTITION, STREAM, Place, dlq, letter_draft

pytestmark = pytest.mark.anyio
WALKS = 12
STEPS = 60
WHERE = JournalPlace(stream=STREAM, topic=DLQ, partition=PARTITION)
AT_ONCE = OwnerTiming(takeover_timeout=0, checkpoint_every=9)


@dataclass
class Walk:
    """`owners` believe that they own the partition, the last one rightly; `applied` letters they were told count."""

    place: Place
    random: random.Random
    generation: int = 0
    committed: int = -1
    next_offset: int = 0
    owners: list[OwnedJournal] = field(default_factory=list)
    applied: set[int] = field(default_factory=set)
    settled: set[int] = field(default_factory=set)
    starts: set[int] = field(default_factory=set)

    async def step(self) -> None:
        faults = ["", "", "", "fail", "lose reply", "twice"]
        self.place.connector.faults = [self.random.choice(faults) for _ in range(3)]
        moves = [self.deal, self.letters, self.letters, self.settle, self.settle, self.commit, self.keep, self.renew]
        moves += [self.leave, self.ask, self.end, self.a_copy_comes_late, self.strangers_write]
        try:
            await self.random.choice(moves)()
        except OvertakenError:
            self.owners = [owner for owner in self.owners if not owner.is_lost]

    def owner(self) -> OwnedJournal:
        """Mostly the one who is right."""
        return self.owners[-1] if self.random.random() < 0.8 else self.random.choice(self.owners)

    async def deal(self) -> None:
        self.generation += 1
        owner = self.place.owner(timing=AT_ONCE)
        begin = await owner.gain(epoch=epoch(self.generation, self.random.choice("AB")), committed=self.committed)
        assert begin == max(self.committed, owner.journal.low_mark)
        self.owners.append(owner)

    async def letters(self) -> None:
        if self.owners:
            self.next_offset += 2
            offsets = (self.next_offset - 2, self.next_offset - 1)
            verdicts = await self.owner().write(*[letter_draft(offset, offset % 3) for offset in offsets])
            self.applied |= {at for at, verdict in zip(offsets, verdicts, strict=True) if verdict is Verdict.APPLIED}

    async def settle(self) -> None:
        if not self.owners:
            return
        owner = self.owner()
        found = list(owner.journal.open_letters())
        if found:
            letter = self.random.choice(found)
            number, outcome = letter.attempts + 1, self.random.choice(list(Outcome))
            await owner.write(lambda under: attempt(under, letter.offset, number))
            verdicts = await owner.write(lambda under: settlement(under, letter.offset, outcome, number=number))
            if outcome in (Outcome.HANDLED, Outcome.DISCARDED) and verdicts == [Verdict.APPLIED]:
                self.settled.add(letter.offset)

    async def commit(self) -> None:
        self.committed = max(self.committed, self.random.randint(-1, self.next_offset - 1))

    async def keep(self) -> None:
        if self.owners:
            await self.owner().keep_start(committed=self.committed)

    async def renew(self) -> None:
        if self.owners:
            self.generation += 1
            await self.owner().renew(epoch=epoch(self.generation, "R"), committed=self.committed)

    async def leave(self) -> None:
        if self.owners and self.random.random() < 0.5:
            await self.owners.pop().release(committed=self.committed)

    async def ask(self) -> None:
        await self.append(encode_record(request(self.random.randint(1, 3))).payload)

    async def end(self) -> None:
        if self.owners:
            await self.owner().write(lambda under: request_end(under, self.random.randint(1, 3)))

    async def a_copy_comes_late(self) -> None:
        sent = self.place.connector.sent
        if sent:
            self.place.connector.faults = []
            await self.place.connector.publish_batch(self.random.choice(sent[-15:]))

    async def strangers_write(self) -> None:
        await self.append(b"made by hand", encode_record(claim(epoch(self.generation), source=ELSEWHERE)).payload)

    async def append(self, *payloads: bytes) -> None:
        messages = [OutgoingMessage(id=request(1).id, payload=payload) for payload in payloads]
        self.place.connector.faults = []
        await self.place.connector.publish_batch(
            PublishBatch(stream=STREAM, topic=DLQ, partition_id=PARTITION, messages=messages)
        )

    async def check(self) -> None:
        truth = await self.place.folded()
        assert (await self.from_the_stored_start()).snapshot() == truth.snapshot(), "the stored start is wrong"
        known = {letter.offset for letter in truth.snapshot().letters}
        assert all(offset in known or offset <= truth.low_mark for offset in self.applied), "a letter was lost"
        still_open = {letter.offset for letter in truth.open_letters()}
        assert not still_open & self.settled, "a settled letter opened again"

    async def from_the_stored_start(self) -> Journal:
        access = self.place.access
        stored = await read_start(access.reader, access.admin, place=WHERE, source=SOURCE)
        start = plan_fold(SOURCE, stored=stored)
        assert not start.letters_expired
        self.starts.add(start.position)
        position = start.position
        while records := await access.reader.read(PARTITION, position=position):
            for position, opened in records:
                if opened is None:
                    start.journal.skip(position)
                else:
                    start.journal.apply(opened.record, position=position)
            position += 1
        return start.journal


async def walked(seed: int) -> Walk:
    """A whole walk, at whose end somebody takes over."""
    async with dlq() as place:
        walk = Walk(place, random.Random(seed))
        for _ in range(STEPS):
            await walk.step()
            await walk.check()
        walk.place.connector.faults = []
        await walk.deal()
        assert walk.owners[-1].journal.snapshot() == (await place.folded()).snapshot()
    return walk


@pytest.mark.parametrize("number", range(WALKS))
async def test_whoever_takes_over_comes_to_the_same_state(number: int) -> None:
    seed = secrets.randbits(32)
    print(f"seed {seed}")
    await walked(seed)


async def test_the_walks_are_such_that_the_start_of_the_fold_moves() -> None:
    """Nearly every one is; else the walks would compare a fold from the first record with itself."""
    assert max([len((await walked(seed)).starts) for seed in range(3)]) > 1
