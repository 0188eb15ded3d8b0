"""What the consumer asks of the dead-letter journal of one partition: dead_letters/owner.py does it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rustok_iggy.dead_letters.drafts import RecordDraft
from rustok_iggy.dead_letters.journal import Journal, Verdict
from rustok_iggy.dead_letters.layout import Original
from rustok_iggy.dead_letters.records import Epoch, Source
from rustok_iggy.dead_letters.snapshot import ClaimInForce, FoldedLetter
from rustok_iggy_connector import ConnectorError

Check = Callable[[], Awaitable[None]]
"""Raises what keeps a partition from being claimed. Repeated while the server is away."""


class SourceJournal(Protocol):
    """The owner's hand on the journal of one source partition.

    Calls repeat by themselves while the server is away; they raise OvertakenError when the partition is another's.
    """

    @property
    def journal(self) -> Journal:
        """As read back from the server."""
        ...

    @property
    def claim_generation(self) -> int:
        """That of our last claim that was read back."""
        ...

    @property
    def predecessor(self) -> ClaimInForce | None:
        """The claim before ours."""
        ...

    @property
    def low_mark_at(self) -> int:
        """When the server stored what the journal's low mark comes from, µs since 1970 UTC."""
        ...

    @property
    def letters_expired(self) -> bool:
        """Whether the server deleted records that were still needed."""
        ...

    @property
    def trouble(self) -> ConnectorError | None:
        """What keeps a call from going on."""
        ...

    async def gain(self, *, epoch: Epoch, committed: int, check: Check) -> int:
        """Fold, check, claim, wait for the owner before; return the offset after which delivery begins."""
        ...

    async def renew(self, *, epoch: Epoch, committed: int, check: Check) -> None:
        """Check, and claim again, under a new generation."""
        ...

    async def catch_up(self) -> bool:
        """Fold what is new; whether something of this source changed."""
        ...

    async def write(self, *records: RecordDraft) -> list[Verdict]:
        """Append as one, and read back. Raises DeadLetterError, and nothing is written, when a record is too big."""
        ...

    async def bodies(self, letters: Sequence[FoldedLetter]) -> list[Original]:
        """Read the original messages of the first letters, at least of one. Raises DeadLetterError when it is gone."""
        ...

    async def keep_start(self, *, committed: int | None = None) -> None:
        """Keep what a fold needs from being deleted."""
        ...

    async def release(self, *, committed: int | None = None) -> None:
        """Say that nothing of the partition runs here any more. Never raises."""
        ...

    def abandon(self) -> None:
        """Write nothing more but the release."""
        ...


@dataclass(slots=True)
class ParkedTenants:
    """How many tenants of a group are parked, over all partitions of one member."""

    count: int = 0


class JournalOpener(Protocol):
    """Where the journals of this process's partitions come from."""

    async def ready(self) -> None:
        """Reach the dead-letter topic. Raises connector errors."""
        ...

    async def has_begun(self, group: str, topic: str, partition_id: int) -> bool:
        """Whether any member of the group ever took the partition over. Raises connector errors."""
        ...

    def open(self, source: Source, handled_types: str) -> SourceJournal:
        """Return the journal of a source, for an owner that handles event types of this digest."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Journals:
    """How one member comes by the journals of its partitions. `member` names it among all that ever were."""

    opener: JournalOpener
    member: str
    handled_types: str
    parked: ParkedTenants = field(default_factory=ParkedTenants)
