"""One partition on its way to the server: its queue, its worker, its batch under way, and who waits for the outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from rustok_iggy.backpressure import BackpressureState
from rustok_iggy.durations import NONE_TAKEN, DurationsTaken
from rustok_iggy.health import ComponentHealth, component
from rustok_iggy.publish_admission import Entrant
from rustok_iggy.publish_attempt import PublishAttempt
from rustok_iggy.publish_queue import Batch, PartitionQueue, Submission
from rustok_iggy_connector import AlarmTimeout, OutgoingMessage


class PendingSubmission(Submission):
    """A submission someone waits for.

    `call` is the call it belongs to when that had to ask for places and wait; None: it has them since it began.
    `settled` is there once somebody waits; it gets no value, the outcome is in the submission.
    """

    __slots__ = ("call", "settled")

    def __init__(self, messages: Sequence[OutgoingMessage], tenants: Sequence[UUID], *, deadline: float) -> None:
        super().__init__(messages, tenants, deadline=deadline)
        self.settled: asyncio.Future[None] | None = None
        self.call: Entrant[Call] | None = None

    async def wait(self) -> None:
        """Return when it is settled. For one waiter; its cancellation changes nothing."""
        if self.unsettled:
            self.settled = asyncio.get_running_loop().create_future()
            await self.settled

    def wake(self) -> None:
        """It is settled."""
        if self.settled is not None and not self.settled.done():  # done: its caller was cancelled
            self.settled.set_result(None)


class Lane:
    """One partition: its queue, its worker, and the batch under way.

    `unfinished` is a batch whose first try was made by its caller, with `timeout`; the worker repeats it before
    anything else.
    """

    __slots__ = ("in_flight", "partition_id", "queue", "timeout", "topic", "unfinished", "wakeup", "worker")

    def __init__(self, topic: str, partition_id: int) -> None:
        self.topic = topic
        self.partition_id = partition_id
        self.queue = PartitionQueue()
        self.in_flight: Batch | None = None
        self.unfinished: PublishAttempt | None = None
        self.timeout = AlarmTimeout()
        self.wakeup: asyncio.Future[None] | None = None
        self.worker: asyncio.Task[None] | None = None

    @property
    def name(self) -> str:
        return f"{self.topic}/{self.partition_id}"

    @property
    def is_idle(self) -> bool:
        """Nothing is queued or under way, and the worker waits: it is not about to take what is queued next."""
        return self.wakeup is not None and self.in_flight is None and not self.queue

    def add(self, submission: PendingSubmission) -> None:
        """Queue it behind earlier ones."""
        self.queue.add(submission)
        self.wake()

    def wake(self) -> None:
        wakeup, self.wakeup = self.wakeup, None
        if wakeup is not None and not wakeup.done():  # done: the worker was cancelled
            wakeup.set_result(None)


@dataclass(slots=True)
class PartitionMessages:
    """What one call publishes to one partition, in order; `tenants` are those of the messages."""

    topic: str
    partition_id: int
    messages: Sequence[OutgoingMessage]
    tenants: Sequence[UUID]


@dataclass(slots=True)
class Call:
    """What one call publishes: a submission per partition. `admitted` is set when it enters, or is settled outside."""

    parts: Sequence[tuple[Lane, PendingSubmission]]
    admitted: asyncio.Future[None] | None = None

    @property
    def deadline(self) -> float:
        return self.parts[0][1].deadline

    def end_waiting(self) -> None:
        if self.admitted is not None and not self.admitted.done():
            self.admitted.set_result(None)


@dataclass(slots=True, kw_only=True)
class ProducerStatistics:
    """Events since the start: taken = confirmed + failed + unknown + unsent + queued. `queued` includes in flight.

    `waiting` are those that wait for room outside of the queue, `rejected` those that were refused for want of it;
    neither was taken.
    """

    confirmed: int = 0
    failed: int = 0
    unknown: int = 0
    unsent: int = 0
    queued: int = 0
    queued_bytes: int = 0
    waiting: int = 0
    rejected: int = 0
    backpressure: BackpressureState = BackpressureState.NORMAL
    batches: int = 0
    retries: int = 0
    retrying: int = 0
    """Partitions whose batch failed and is being repeated right now."""
    seconds: DurationsTaken = NONE_TAKEN
    """From publish() to its confirmation; a batch counts once for each of its partitions."""
    outage: str | None = None
    """Why nothing is confirmed any more; None when something is, or nothing was tried lately."""

    def health(self) -> ComponentHealth:
        """Degraded when a batch is repeated or the queue fills up, unhealthy when nothing is taken or confirmed."""
        degraded = []
        if self.retrying:
            degraded.append(f"{self.retrying} partitions wait for the server to take a batch again")
        full = f"{self.queued} events ({self.queued_bytes} bytes) are queued"
        if self.backpressure is BackpressureState.WARNING:
            degraded.append(full)
        unhealthy = [full] if self.backpressure is BackpressureState.CRITICAL else []
        if self.outage is not None:
            unhealthy.append(self.outage)
        return component(degraded=tuple(degraded), unhealthy=tuple(unhealthy))
