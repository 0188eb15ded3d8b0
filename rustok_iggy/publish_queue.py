"""What waits to be published to one partition, and what goes next. Decides only: producer.py sends.

Rules (names of the invariants in the tests):
- call order: events leave in the order of the calls; one batch at a time is taken and settled before the next.
- no overtaking: when an event fails for good, what is queued of its tenant is not sent; other tenants go on.
- whole time: an event fails for want of time only when its own is over, or that of an earlier one of its tenant.
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

    def confirm(self, indexes: Sequence[int], first_offset: int) -> None:
        """Settle events as stored, one behind the other; those that had no time left stay failed."""
        if not self.failures:
            self.confirmed.append((indexes, first_offset))
            self.unsettled -= len(indexes)
            return
        for offset, index in enumerate(indexes, start=first_offset):
            if index not in self.failures:
                self.confirmed.append(((index,), offset))
                self.unsettled -= 1

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

    @property
    def first_deadline(self) -> float:
        """That of the oldest: calls have the same time each, and enter in their order."""
        return self.parts[0][0].deadline

    def unsettled(self) -> list[tuple[Submission, Sequence[int]]]:
        """The parts that are neither confirmed nor failed: all, until the time of some is over."""
        parts = [
            (submission, [index for index in indexes if index not in submission.failures])
            for submission, indexes in self.parts
            if submission.unsettled
        ]
        return [(submission, indexes) for submission, indexes in parts if indexes]

    @property
    def unsettled_events(self) -> int:
        return sum(len(indexes) for _, indexes in self.unsettled())

    def leave_out_settled(self) -> None:
        """Keep what is to be repeated. Not while a request is under way: its offsets count all that it holds."""
        self.parts = self.unsettled()
        self.messages = [submission.messages[index] for submission, indexes in self.parts for index in indexes]


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
            batch = Batch(first.messages, [(first, first.pending)])
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
        return Batch(messages, parts)

    def confirm(self, batch: Batch, first_offset: int) -> list[Submission]:
        """Record that the batch stands at `first_offset`; return the submissions that are settled with it."""
        settled = []
        for submission, indexes in batch.parts:
            if submission.unsettled:
                submission.confirm(indexes, first_offset)
                if not submission.unsettled:
                    settled.append(submission)
            first_offset += len(indexes)
        return settled

    def fail(
        self, batch: Batch, failure: PublishFailure, *, now: float = inf, behind: Iterable[Submission] = ()
    ) -> list[Submission]:
        """Record that what of the batch has its deadline at `now` or before failed for good, and what goes with it.

        That is what the same tenants have behind it: what is queued, or waits for room (`behind`: submissions for
        this partition), is not sent; what is in the batch may be stored if the failed may be. Return those that are
        settled with it.
        """
        touched: dict[int, Submission] = {}
        predecessors: dict[UUID, UUID] = {}
        for submission, indexes in batch.unsettled():
            touched[id(submission)] = submission
            for index in indexes:
                predecessor = predecessors.get(submission.tenants[index])
                if submission.deadline <= now or (predecessor and failure.status is PublishStatus.UNKNOWN):
                    submission.fail((index,), failure)
                    predecessors[submission.tenants[index]] = submission.messages[index].id
                elif predecessor:
                    submission.fail((index,), predecessor_failure(predecessor))
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
