"""What follows from the server's answer about who owns what. Decides only; member.py asks and acts.

The answer (raw command 606) is the only truth: a poll by a non-owner is silently empty. A partition that is missing
from it is either being handed over (everything polled must be finished and committed) or lost (nothing may be
committed). Only storing the last stored offset again tells which.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from rustok_iggy_connector import Assignment, CommittedOffset

MAX_SILENT_HEARTBEATS = 3
"""Heartbeats without an answer after which nothing is begun: a stopped process may have lost everything meanwhile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """Partitions by what is to be done about them."""

    gained: tuple[int, ...] = ()
    """Read the committed offset, then begin."""
    missing: tuple[int, ...] = ()
    """Store the last offset again: accepted = being handed over, refused = lost."""
    reread: tuple[int, ...] = ()
    """Kept, but ownership may have gone away and come back: commit nothing before the committed offset was read."""
    lost: tuple[int, ...] = ()
    """Not a member any more: stop, commit nothing."""

    @property
    def is_empty(self) -> bool:
        return not (self.gained or self.missing or self.reread or self.lost)


class Handover(StrEnum):
    """What a missing partition turned out to be."""

    REVOKED = "revoked"
    LOST = "lost"
    UNDECIDED = "undecided"
    """Ask again."""


def changes(*, owned: Collection[int], generation: int, answer: Assignment) -> Changes:
    """Compare what is consumed here (`owned`, under `generation`) with the server's answer."""
    if not answer.is_member:
        return Changes(lost=tuple(sorted(owned)))
    now = set(answer.partitions)
    mine = set(owned)
    return Changes(
        gained=tuple(sorted(now - mine)),
        missing=tuple(sorted(mine - now)),
        reread=tuple(sorted(mine & now)) if answer.generation != generation else (),
    )


def handover(*, store_accepted: bool, before: Assignment, after: Assignment) -> Handover:
    """Tell a hand-over from a loss. `after` is a second answer, asked when the store was accepted."""
    if not store_accepted:
        return Handover.LOST
    return Handover.REVOKED if after.generation == before.generation else Handover.UNDECIDED


def is_still_ours(*, stored: int | None, sent: int | None, found: CommittedOffset | None) -> bool:
    """Whether nobody else committed in a partition since we stored `stored`, or sent `sent` and heard nothing."""
    return (None if found is None else found.committed) in (stored, sent)


def may_begin(*, asked_at: float, now: float, heartbeat_interval: float) -> bool:
    """Whether a delivery may begin, by when the last answered question was asked."""
    return now - asked_at <= MAX_SILENT_HEARTBEATS * heartbeat_interval
