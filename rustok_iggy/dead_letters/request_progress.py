"""How far a request is, from what its source partitions say. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from rustok_iggy.dead_letters.records import RequestEnd, Source
from rustok_iggy.dead_letters.snapshot import Progress


class RequestState(StrEnum):
    """How far a request is."""

    RUNNING = "running"
    WAITING_FOR_MEMBER = "waiting_for_member"
    """Nobody owns what is left: it stays open, and goes on as soon as a member of the group runs."""
    DONE = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestProgress:
    """How far a request is: letters by how they ended, and how many of those meant are open and were not tried.

    A letter that failed again is open still. `waiting_for` are the source partitions without an owner. `aborted`: too
    many failed again somewhere.
    """

    request_id: UUID
    state: RequestState
    handled: int
    failed: int
    discarded: int
    left: int
    aborted: bool
    waiting_for: tuple[str, ...] = ()

    @property
    def advice(self) -> str:
        """What to tell a person, one line."""
        counts = f"{self.handled} handled, {self.failed} failed again, {self.discarded} discarded, {self.left} left"
        if self.state is RequestState.WAITING_FOR_MEMBER:
            return f"{counts}; {'; '.join(self.waiting_for)}"
        return f"{counts}; given up, too many failed" if self.aborted else counts


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceProgress:
    """How far a request is in one source partition: `left` letters, `end` once its owner has ended it there."""

    source: Source
    left: int
    progress: Progress
    end: RequestEnd | None
    has_owner: bool


def progress_of(request_id: UUID, sources: Iterable[SourceProgress]) -> RequestProgress:
    """Return how far a request is in all source partitions that have letters for it."""
    sources = tuple(sources)
    counts = [each.end or each.progress for each in sources]
    pending = [each for each in sources if each.end is None]
    ownerless = [each for each in pending if not each.has_owner]
    state = RequestState.RUNNING if pending else RequestState.DONE
    if pending and len(ownerless) == len(pending):
        state = RequestState.WAITING_FOR_MEMBER
    return RequestProgress(
        request_id=request_id,
        state=state,
        handled=sum(count.handled for count in counts),
        failed=sum(count.failed for count in counts),
        discarded=sum(count.discarded for count in counts),
        left=sum(each.left for each in sources),
        aborted=any(each.end is not None and each.end.aborted for each in sources),
        waiting_for=tuple(
            f"topic {each.source.topic}, partition {each.source.partition} waits for a member of group"
            f" {each.source.group}"
            for each in ownerless
        ),
    )
