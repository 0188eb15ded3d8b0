"""What waits to be published to one partition, and what goes next. Decides only: producer.py sends.

Rules (names of the invariants in the tests):
- call order: events leave in the order of the calls; one batch at a time is taken and settled before the next.
- no overtaking: when a batch fails for good, what is queued of its tenants is not sent; other tenants go on.
- every event is settled once: confirmed, failed, unknown or unsent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from uuid import UUID

from rustok_iggy.errors import PredecessorFailedError
from rustok_iggy_connector import OutgoingMessage

MAX_BATCH_MESSAGES = 1000
"""Measured on iggy-server: a batch of 1000 reaches 1.1 M/s, more gains nothing and holds others up."""
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""A batch is copied several times on its way; the server's own bound is 64 MiB."""


class PublishStatus(StrEnum):
    """What became of one event."""

    CONFIRMED = "confirmed"
    """The server has it."""
    FAILED = "failed"
    """The server does not have it."""
    UNKNOWN = "unknown"
    """The server may have it: repeat it only as the same envelope."""
    UNSENT = "unsent"
    """It was not sent, because an earlier event of its tenant was not confirmed, or the transport closed."""


@dataclass(frozen=True, slots=True)
class PublishFailure:
    """Why an event was not confirmed."""

    status: PublishStatus
    error: Exception


class Submission:
    """Events of one call for one partition, in order, each with its tenant; `deadline` in seconds of the loop's clock.

    `confirmed` holds (indexes, offset of the first of them), `failures` index → why.
    """

    __slots__ = ("confirmed", "deadline", "failures", "messages", "pending", "size", "tenants", "unsettled")

    def __init__(self, messages: Sequence[OutgoingMessage], tenants: Sequence[UUID], *, deadline: float) -> None:
        self.messages = messages
        self.tenants = tenants
        self.deadline = deadline
        self.size = sum([len(message.payload) for message in messages])
        self.confirmed: list[tuple[Sequence[int], int]] = []
        self.failures: dict[int, PublishFailure] = {}
        self.pending: Sequence[int] = range(len(messages))
        self.unsettled = len(messages)

    def fail(self, indexes: Iterable[int], failure: PublishFailure) -> None:
        """Settle events as not confirmed."""
        before = len(self.failures)
        self.failures.update(dict.fromkeys(indexes, failure))
        self.unsettled -= len(self.failures) - before


@dataclass(slots=True)
class Batch:
    """What goes to the server at once. `parts`: the submissions it comes from, and which of their events."""

    messages: Sequence[OutgoingMessage]
    parts: list[tuple[Submission, Sequence[int]]]
    size: int

    @property
    def deadline(self) -> float:
        return min(submission.deadline for submission, _ in self.parts)


class PartitionQueue:
    """The events of one partition that are not yet sent."""

    def __init__(self) -> None:
        self._waiting: deque[Submission] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, submission: Submission) -> None:
        """Put a call's events behind those of earlier calls."""
        self._waiting.append(submission)

    def take(self, *, now: float = -inf) -> Batch:
        """Remove and return the events that go next, at least one. The queue must not be empty.

        Those whose deadline is over at `now` come by themselves: they are not to be sent, and take nobody along.
        """
        first = self._waiting[0]
        if len(self._waiting) == 1 and _fits(first):
            self._waiting.popleft()
            batch = Batch(first.messages, [(first, first.pending)], first.size)
            first.pending = ()
            return batch
        messages: list[OutgoingMessage] = []
        parts: list[tuple[Submission, Sequence[int]]] = []
        size = 0
        while self._waiting and len(messages) < MAX_BATCH_MESSAGES:
            submission = self._waiting[0]
            if submission.deadline > now >= first.deadline:
                break
            pending = submission.pending
            fitting = 0
            for index in pending[: MAX_BATCH_MESSAGES - len(messages)]:
                message = submission.messages[index]
                if messages and size + len(message.payload) > MAX_BATCH_BYTES:
                    break
                messages.append(message)
                size += len(message.payload)
                fitting += 1
            if fitting:
                parts.append((submission, pending[:fitting]))
                submission.pending = pending[fitting:]
            if submission.pending:
                break
            self._waiting.popleft()
        return Batch(messages, parts, size)

    def confirm(self, batch: Batch, first_offset: int) -> list[Submission]:
        """Record that the batch stands at `first_offset`; return the submissions that are settled with it."""
        for submission, indexes in batch.parts:
            submission.confirmed.append((indexes, first_offset))
            submission.unsettled -= len(indexes)
            first_offset += len(indexes)
        return [submission for submission, _ in batch.parts if not submission.unsettled]

    def fail(self, batch: Batch, failure: PublishFailure, *, behind: Iterable[Submission] = ()) -> list[Submission]:
        """Record that the batch failed for good, and that what is queued of its tenants is not sent.

        `behind` are submissions for this partition that still wait for room. Return those that are settled with it.
        """
        predecessors: dict[UUID, UUID] = {}
        for submission, indexes in batch.parts:
            submission.fail(indexes, failure)
            for index in indexes:
                predecessors[submission.tenants[index]] = submission.messages[index].id
        touched = {id(submission): submission for submission, _ in batch.parts}
        for submission in (*self._waiting, *behind):
            self._leave_out(submission, predecessors)
            touched[id(submission)] = submission
        self._waiting = deque(submission for submission in self._waiting if submission.pending)
        return [submission for submission in touched.values() if not submission.unsettled]

    def abandon(self, error: Exception) -> list[Submission]:
        """Record that nothing more is sent; return what was waiting."""
        failure = PublishFailure(PublishStatus.UNSENT, error)
        abandoned = list(self._waiting)
        self._waiting.clear()
        for submission in abandoned:
            submission.fail(submission.pending, failure)
            submission.pending = ()
        return [submission for submission in abandoned if not submission.unsettled]

    def _leave_out(self, submission: Submission, predecessors: dict[UUID, UUID]) -> None:
        sent = []
        for index in submission.pending:
            predecessor = predecessors.get(submission.tenants[index])
            if predecessor is None:
                sent.append(index)
            else:
                submission.fail((index,), predecessor_failure(predecessor))
        submission.pending = sent


def _fits(submission: Submission) -> bool:
    """Whether a submission of which nothing was taken or left out is a batch by itself."""
    return len(submission.pending) == len(submission.messages) <= MAX_BATCH_MESSAGES and (
        submission.size <= MAX_BATCH_BYTES or len(submission.messages) == 1
    )


def predecessor_failure(predecessor_id: UUID) -> PublishFailure:
    """Say that an event was held back because an earlier one of its tenant was not confirmed."""
    return PublishFailure(
        PublishStatus.UNSENT,
        PredecessorFailedError(
            f"not sent: event {predecessor_id} of the same tenant was not confirmed; publish that one again first",
            predecessor_id=predecessor_id,
        ),
    )
