"""The coalescing publisher: while a batch of a partition is under way the next gathers, and goes as one batch.

One worker per (topic, partition) sends one batch at a time and repeats it, with the same message ids, until it is
confirmed, refused for good, or the time of all in it is over. Nothing waits on a timer to grow.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import replace
from math import inf
from uuid import UUID

from rustok_iggy.backpressure import BackpressureController
from rustok_iggy.durations import Durations
from rustok_iggy.errors import TransportClosedError
from rustok_iggy.publish_admission import Admission, Entrant
from rustok_iggy.publish_attempt import GaveUp, PublishAttempt
from rustok_iggy.publish_expiry import Expiry
from rustok_iggy.publish_lane import Call, Lane, PartitionMessages, PendingSubmission, ProducerStatistics
from rustok_iggy.publish_outage import PublishOutage
from rustok_iggy.publish_queue import Batch, PublishFailure, PublishStatus, Submission
from rustok_iggy.running import ended
from rustok_iggy_connector import (
    ConnectorError,
    IggyConnector,
    OutgoingMessage,
    PublishBatch,
    RequestTimeoutError,
    get_logger,
)

log = get_logger(__name__)


class Producer:
    """Publishes to the topics of one stream. For one event loop.

    Order: events of one partition are stored in the order of the calls that took them. Cancelling a caller does not
    take back what has entered the queue; a call that still waits for room leaves without a trace. `sleep` and `jitter`
    (a number from 0 to 1) are for tests.
    """

    def __init__(
        self,
        connector: IggyConnector,
        *,
        stream: str,
        timeout: float,
        backpressure: BackpressureController | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._connector = connector
        self._stream = stream
        self._timeout = timeout
        self._sleep = sleep
        self._jitter = jitter
        self._loop = asyncio.get_running_loop()
        self._lanes: dict[tuple[str, int], Lane] = {}
        self._closed = False
        self._backpressure = backpressure or BackpressureController()
        self._admission: Admission[Call] = Admission(self._backpressure)
        self._counted = ProducerStatistics()
        self._outage = PublishOutage()
        self._seconds = Durations()

    @property
    def statistics(self) -> ProducerStatistics:
        """As they are now: a copy."""
        return replace(
            self._counted,
            queued=self._backpressure.depth,
            queued_bytes=self._backpressure.queued_bytes,
            waiting=self._admission.waiting_events,
            rejected=self._backpressure.rejected,
            backpressure=self._backpressure.state,
            seconds=self._seconds.taken(),
            outage=self._outage.reason(now=self._loop.time()),
        )

    async def publish(self, message: OutgoingMessage, *, topic: str, partition_id: int, tenant_id: UUID) -> int:
        """Store one message; its offset.

        Raises what the connector raises when it is not confirmed in time, PredecessorFailedError, BackpressureError,
        TransportClosedError.
        """
        self.require_open()
        lane = self._lanes.get((topic, partition_id)) or self._open_lane(topic, partition_id)
        submission = self._submission((message,), (tenant_id,))
        if not self._admission.enter_at_once(submission.size, count=1):
            await self._enter(((lane, submission),))
        elif lane.is_idle:
            await self._send_alone(lane, submission)
        else:
            lane.add(submission)
        await submission.wait()
        if submission.failures:
            raise submission.failures[0].error
        return submission.confirmed[0][1]

    async def publish_together(self, parts: Sequence[PartitionMessages]) -> list[PendingSubmission]:
        """Queue the messages of one call, all or none, and return what became of them, in the order of `parts`.

        They are queued before the first await when there is room. Raises BackpressureError, TransportClosedError, and
        ValidationError for more than the queue can hold: nothing was sent.
        """
        self.require_open()
        pending = [
            (
                self._lanes.get((part.topic, part.partition_id)) or self._open_lane(part.topic, part.partition_id),
                self._submission(part.messages, part.tenants),
            )
            for part in parts
        ]
        count = sum([len(submission.messages) for _, submission in pending])
        if not count or self._admission.enter_at_once(sum([each.size for _, each in pending]), count=count):
            for lane, submission in pending:
                lane.add(submission)
        else:
            await self._enter(pending)
        for _, submission in pending:
            await submission.wait()
        return [submission for _, submission in pending]

    def require_open(self) -> None:
        """Raise TransportClosedError when closed."""
        if self._closed:
            raise TransportClosedError("the transport is closed; nothing was sent")

    async def _enter(self, parts: Sequence[tuple[Lane, PendingSubmission]]) -> None:
        """Queue what one call publishes when there is room for it."""
        submissions = [submission for _, submission in parts]
        entrant = Entrant(
            Call(parts),
            count=sum([len(submission.messages) for submission in submissions]),
            size=sum([submission.size for submission in submissions]),
        )
        for submission in submissions:
            submission.call = entrant
        if self._admission.enter(entrant):
            self._let_in([entrant])
        else:
            await self._wait_for_room(entrant)

    async def _wait_for_room(self, entrant: Entrant[Call]) -> None:
        call = entrant.call
        admitted = call.admitted = self._loop.create_future()
        try:
            async with asyncio.timeout_at(call.deadline):
                await admitted
        except TimeoutError:
            if admitted.cancelled():
                raise self._admission.refusal(f"not taken within {self._timeout:g} s") from None
        finally:
            if admitted.cancelled():
                self._let_in(self._admission.withdraw(entrant))

    def _let_in(self, entrants: list[Entrant[Call]]) -> None:
        """Queue calls that waited; what of them failed meanwhile gives its places back, which lets in more."""
        while entrants:
            following: list[Entrant[Call]] = []
            for entrant in entrants:
                for lane, submission in entrant.call.parts:
                    if submission.pending:
                        lane.add(submission)
                    else:
                        following += self._admission.give_back(submission.size, count=len(submission.messages))
                entrant.call.end_waiting()
            entrants = following

    async def aclose(self, *, timeout: float) -> None:
        """Take no more, wait `timeout` seconds for what is queued, fail the rest. Idempotent."""
        self._closed = True
        self._turn_away()
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
            await ended(workers)

    def _turn_away(self) -> None:
        """Fail what still waits for room: it was not taken."""
        error = TransportClosedError("the transport closed before the event was taken; nothing was sent")
        failure = PublishFailure(PublishStatus.UNSENT, error)
        for entrant in reversed(self._admission.waiting):  # from behind: nobody enters in place of another
            for _, submission in entrant.call.parts:
                if submission.unsettled:
                    submission.fail(submission.pending, failure)
                    submission.pending = ()
                    self._settle((submission,))

    def _fail_what_is_left(self, lanes: Iterable[Lane]) -> None:
        unknown = unsent = 0
        for lane in lanes:
            if lane.in_flight is not None:
                unknown += lane.in_flight.unsettled_events
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

    def _open_lane(self, topic: str, partition_id: int) -> Lane:
        lane = self._lanes[topic, partition_id] = Lane(topic, partition_id)
        lane.worker = self._loop.create_task(self._work(lane), name=f"publish {lane.name}")
        return lane

    def _submission(self, messages: Sequence[OutgoingMessage], tenants: Sequence[UUID]) -> PendingSubmission:
        deadline = self._loop.time() + self._timeout
        return PendingSubmission(messages, tenants, deadline=deadline)

    async def _send_alone(self, lane: Lane, submission: PendingSubmission) -> None:
        """Send from the caller's own task, when nothing of the partition waits: it saves two turns of the loop.

        What does not succeed at once, also because the caller is cancelled, is left to the worker to repeat.
        """
        batch = lane.in_flight = Batch(submission.messages, [(submission, range(1))])
        submission.pending = ()
        try:
            with lane.timeout.at(submission.deadline):
                confirmation = await self._connector.publish_batch(self._request(lane, batch))
        except (ConnectorError, TimeoutError, asyncio.CancelledError) as error:
            attempt = lane.unfinished = PublishAttempt()
            attempt.begin()
            if isinstance(error, ConnectorError):
                self._not_sent(attempt, error)
            else:
                attempt.unknown = True
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

    async def _work(self, lane: Lane) -> None:
        while True:
            if lane.in_flight is not None and lane.unfinished is not None:
                batch, attempt = lane.in_flight, lane.unfinished
                lane.unfinished = None
            elif lane.in_flight is None and lane.queue:
                now = self._loop.time()
                batch, attempt = lane.queue.take(now=now), PublishAttempt()
                lane.in_flight = batch
                if batch.first_deadline <= now:
                    self._failed(lane, batch, self._waited_too_long())
                    continue
            elif lane.in_flight is None and self._closed:
                return
            else:
                lane.wakeup = self._loop.create_future()
                await lane.wakeup
                continue
            try:
                first_offset = await self._send(lane, batch, attempt)
            except GaveUp as given_up:
                self._failed(lane, batch, given_up.failure)
            except Exception as error:  # the outermost frame: a bug fails its batch, and does not hang all later ones
                log.exception("publish_broke", partition=lane.name)
                self._failed(lane, batch, PublishFailure(PublishStatus.UNKNOWN, error))
            else:
                self._confirmed(lane, batch, first_offset)
                if len(batch.messages) > 1:
                    await asyncio.sleep(0)  # those just confirmed have their turn: their next belong into one batch

    async def _send(self, lane: Lane, batch: Batch, attempt: PublishAttempt) -> int:
        """Send until confirmed; the first offset. Raises GaveUp with what to tell those who still wait."""

        def expire() -> None:
            self._give_up(lane, batch, attempt.failure(self._timeout), now=self._loop.time())

        try:
            async with asyncio.timeout(None) as limit:  # ended by Expiry
                with Expiry(batch, limit=limit, expire=expire):
                    return await self._sent(lane, batch, attempt)
        except TimeoutError:
            raise GaveUp(attempt.failure(self._timeout)) from attempt.error

    async def _sent(self, lane: Lane, batch: Batch, attempt: PublishAttempt) -> int:
        repeating = False
        try:
            while True:
                if not attempt.is_first:
                    attempt.require_retryable(self._timeout)
                    self._counted.retrying += not repeating
                    repeating = True
                    self._counted.retries += 1
                    log.warning("publish_repeated", partition=lane.name, error=str(attempt.error))
                    await self._sleep(attempt.delay * (1 + self._jitter() / 2))
                    batch.leave_out_settled()
                    if not batch.messages:
                        raise TimeoutError("all were told meanwhile that their time is over")
                attempt.begin()
                try:
                    return (await self._connector.publish_batch(self._request(lane, batch))).first_offset
                except ConnectorError as error:
                    self._not_sent(attempt, error)
        finally:
            self._counted.retrying -= repeating

    def _not_sent(self, attempt: PublishAttempt, error: ConnectorError) -> None:
        attempt.failed(error)
        self._outage.failed(error, now=self._loop.time())

    def _request(self, lane: Lane, batch: Batch) -> PublishBatch:
        return PublishBatch(
            stream=self._stream, topic=lane.topic, partition_id=lane.partition_id, messages=batch.messages
        )

    def _confirmed(self, lane: Lane, batch: Batch, first_offset: int) -> None:
        if lane.in_flight is not batch:
            return  # too late: its callers were told that the transport has closed
        lane.in_flight = None
        self._counted.batches += 1
        self._outage.over()
        self._settle(lane.queue.confirm(batch, first_offset))

    def _waited_too_long(self) -> PublishFailure:
        error = self._admission.refusal(f"not sent: {self._timeout:g} s passed behind earlier events of its partition")
        return PublishFailure(PublishStatus.UNSENT, error)

    def _failed(self, lane: Lane, batch: Batch, failure: PublishFailure) -> None:
        if lane.in_flight is batch:
            lane.in_flight = None
            self._give_up(lane, batch, failure)

    def _give_up(self, lane: Lane, batch: Batch, failure: PublishFailure, *, now: float = inf) -> None:
        """Settle what of the batch has no time left at `now`, and what its tenants have behind it."""
        behind = [
            submission
            for entrant in self._admission.waiting
            for waits_for, submission in entrant.call.parts
            if waits_for is lane and submission.unsettled
        ]
        before = batch.unsettled_events
        settled = lane.queue.fail(batch, failure, now=now, behind=behind)
        if events := before - batch.unsettled_events:
            status, error = failure.status.value, type(failure.error).__name__
            log.error("publish_failed", partition=lane.name, events=events, status=status, error=error)
        self._settle(settled)

    def _settle(self, submissions: Iterable[Submission]) -> None:
        counted, began_before = self._counted, self._timeout + self._loop.time()
        events = size = 0
        for submission in submissions:
            assert isinstance(submission, PendingSubmission), "only pending submissions are queued"
            if not submission.failures:  # each was given `timeout` seconds when it began
                self._seconds.add(began_before - submission.deadline)
            counted.confirmed += len(submission.messages) - len(submission.failures)
            for failure in submission.failures.values():
                name = failure.status.value
                setattr(counted, name, getattr(counted, name) + 1)
            submission.wake()
            entrant = submission.call
            if entrant is None or entrant.entered:
                events += len(submission.messages)
                size += submission.size
            elif not any(other.unsettled for _, other in entrant.call.parts):
                self._let_in(self._admission.withdraw(entrant))
                entrant.call.end_waiting()
        self._let_in(self._admission.give_back(size, count=events))
