"""Reads a pinned range of each partition, all of it: what is missing is an error, never a shorter replay."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence

from rustok_iggy.consumer.pacing import MAX_POLL_MESSAGES, PollPace
from rustok_iggy.errors import ReplayError
from rustok_iggy.replay.log_identity import KnownMessage
from rustok_iggy_connector import ConnectorError, MessageSubscriber, Position, ReceivedMessage, get_logger

log = get_logger(__name__)

BUFFERED_MESSAGES = 8 * MAX_POLL_MESSAGES
"""Of all partitions together: the default eight poll as many as the server is asked for at most; a thousand poll
eight each. In bytes a poll is bounded by PollPace."""
EMPTY_POLLS = 5
"""Polls below the end of a range that may give nothing (a disk fault looks so) until the log is taken to end there."""
PAUSE = 0.2
"""Seconds until a server that did not answer, or gave nothing, is asked again."""
OUTAGE_TIMEOUT = 60.0
"""Seconds for which the server may be away: a restart with recovery takes less."""

Sleep = Callable[[float], Awaitable[None]]


class LogReader:
    """Polls as a reader without a name, which has no offset to store, over a connection that it mends."""

    def __init__(
        self,
        subscriber: MessageSubscriber,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.subscriber = subscriber
        self.sleep = sleep
        self._clock = clock

    async def poll(self, partition_id: int, *, offset: int, max_messages: int) -> Sequence[ReceivedMessage]:
        """Return messages from `offset` on. Raises ConnectorError when no repetition within OUTAGE_TIMEOUT helped."""
        give_up_at = self._clock() + OUTAGE_TIMEOUT
        while True:
            try:
                return await self.subscriber.poll(partition_id, offset=offset, max_messages=max_messages)
            except ConnectorError as error:
                if not error.retryable or self._clock() >= give_up_at:
                    raise
                log.warning("replay_waits_for_server", error=str(error))
            await self._reconnect()

    async def _reconnect(self) -> None:
        await self.sleep(PAUSE)
        try:
            await self.subscriber.assignment()
        except ConnectorError as error:
            if not error.retryable:
                raise


class RangeReader:
    """The messages of one partition from `start` until before `end`, each once, none left out, and none of another log
    than the one whose messages are `known`.
    """

    def __init__(
        self,
        log_reader: LogReader,
        *,
        topic: str,
        partition_id: int,
        start: int,
        end: int,
        partitions: int = 1,
        known: Iterable[KnownMessage] = (),
    ) -> None:
        self.partition_id = partition_id
        self._log_reader = log_reader
        self._topic = topic
        self._next = start
        self._end = end
        self._pace = PollPace(max_messages=max(1, BUFFERED_MESSAGES // partitions), max_idle_delay=PAUSE)
        self._buffer: deque[ReceivedMessage] = deque()
        self._known = {each.offset: each for each in known}

    async def require_same_log(self) -> None:
        """Look at what is known, before anything is read. Raises ReplayError when it is another log, ConnectorError."""
        for offset in self._known:
            for message in await self._log_reader.poll(self.partition_id, offset=offset, max_messages=1):
                self._compare(message)

    async def next(self) -> ReceivedMessage | None:
        """Return the next message, None at the end. Raises ReplayError when some are gone or others, ConnectorError."""
        if not self._buffer and not await self._fill():
            return None
        return self._buffer.popleft()

    async def _fill(self) -> bool:
        for _ in range(EMPTY_POLLS):
            if self._next >= self._end:
                return False
            count = min(self._pace.count, self._end - self._next)
            found = await self._log_reader.poll(self.partition_id, offset=self._next, max_messages=count)
            if found:
                self._pace.polled(found)
                self._take(found)
                return bool(self._buffer)
            await self._log_reader.sleep(PAUSE)
        raise self._gone(f"the log ends before offset {self._next}: nothing of it is left")

    def _take(self, found: Sequence[ReceivedMessage]) -> None:
        for message in found:
            if message.offset != self._next:
                left = max(0, self._end - message.offset)
                raise self._gone(
                    f"offsets {self._next} to {min(message.offset, self._end) - 1} were removed by retention; {left}"
                    + (f" messages are left, from offset {message.offset}" if left else " messages are left")
                )
            self._compare(message)
            self._buffer.append(message)
            self._next += 1

    def _compare(self, message: ReceivedMessage) -> None:
        known = self._known.get(message.offset)
        if known is not None and known.is_another(message):
            raise ReplayError(
                f"topic {self._topic}, partition {self.partition_id}: the log was begun again since the plan was made:"
                f" what stood at offset {known.offset} was stored at {known.stored_at.isoformat()}, and another event"
                " stands there now; make a new plan",
                position=Position(self._topic, self.partition_id, known.offset),
            )

    def _gone(self, what: str) -> ReplayError:
        return ReplayError(
            f"topic {self._topic}, partition {self.partition_id}: {what}, of the range until {self._end}; plan again",
            position=Position(self._topic, self.partition_id, self._next),
        )


async def merged(readers: Sequence[RangeReader]) -> AsyncGenerator[tuple[int, ReceivedMessage], None]:
    """Yield (partition id, message) in the order of storing, as far as each partition's own order allows.

    The same ranges give the same sequence, and the rest of it from wherever the partitions are begun again together.
    All partitions are read from before the first message comes.
    """
    heads = []
    for reader in readers:
        message = await reader.next()
        if message is not None:
            heads.append((message.timestamp, reader.partition_id, message, reader))
    heapq.heapify(heads)
    while heads:
        _, partition_id, message, reader = heads[0]
        yield partition_id, message
        following = await reader.next()
        if following is None:
            heapq.heappop(heads)
        else:
            heapq.heapreplace(heads, (following.timestamp, partition_id, following, reader))
