"""What the journal holds, counted: by group, fingerprint, event type, tenant, cause and age. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

from rustok_iggy.dead_letters.journal import Journal
from rustok_iggy.dead_letters.partition_journal import PartitionJournal
from rustok_iggy.dead_letters.records import Action, Cause, Request
from rustok_iggy.dead_letters.snapshot import FoldedLetter
from rustok_iggy.moments import MICROSECONDS_PER_SECOND, moment_of

K = TypeVar("K")


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterCount:
    """Open letters of one kind; `oldest_age` is seconds since the first failure of the oldest."""

    letters: int
    oldest_age: float


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestStatistics:
    """A request that is still open: `waiting_in` counts the source partitions that have not ended it."""

    id: UUID
    group: str
    action: Action
    requested_at: datetime
    requested_by: str
    reason: str = field(repr=False)
    waiting_in: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterStatistics:
    """Open letters, counted. Each of the mappings holds every letter once, most first, and adds up to `letters`.

    `error_types` names the error behind each fingerprint. `parked_tenants` counts tenants held back, once for each
    group and source topic. `letters_expired` names source partitions of which the server has deleted records that were
    still needed: letters are lost.
    """

    letters: int
    oldest_age: float | None
    groups: Mapping[str, LetterCount]
    fingerprints: Mapping[str, LetterCount]
    event_types: Mapping[str | None, LetterCount]
    tenants: Mapping[UUID | None, LetterCount] = field(repr=False)
    causes: Mapping[Cause, LetterCount]
    error_types: Mapping[str, str]
    parked_tenants: int
    open_requests: tuple[RequestStatistics, ...]
    letters_expired: tuple[str, ...]


class Tally(Generic[K]):
    """How many letters, and since when, by one property. As large as the property has values."""

    def __init__(self) -> None:
        self._rows: dict[K, tuple[int, int]] = {}

    def add(self, value: K, first_failed_at: int) -> None:
        """Count one letter."""
        letters, oldest = self._rows.get(value, (0, first_failed_at))
        self._rows[value] = letters + 1, min(oldest, first_failed_at)

    def counts(self, *, now: int) -> dict[K, LetterCount]:
        """Return the counts, most first."""
        rows = sorted(self._rows.items(), key=lambda row: -row[1][0])
        return {
            value: LetterCount(letters=letters, oldest_age=max(0, now - oldest) / MICROSECONDS_PER_SECOND)
            for value, (letters, oldest) in rows
        }


class LetterCensus:
    """Counts one dlq partition after the other, so that only one has to be held at a time."""

    def __init__(self) -> None:
        self._all: Tally[None] = Tally()
        self._groups: Tally[str] = Tally()
        self._fingerprints: Tally[str] = Tally()
        self._event_types: Tally[str | None] = Tally()
        self._tenants: Tally[UUID | None] = Tally()
        self._causes: Tally[Cause] = Tally()
        self._error_types: dict[str, str] = {}
        self._parked_tenants = 0
        self._requests: dict[UUID, tuple[Request, int]] = {}
        self._expired: list[str] = []

    def add(self, partition: PartitionJournal) -> None:
        """Count what stands in one dlq partition."""
        for journal in partition.journals():
            self._add_journal(journal)
        self._expired += sorted(
            f"group {source.group}, topic {source.topic}, partition {source.partition}"
            for source in partition.letters_expired
        )

    def _add_journal(self, journal: Journal) -> None:
        for letter in journal.open_letters():
            self._add_letter(journal.source.group, letter)
        self._parked_tenants += len(journal.parked_tenants)
        for open_ in journal.requests:
            request, sources = self._requests.get(open_.request.id, (open_.request, 0))
            self._requests[request.id] = request, sources + 1

    def _add_letter(self, group: str, letter: FoldedLetter) -> None:
        since = letter.first_failed_at
        self._all.add(None, since)
        self._groups.add(group, since)
        self._fingerprints.add(letter.fingerprint, since)
        self._event_types.add(letter.event_type, since)
        self._tenants.add(letter.tenant_id, since)
        self._causes.add(letter.cause, since)
        self._error_types.setdefault(letter.fingerprint, letter.error_type)

    def taken(self, *, now: int) -> DeadLetterStatistics:
        """Return what was counted, as it is at `now`, in µs since 1970 UTC."""
        everything = self._all.counts(now=now).get(None)
        return DeadLetterStatistics(
            letters=0 if everything is None else everything.letters,
            oldest_age=None if everything is None else everything.oldest_age,
            groups=self._groups.counts(now=now),
            fingerprints=self._fingerprints.counts(now=now),
            event_types=self._event_types.counts(now=now),
            tenants=self._tenants.counts(now=now),
            causes=self._causes.counts(now=now),
            error_types=dict(self._error_types),
            parked_tenants=self._parked_tenants,
            open_requests=tuple(
                _request_statistics(request, sources)
                for request, sources in sorted(self._requests.values(), key=lambda row: row[0].requested_at)
            ),
            letters_expired=tuple(self._expired),
        )


def _request_statistics(request: Request, sources: int) -> RequestStatistics:
    return RequestStatistics(
        id=request.id,
        group=request.group,
        action=request.action,
        requested_at=moment_of(request.requested_at),
        requested_by=request.requested_by,
        reason=request.reason,
        waiting_in=sources,
    )
