"""Reads the journal: polls of one dlq partition by explicit offset, each message decoded."""

from __future__ import annotations

from collections.abc import Sequence

from rustok_iggy.consumer.pacing import MAX_POLL_MESSAGES, PollPace
from rustok_iggy.dead_letters.layout import Opened, decode_record
from rustok_iggy.errors import DeadLetterError
from rustok_iggy_connector import MessageSubscriber, ReceivedMessage

MAX_DISTANCE = 4
"""Records read along for each one that is wanted: they cost a fraction of another poll."""
ReadRecord = tuple[int, Opened | None]
"""A position in the dlq partition and the record there; None for a message that is no record: a fold skips it."""


class JournalReader:
    """Reads every partition of the dlq topic over one plain reader session (`connector.subscribe` without a group).

    May be shared by several tasks: their polls go one at a time. Commits nothing. All calls have the session's deadline
    and raise ConnectionLostError, RequestTimeoutError, ServerUnreachableError, NotFoundError (no dlq topic or
    partition).
    """

    def __init__(self, subscriber: MessageSubscriber) -> None:
        self._subscriber = subscriber
        self._paces: dict[int, PollPace] = {}

    async def messages(
        self, partition: int, *, position: int, max_messages: int = MAX_POLL_MESSAGES
    ) -> Sequence[ReceivedMessage]:
        """Return the messages from `position` on in order, as one poll brings them; nothing at the end of the log.

        Never more than `max_messages`, nor than some 4 MiB by the sizes seen so far: go on at the last position + 1.
        Where retention removed records, the first that is left comes next: look at its position.
        """
        pace = self._paces.get(partition)
        if pace is None:
            pace = self._paces[partition] = PollPace(max_messages=MAX_POLL_MESSAGES, max_idle_delay=0)
        messages = await self._subscriber.poll(partition, offset=position, max_messages=min(pace.count, max_messages))
        pace.polled(messages)
        return messages

    async def read(
        self, partition: int, *, position: int, max_messages: int = MAX_POLL_MESSAGES
    ) -> Sequence[ReadRecord]:
        """Return the same, each message with its record."""
        messages = await self.messages(partition, position=position, max_messages=max_messages)
        return [(message.offset, _opened(message)) for message in messages]

    async def read_at(self, partition: int, *, position: int) -> Opened | None:
        """Return the record at `position`; None when it is gone, not there yet, or no record."""
        messages = await self._subscriber.poll(partition, offset=position, max_messages=1)
        return _opened(messages[0]) if messages and messages[0].offset == position else None

    async def read_first_of(self, partition: int, *, positions: Sequence[int]) -> dict[int, Opened]:
        """Return the records at the first of some positions, as one poll brings them; nothing when the first is gone.

        Others that stand between are read along: positions that are far apart are left to another call.
        """
        near = [at for index, at in enumerate(positions) if 0 <= at - positions[0] <= index * MAX_DISTANCE]
        records = await self.read(partition, position=positions[0], max_messages=near[-1] - positions[0] + 1)
        return {position: opened for position, opened in records if opened is not None}

    async def first_position(self, partition: int) -> int:
        """Return the position of the first message that is left; 0 in a partition that has none."""
        messages = await self._subscriber.poll(partition, offset=0, max_messages=1)
        return messages[0].offset if messages else 0


def _opened(message: ReceivedMessage) -> Opened | None:
    try:
        return decode_record(message.payload, stored_at=message.timestamp)
    except DeadLetterError:
        return None
