"""Following a journal from several tasks at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest

from rustok_iggy.dead_letters.follower import JournalFollower
from rustok_iggy.dead_letters.overtaken import OvertakenError
from rustok_iggy.dead_letters.reader import JournalReader
from rustok_iggy.dead_letters.records import Source
from rustok_iggy.dead_letters.stored_start import JournalPlace
from rustok_iggy_connector import ReceivedMessage, TopologyAdmin

pytestmark = pytest.mark.anyio


class Log:
    """A dlq partition with so many messages, none of them a record."""

    def __init__(self, length: int) -> None:
        self.length = length

    async def messages(self, partition: int, *, position: int) -> Sequence[ReceivedMessage]:
        await asyncio.sleep(0)
        return [ReceivedMessage(each, each + 1, b"made by hand", 0, dict) for each in range(position, self.length)]


def follower_of(log: Log) -> JournalFollower:
    return JournalFollower(
        Source(group="g", topic="domain", partition=0),
        place=JournalPlace(stream="s", topic="dlq", partition=0),
        reader=cast(JournalReader, log),
        admin=cast(TopologyAdmin, None),
    )


async def test_what_another_task_has_read_meanwhile_is_not_missing() -> None:
    follower = follower_of(Log(6))
    await asyncio.gather(*(follower.read_to(5) for _ in range(3)))
    assert follower.fold.next_position == 6


async def test_a_log_that_ends_before_an_acknowledged_record_was_made_anew() -> None:
    with pytest.raises(OvertakenError, match="ends before 6"):
        await follower_of(Log(6)).read_to(6)
