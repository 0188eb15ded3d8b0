"""What publish_batch() gives back: one result per envelope, in the order they were given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import overload
from uuid import UUID

from rustok_iggy.publish_queue import PublishFailure, PublishStatus, Submission
from rustok_iggy_connector import PublishConfirmation


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishResult:
    """What became of one envelope: a confirmation, or the error."""

    event_id: UUID
    status: PublishStatus
    confirmation: PublishConfirmation | None = None
    error: Exception | None = None

    @property
    def is_confirmed(self) -> bool:
        return self.status is PublishStatus.CONFIRMED


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """The part of a batch that went to one partition; `indexes` are those of its events in the batch."""

    topic: str
    partition_id: int
    indexes: Sequence[int]
    submission: Submission


class PublishResults(Sequence[PublishResult]):
    """One result per envelope, made when they are looked at: most callers only ask whether all were confirmed."""

    def __init__(self, event_ids: Sequence[UUID], shares: Sequence[Share], failures: dict[int, PublishFailure]) -> None:
        self._event_ids = event_ids
        self._shares = shares
        self._failures = dict(failures)
        for share in shares:
            self._failures.update((share.indexes[index], why) for index, why in share.submission.failures.items())
        self._results: list[PublishResult] | None = None

    @property
    def all_confirmed(self) -> bool:
        return not self._failures

    @property
    def counts(self) -> dict[PublishStatus, int]:
        """Status → number of envelopes; statuses that do not occur are 0."""
        failed = Counter(failure.status for failure in self._failures.values())
        return {status: failed[status] for status in PublishStatus} | {
            PublishStatus.CONFIRMED: len(self) - len(self._failures)
        }

    def raise_for_failures(self) -> None:
        """Raise the first envelope's error, with the counts as a note, unless all were confirmed."""
        if not self._failures:
            return
        # A failure comes before what was held back because of it, whatever their order in the batch.
        first = min(self._failures, key=lambda index: (self._failures[index].status is PublishStatus.UNSENT, index))
        error = self._failures[first].error
        counts = ", ".join(f"{number} {status}" for status, number in self.counts.items() if number)
        error.add_note(f"of {len(self)} events published together: {counts}")
        raise error

    def __len__(self) -> int:
        return len(self._event_ids)

    @overload
    def __getitem__(self, index: int) -> PublishResult: ...

    @overload
    def __getitem__(self, index: slice) -> list[PublishResult]: ...

    def __getitem__(self, index: int | slice) -> PublishResult | list[PublishResult]:
        if self._results is None:
            self._results = self._made()
        return self._results[index]

    def __iter__(self) -> Iterator[PublishResult]:
        return iter(self[:])

    def __repr__(self) -> str:
        return f"PublishResults({', '.join(f'{number} {status}' for status, number in self.counts.items())})"

    def _made(self) -> list[PublishResult]:
        confirmations: dict[int, PublishConfirmation] = {}
        for share in self._shares:
            for indexes, first_offset in share.submission.confirmed:
                for offset, index in enumerate((share.indexes[each] for each in indexes), start=first_offset):
                    confirmations[index] = PublishConfirmation(
                        share.topic, share.partition_id, offset, self._event_ids[index]
                    )
        return [self._result(index, confirmations.get(index)) for index in range(len(self))]

    def _result(self, index: int, confirmation: PublishConfirmation | None) -> PublishResult:
        event_id = self._event_ids[index]
        if confirmation is not None:
            return PublishResult(event_id=event_id, status=PublishStatus.CONFIRMED, confirmation=confirmation)
        failure = self._failures[index]
        return PublishResult(event_id=event_id, status=failure.status, error=failure.error)
