"""The dead-letter journal changes hands on every backend: claims, letters, stored starts, releases."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rustok_iggy.dead_letters.access import JournalAccess, OwnerTiming
from rustok_iggy.dead_letters.appender import JournalAppender
from rustok_iggy.dead_letters.journal import Verdict
from rustok_iggy.dead_letters.overtaken import OvertakenError
from rustok_iggy.dead_letters.owner import OwnedJournal
from rustok_iggy.dead_letters.reader import JournalReader
from rustok_iggy_connector import IggyConnector
from tests.conformance.conftest import TOPIC
from tests.dead_letters.journal_records import SOURCE, epoch
from tests.dead_letters.owned import ORIGINAL, letter_draft

pytestmark = pytest.mark.anyio
PARTITION = SOURCE.partition


@asynccontextmanager
async def owner_on(connector: IggyConnector, stream: str) -> AsyncIterator[OwnedJournal]:
    """An owner of SOURCE that would wait half a minute for its predecessor."""
    session = await connector.subscribe(stream=stream, topic=TOPIC)
    async with JournalAppender(connector, stream=stream, topic=TOPIC) as appender:
        access = JournalAccess(
            reader=JournalReader(session), appender=appender, admin=connector.admin, stream=stream, topic=TOPIC
        )
        timing = OwnerTiming(takeover_timeout=30)
        yield OwnedJournal(SOURCE, partition=PARTITION, handled_types="all", access=access, timing=timing)
    await session.leave()


async def test_a_partition_changes_hands_with_its_letters(
    connector: IggyConnector, second: IggyConnector, stream: str
) -> None:
    async with owner_on(connector, stream) as first, owner_on(second, stream) as following:
        assert await first.gain(epoch=epoch(1), committed=-1) == -1
        assert await first.write(letter_draft(5), letter_draft(6)) == [Verdict.APPLIED] * 2
        gaining = asyncio.create_task(following.gain(epoch=epoch(2, "B"), committed=4))
        with pytest.raises(OvertakenError):
            while not gaining.done():
                await first.catch_up()
        assert not gaining.done()
        await first.release()
        assert await asyncio.wait_for(gaining, 20) == 4
        assert [letter.offset for letter in following.journal.open_letters()] == [5, 6]
        letter = following.journal.letter(5)
        assert letter is not None
        assert await following.bodies([letter]) == [ORIGINAL]


async def test_the_next_owner_begins_at_the_checkpoint(
    connector: IggyConnector, second: IggyConnector, stream: str
) -> None:
    async with owner_on(connector, stream) as first, owner_on(second, stream) as following:
        await first.gain(epoch=epoch(1), committed=-1)
        await first.renew(epoch=epoch(2), committed=3)
        await first.write(letter_draft(5))
        await first.release(committed=4)
        assert await asyncio.wait_for(following.gain(epoch=epoch(3, "B"), committed=-1), 20) == 4
        assert following.journal.parked_tenants
        assert not following.letters_expired
