"""The coalescing publisher: while a batch of a partition is under way the next gathers, and goes as one batch.

One worker per (topic, partition) sends one batch at a time and repeats it, with the same message ids, until it is
confirmed, refused for good, or its time is over. Nothing waits on a timer to grow.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from rustok_iggy.errors import BackpressureError, TransportClosedError
from rustok_iggy.publish_attempt import PublishAttempt
from rustok_iggy.publish_queue import Batch, PartitionQueue, PublishFailure, PublishStatus, Submission
from rustok_iggy_connector import (
    ConnectorError,
    IggyConnector,
    OutgoingMessage,
    PublishBatch,
    RequestTimeoutError,
    get_logger,
)

log = get_logger(__name__)

MAX_QUEUED_EVENTS = 100_000
MAX_QUEUED_BYTES = 256 * 1024 * 1024
"""Nothing more is taken above these: half a minute of a stalled server at 3000 events a second."""


class PendingSubmission(Submission):
    """A submission someone waits for; `settled` gets no value, the outcome is in the submission."""

    __slots__ = ("settled",)

    def __init__(
        self,
        messages: Sequence[OutgoingMessage],
        tenants: Sequence[UUID],
        *,
        deadline: float,
        settled: asyncio.Future[None],
    ) -> None:
        super().__init__(messages, tenants, deadline=deadline)
        self.settled = settled


class _Lane:
    """One partition: its queue, its worker, and the batch under way.

    `unfinished` is a batch whose first try was made by its caller; the worker repeats it before anything else.
    """

    __slots__ = ("in_flight", "partition_id", "queue", "topic", "unfinished", "wakeup", "worker")

    def __init__(self, topic: str, partition_id: int) -> None:
        self.topic = topic
        self.partition_id = partition_id
        self.queue = PartitionQueue()
        self.in_flight: Batch | None = None
        self.unfinished: PublishAttempt | None = None
        self.wakeup: asyncio.Future[None] | None = None
        self.worker: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return f"{self.topic}/{self.partition_id}"

    @property
    def is_idle(self) -> bool:
        """Nothing is queued or under way, and the worker waits: it is not about to take what is queued next."""
        return self.wakeup is not None and self.in_flight is None and not self.queue

    def wake(self) -> None:
        wakeup, self.wakeup = self.wakeup, None
        if wakeup is not None and not wakeup.done():  # done: the worker was cancelled
            wakeup.set_result(None)


@dataclass(slots=True, kw_only=True)
class ProducerStatistics:
    """Events since the start: taken = confirmed + failed + unknown + unsent + queued. `queued` includes in flight."""

    confirmed: int = 0
    failed: int = 0
    unknown: int = 0
    unsent: int = 0
    queued: int = 0
    queued_bytes: int = 0
    batches: int = 0
    retries: int = 0
    retrying: int = 0
    """Partitions whose batch failed and is being repeated right now."""


class Producer:
    """Publishes to the topics of one stream. For one event loop.

    Order: events of one partition are stored in the order of the calls that took them. Cancelling a caller does not
    take back what it submitted. `sleep` and `jitter` (a number from 0 to 1) are for tests.
    """

    def __init__(
        self,
        connector: IggyConnector,
        *,
        stream: str,
        timeout: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._connector = connector
        self._stream = stream
        self._timeout = timeout
        self._sleep = sleep
        self._jitter = jitter
        self._loop = asyncio.get_running_loop()
        self._lanes: dict[tuple[str, int], _Lane] = {}
        self._closed = False
        self.statistics = ProducerStatistics()

    async def publish(self, message: OutgoingMessage, *, topic: str, partition_id: int, tenant_id: UUID) -> int:
        """Store one message; its offset.

        Raises what the connector raises when it is not confirmed in time, PredecessorFailedError, BackpressureError,
        TransportClosedError.
        """
        self.require_room()
        lane = self._lanes.get((topic, partition_id)) or self._open_lane(topic, partition_id)
        submission = self._submission((message,), (tenant_id,))
        if lane.is_idle:
            await self._send_alone(lane, submission)
        else:
            lane.queue.add(submission)
            lane.wake()
        if submission.unsettled:
            await submission.settled
        if submission.failures:
            raise submission.failures[0].error
        return submission.confirmed[0][1]

    def require_room(self) -> None:
        """Raise TransportClosedError when closed, BackpressureError when too much is queued already."""
        if self._closed:
            raise TransportClosedError("the transport is closed; nothing was sent")
        depth, queued_bytes = self.statistics.queued, self.statistics.queued_bytes
        if depth >= MAX_QUEUED_EVENTS or queued_bytes >= MAX_QUEUED_BYTES:
            raise BackpressureError(
                f"{depth} events wait to be published; publish more slowly, or look why the server is slow",
                depth=depth,
                queued_bytes=queued_bytes,
            )

    def submit(
        self, messages: Sequence[OutgoingMessage], *, topic: str, partition_id: int, tenants: Sequence[UUID]
    ) -> PendingSubmission:
        """Queue messages for one partition, at least one; await `settled` of what is returned.

        Ask `require_room` before: a call's events are all queued, or none.
        """
        lane = self._lanes.get((topic, partition_id)) or self._open_lane(topic, partition_id)
        submission = self._submission(messages, tenants)
        lane.queue.add(submission)
        lane.wake()
        return submission

    async def aclose(self, *, timeout: float) -> None:
        """Take no more, wait `timeout` seconds for what is queued, fail the rest. Idempotent."""
        self._closed = True
        lanes = list(self._lanes.values())
        for lane in lanes:
            lane.wake()
        workers = [lane.worker for lane in lanes if lane.worker is not None]
        if not workers:
            return
        try:
            await asyncio.wait(workers, timeout=timeout)
        finally:
            for worker in workers:
                worker.cancel()
            self._fail_what_is_left(lanes)
        await asyncio.wait(workers)

    def _fail_what_is_left(self, lanes: Iterable[_Lane]) -> None:
        unknown = unsent = 0
        for lane in lanes:
            if lane.in_flight is not None:
                unknown += len(lane.in_flight.messages)
                error = RequestTimeoutError(
                    "the transport closed before the server confirmed; the event may be stored",
                    command="publish",
                    timeout=self._timeout,
                )
                self._failed(lane, lane.in_flight, PublishFailure(PublishStatus.UNKNOWN, error))
            left = lane.queue.abandon(TransportClosedError("the transport closed before the event was sent"))
            unsent += sum(len(submission.failures) for submission in left)
            self._settle(left)
        if unknown or unsent:
            log.error("publishes_failed_at_close", unknown=unknown, unsent=unsent)

    def _open_lane(self, topic: str, partition_id: int) -> _Lane:
        lane = self._lanes[topic, partition_id] = _Lane(topic, partition_id)
        lane.worker = self._loop.create_task(self._work(lane), name=f"publish {lane.name}")
        return lane

    def _submission(self, messages: Sequence[OutgoingMessage], tenants: Sequence[UUID]) -> PendingSubmission:
        submission = PendingSubmission(
            messages,
            tenants,
            deadline=self._loop.time() + self._timeout,
            settled=self._loop.create_future(),
        )
        self.statistics.queued += len(messages)
        self.statistics.queued_bytes += submission.size
        return submission

    async def _send_alone(self, lane: _Lane, submission: PendingSubmission) -> None:
        """Send from the caller's own task, when nothing of the partition waits: it saves two turns of the loop.

        What does not succeed at once, also because the caller is cancelled, is left to the worker to repeat.
        """
        batch = lane.in_flight = Batch(submission.messages, [(submission, range(1))], submission.size)
        submission.pending = ()
        attempt = PublishAttempt()
        attempt.begin()
        try:
            async with asyncio.timeout_at(submission.deadline):
                confirmation = await self._connector.publish_batch(self._request(lane, batch))
        except (ConnectorError, TimeoutError, asyncio.CancelledError) as error:
            if isinstance(error, ConnectorError):
                attempt.failed(error)
            else:
                attempt.unknown = True
            lane.unfinished = attempt
            lane.wake()
            if isinstance(error, asyncio.CancelledError):
                raise
        except Exception as error:  # as in the worker: a bug fails its batch, and does not hang all later ones
            log.exception("publish_broke", partition=lane.name)
            self._failed(lane, batch, PublishFailure(PublishStatus.UNKNOWN, error))
            lane.wake()
        else:
            self._confirmed(lane, batch, confirmation.first_offset)
            if lane.queue or self._closed:
                lane.wake()

    async def _work(self, lane: _Lane) -> None:
        while True:
            if lane.in_flight is not None and lane.unfinished is not None:
                batch, attempt = lane.in_flight, lane.unfinished
                lane.unfinished = None
            elif lane.in_flight is None and lane.queue:
                batch, attempt = lane.queue.take(), PublishAttempt()
                lane.in_flight = batch
            elif lane.in_flight is None and self._closed:
                return
            else:
                lane.wakeup = self._loop.create_future()
                await lane.wakeup
                continue
            try:
                first_offset = await self._send(lane, batch, attempt)
            except _GaveUp as given_up:
                self._failed(lane, batch, given_up.failure)
            except Exception as error:  # the outermost frame: a bug fails its batch, and does not hang all later ones
                log.exception("publish_broke", partition=lane.name)
                self._failed(lane, batch, PublishFailure(PublishStatus.UNKNOWN, error))
            else:
                self._confirmed(lane, batch, first_offset)
                if len(batch.messages) > 1:
                    # Those just confirmed get their turn: what they publish next belongs into the next batch.
                    await asyncio.sleep(0)

    async def _send(self, lane: _Lane, batch: Batch, attempt: PublishAttempt) -> int:
        """Send until confirmed; the first offset. Raises _GaveUp."""
        if attempt.is_first and self._loop.time() >= batch.deadline:
            raise _GaveUp(self._expired())
        request = self._request(lane, batch)
        repeating = False
        try:
            async with asyncio.timeout_at(batch.deadline):
                while True:
                    if not attempt.is_first:
                        self._require_retryable(attempt)
                        self.statistics.retrying += not repeating
                        repeating = True
                        self.statistics.retries += 1
                        log.warning("publish_repeated", partition=lane.name, error=str(attempt.error))
                        await self._sleep(attempt.delay * (1 + self._jitter() / 2))
                    attempt.begin()
                    try:
                        return (await self._connector.publish_batch(request)).first_offset
                    except ConnectorError as error:
                        attempt.failed(error)
        except TimeoutError:
            raise _GaveUp(attempt.failure(self._timeout)) from attempt.error
        finally:
            self.statistics.retrying -= repeating

    def _require_retryable(self, attempt: PublishAttempt) -> None:
        if attempt.error is not None and not attempt.error.retryable:
            raise _GaveUp(attempt.failure(self._timeout)) from attempt.error

    def _request(self, lane: _Lane, batch: Batch) -> PublishBatch:
        return PublishBatch(
            stream=self._stream, topic=lane.topic, partition_id=lane.partition_id, messages=batch.messages
        )

    def _confirmed(self, lane: _Lane, batch: Batch, first_offset: int) -> None:
        lane.in_flight = None
        self.statistics.batches += 1
        self._settle(lane.queue.confirm(batch, first_offset))

    def _expired(self) -> PublishFailure:
        error = BackpressureError(
            f"not sent: {self._timeout:g} s passed behind earlier events of its partition",
            depth=self.statistics.queued,
            queued_bytes=self.statistics.queued_bytes,
        )
        return PublishFailure(PublishStatus.UNSENT, error)

    def _failed(self, lane: _Lane, batch: Batch, failure: PublishFailure) -> None:
        lane.in_flight = None
        log.error(
            "publish_failed",
            partition=lane.name,
            events=len(batch.messages),
            status=failure.status.value,
            error=type(failure.error).__name__,
        )
        self._settle(lane.queue.fail(batch, failure))

    def _settle(self, submissions: Iterable[Submission]) -> None:
        statistics = self.statistics
        for submission in submissions:
            assert isinstance(submission, PendingSubmission), "only pending submissions are queued"
            statistics.queued -= len(submission.messages)
            statistics.queued_bytes -= submission.size
            statistics.confirmed += len(submission.messages) - len(submission.failures)
            for failure in submission.failures.values():
                name = failure.status.value
                setattr(statistics, name, getattr(statistics, name) + 1)
            if not submission.settled.done():  # its caller may have been cancelled
                submission.settled.set_result(None)


class _GaveUp(Exception):  # noqa: N818 - a signal between two methods of this file
    def __init__(self, failure: PublishFailure) -> None:
        self.failure = failure
        super().__init__(failure.status)
