"""Writes the journal: one append in flight per dlq partition, shared by all owners of this process.

While a batch is under way the next records gather, and go as one batch in call order. A batch is repeated with the same
message ids until it is acknowledged: what a reader takes for a copy must be one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Self

from rustok_iggy.dead_letters.append_queue import AppendQueue, Part, Pen, message_bytes, parts_of
from rustok_iggy.dead_letters.overtaken import OvertakenError
from rustok_iggy.errors import DeadLetterError, TransportClosedError
from rustok_iggy.running import ended
from rustok_iggy_connector import (
    ConnectorClosedError,
    ConnectorError,
    IggyConnector,
    InvalidRequestError,
    LimitExceededError,
    OutgoingMessage,
    PublishBatch,
    get_logger,
)

log = get_logger(__name__)

MAX_QUEUED_RECORDS = 10_000
MAX_QUEUED_BYTES = 64 * 1024 * 1024
"""Above these an append waits, and with it the lane: some seconds of a burst in which every event fails."""
FIRST_RETRY_DELAY = 0.05
LONGEST_RETRY_DELAY = 1.0
"""Seconds; a server that restarts is back within one or two."""
REFUSED_FOR_GOOD = (InvalidRequestError, LimitExceededError)
"""What the server says of a message that it will never take."""

Sleep = Callable[[float], Awaitable[None]]


class _Lane:
    """One dlq partition: what waits, and the task that sends it while there is something."""

    __slots__ = ("queue", "worker")

    def __init__(self) -> None:
        self.queue = AppendQueue()
        self.worker: asyncio.Task[None] | None = None


class JournalAppender:
    """Appends to the partitions of the dlq topic. For one event loop; `async with` ends its tasks.

    Errors of the connector never end it: a batch is sent again after a pause, for as long as any of its owners wants
    it. `trouble` is the last error, None when the last batch was acknowledged.
    """

    def __init__(
        self,
        connector: IggyConnector,
        *,
        stream: str,
        topic: str,
        max_records: int = MAX_QUEUED_RECORDS,
        max_bytes: int = MAX_QUEUED_BYTES,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._connector = connector
        self._stream = stream
        self._topic = topic
        self._max_records = max_records
        self._max_bytes = max_bytes
        self._sleep = sleep
        self._lanes: dict[int, _Lane] = {}
        self._settled: dict[Part, asyncio.Future[int]] = {}
        self._records = 0
        self._bytes = 0
        self._room = asyncio.Event()
        self._closed = False
        self.trouble: ConnectorError | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def submit(self, partition: int, messages: Sequence[OutgoingMessage], *, pen: Pen) -> asyncio.Future[int]:
        """Queue an append behind those before it; the position of its last message, once that is acknowledged.

        Waits while the queue is full. Cancelling the future takes back what was not sent yet. Waiting and the future
        raise OvertakenError when the pen is put down, TransportClosedError; the future also DeadLetterError, when the
        server refuses the messages for good.
        """
        size = sum([message_bytes(message) for message in messages])
        while self._is_full(len(messages), size):
            self._check(pen)
            self._room.clear()
            await self._room.wait()
        self._check(pen)
        lane = self._lanes.setdefault(partition, _Lane())
        parts = list(parts_of(messages, pen=pen))
        for part in parts:
            self._take_in(lane, part)
        if lane.worker is None:
            lane.worker = asyncio.create_task(self._work(partition, lane), name=f"journal-append-{partition}")
        last = self._settled[parts[-1]]
        last.add_done_callback(lambda done: self._take_back(lane, parts) if done.cancelled() else None)
        return last

    def put_down(self, pen: Pen) -> None:
        """Send nothing more of this owner, now and later; what was sent may still land. Idempotent."""
        pen.is_down = True
        for lane in self._lanes.values():
            for part in lane.queue.drop(pen):
                self._fail(part, _lost())
        self._room.set()

    async def aclose(self) -> None:
        """End the tasks; what still waits raises TransportClosedError. Idempotent."""
        self._closed = True
        workers = [lane.worker for lane in self._lanes.values() if lane.worker is not None]
        for worker in workers:
            worker.cancel()
        try:
            await ended(workers)
        finally:
            self._close()

    def _close(self) -> None:
        self._closed = True
        for lane in self._lanes.values():
            lane.queue = AppendQueue()
        for part in tuple(self._settled):
            self._fail(part, _closed())
        self._room.set()

    def _check(self, pen: Pen) -> None:
        if self._closed:
            raise _closed()
        if pen.is_down:
            raise _lost()

    def _is_full(self, records: int, size: int) -> bool:
        # Into an empty queue everything fits: whatever is allowed to be a record must be able to go.
        return self._records > 0 and (
            self._records + records > self._max_records or self._bytes + size > self._max_bytes
        )

    def _take_in(self, lane: _Lane, part: Part) -> None:
        self._settled[part] = asyncio.get_running_loop().create_future()
        self._records += len(part.messages)
        self._bytes += part.size
        lane.queue.add(part)

    def _forget(self, part: Part) -> asyncio.Future[int] | None:
        future = self._settled.pop(part, None)
        if future is not None:
            self._records -= len(part.messages)
            self._bytes -= part.size
            self._room.set()
        return future

    def _fail(self, part: Part, error: Exception) -> None:
        future = self._forget(part)
        if future is not None and not future.done():
            future.set_exception(error)
            future.exception()  # noted: of an append of several parts only the last is waited for

    def _take_back(self, lane: _Lane, parts: Sequence[Part]) -> None:
        lane.queue.remove(parts)
        for part in parts:
            self._forget(part)

    async def _work(self, partition: int, lane: _Lane) -> None:
        try:
            while lane.queue:
                batch = lane.queue.take()
                try:
                    await self._send(partition, lane, batch)
                except Exception as error:  # the task's outermost frame: its callers must hear of it
                    log.exception("journal_append_failed", partition=partition)
                    for part in batch:
                        self._fail(part, DeadLetterError(f"not appended: {type(error).__name__}"))
        finally:
            lane.worker = None

    async def _send(self, partition: int, lane: _Lane, batch: list[Part]) -> None:
        delay = FIRST_RETRY_DELAY
        while wanted := [part for part in batch if part in self._settled and not part.pen.is_down]:
            messages = [message for part in wanted for message in part.messages]
            request = PublishBatch(stream=self._stream, topic=self._topic, partition_id=partition, messages=messages)
            try:
                confirmed = await self._connector.publish_batch(request)
            except REFUSED_FOR_GOOD as error:
                self._refused(lane, wanted, error)
                return
            except ConnectorClosedError:
                self._close()
                return
            except ConnectorError as error:
                self._note(partition, error)
                await self._sleep(delay)
                delay = min(delay * 2, LONGEST_RETRY_DELAY)
            else:
                self.trouble = None
                self._acknowledged(wanted, confirmed.first_offset)
                break
        for part in batch:
            self._fail(part, _lost())

    def _note(self, partition: int, error: ConnectorError) -> None:
        if self.trouble is None:
            log.warning("journal_append_repeated", partition=partition, error=type(error).__name__)
        self.trouble = error

    def _refused(self, lane: _Lane, batch: list[Part], error: ConnectorError) -> None:
        if len(batch) > 1:
            lane.queue.take_apart(batch)
            return
        refusal = DeadLetterError(f"the server refuses {len(batch[0].messages)} records of {batch[0].size} bytes")
        refusal.__cause__ = error
        self._fail(batch[0], refusal)

    def _acknowledged(self, parts: list[Part], position: int) -> None:
        for part in parts:
            position += len(part.messages)
            future = self._forget(part)
            if future is not None and not future.done():
                future.set_result(position - 1)


def _lost() -> OvertakenError:
    return OvertakenError("the partition was lost before the append was acknowledged")


def _closed() -> TransportClosedError:
    return TransportClosedError("the transport was closed before the append was acknowledged")
