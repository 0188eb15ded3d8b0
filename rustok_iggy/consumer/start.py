"""Where a partition is read from, once it is assigned."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from rustok_iggy.consumer.deduplication import SEED, SEED_BYTES
from rustok_iggy.consumer.pacing import MAX_POLL_MESSAGES, PollPace
from rustok_iggy.consumer.subscription import Start
from rustok_iggy.errors import OffsetOutOfRangeError
from rustok_iggy.moments import microseconds
from rustok_iggy_connector import CommittedOffset, MessageSubscriber, Position, TopologyAdmin

BEGIN_ANEW = "it was reset, by a purge, by being made anew or by a crash without durability; groups reset begins anew"
"""What became of such a log, and what to do: docs/runbooks/events-gone.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StartingPoint:
    """The first offset to read, and what is stored (None: nothing, and any first offset is right)."""

    next_offset: int
    stored: int | None


async def starting_point(
    subscriber: MessageSubscriber,
    admin: TopologyAdmin,
    *,
    stream: str,
    topic: str,
    partition_id: int,
    start: Start | datetime,
    has_begun: Callable[[], Awaitable[bool]],
) -> StartingPoint:
    """Return the offset after the committed one, or where a group without an offset begins.

    `latest` and a time are stored at once: otherwise a group that handled nothing yet would begin later each time.
    In an empty partition nothing can be stored, and a reset to the earliest event stores nothing: `has_begun` says
    whether the group was there before.
    Raises OffsetOutOfRangeError when the log is shorter than what is committed, and connector errors.
    """
    found = await subscriber.committed(partition_id)
    if found is not None:
        if log_was_reset(stored=None, found=found):
            position = Position(topic, partition_id, found.committed)
            raise log_reset(position, f"is committed, but the log ends at {found.current}", found=found.current)
        return StartingPoint(next_offset=found.committed + 1, stored=found.committed)
    if start is Start.EARLIEST or await has_begun():
        return StartingPoint(next_offset=0, stored=None)
    first = None
    if isinstance(start, datetime):
        first = await subscriber.first_offset_since(partition_id, timestamp=microseconds(start))
    if first is None:
        described = await admin.describe_topic(stream=stream, topic=topic)
        current = None if described is None else described.current_offsets.get(partition_id)
        first = 0 if current is None else current + 1
    if first == 0:
        return StartingPoint(next_offset=0, stored=None)
    await subscriber.commit(partition_id, offset=first - 1)
    return StartingPoint(next_offset=first, stored=first - 1)


def log_was_reset(*, stored: int | None, found: CommittedOffset | None) -> bool:
    """Whether what the server has of the group's offset says so; `stored` is what it had, None: nothing.

    A purge forgets offsets. A crash without durability may keep them, past the end of the log.
    """
    return stored is not None if found is None else found.committed > found.current


async def check_not_reset(subscriber: MessageSubscriber, position: Position, *, stored: int | None) -> None:
    """Raise OffsetOutOfRangeError when the log was reset after `position` was done. Raises connector errors.

    A poll alone does not tell it: where a disk fails, and at a node that is behind, the log also seems to end early.
    """
    found = await subscriber.committed(position.partition_id)
    if log_was_reset(stored=stored, found=found):
        raise log_reset(position, "is done, but the log ends before it", found=None)


def log_reset(position: Position, what: str, *, found: int | None) -> OffsetOutOfRangeError:
    """Return the error for a log that was begun again since `position` was known; `what` says of it what shows that."""
    return OffsetOutOfRangeError(
        f"topic {position.topic}, partition {position.partition_id}: offset {position.offset} {what}: {BEGIN_ANEW}",
        topic=position.topic,
        partition_id=position.partition_id,
        expected=position.offset + 1,
        found=found,
    )


async def recent_ids(
    subscriber: MessageSubscriber,
    partition_id: int,
    *,
    committed: int,
    count: int = SEED,
    max_bytes: int = SEED_BYTES,
) -> list[int]:
    """Return the ids of the last messages up to the committed one, oldest first; fewer when they are large.

    Raises connector errors.
    """
    pace = PollPace(max_messages=MAX_POLL_MESSAGES, max_idle_delay=0)
    found: list[int] = []
    last, size = committed, 0
    while last >= 0 and len(found) < count and size < max_bytes:
        chunk = min(pace.count, count - len(found), last + 1)
        first = last - chunk + 1
        messages = await subscriber.peek(partition_id, offset=first, max_messages=chunk)
        # Below the first retained offset the server returns what it has: then these are the last ones to be had.
        wanted = [message for message in messages if message.offset <= last]
        found += [message.id for message in reversed(wanted)]
        if not wanted or wanted[0].offset > first:
            break
        pace.polled(wanted)
        size += sum(len(message.payload) for message in wanted)
        last = first - 1
    return found[::-1]
