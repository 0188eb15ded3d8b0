"""What all owners of one process share to reach the dlq topic, and how long they wait."""

from __future__ import annotations

from dataclasses import dataclass

from rustok_iggy.dead_letters.appender import JournalAppender
from rustok_iggy.dead_letters.reader import JournalReader
from rustok_iggy_connector import TopologyAdmin

TAKEOVER_TIMEOUT = 3.0
"""Seconds to wait for the previous owner's handlers to end. It buys less overlap, not safety."""
RELEASE_TIMEOUT = 5.0
"""Seconds; a server that is away must not hold up a close, and the next owner waits no longer than its own timeout."""
CHECKPOINT_EVERY = 10_000
"""Records folded since the last checkpoint: what a new owner has to read at most, some seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalAccess:
    """One for all owners of a process: a session to read, one append in flight a partition."""

    reader: JournalReader
    appender: JournalAppender
    admin: TopologyAdmin
    stream: str
    topic: str


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerTiming:
    """How long an owner waits, in seconds, and after how many records it writes a checkpoint."""

    takeover_timeout: float = TAKEOVER_TIMEOUT
    release_timeout: float = RELEASE_TIMEOUT
    checkpoint_every: int = CHECKPOINT_EVERY
