"""A replay plan: which events, pinned by offset, and how many of whom. A JSON file that a person can review.

Offsets are half open everywhere: from `start` until before `end`. The plan holds ids, types and numbers, no payloads.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any, Self
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct, UnsetType

from rustok_iggy.errors import ReplayError
from rustok_iggy.replay.durable_file import write_atomically
from rustok_iggy.replay.log_identity import KnownMessage
from rustok_iggy.replay.predicate import Predicate

PLAN_VERSION = 1
MAX_COUNTS = 10_000
"""Pairs of tenant and event type that a plan counts one by one: 2 MB, and more than anybody reads. The rest are
counted together."""
MAX_COPY_RANGES = 10_000
"""Runs of copies a plan can name. Each is a batch that a publisher sent again; more of them are no healthy log."""


class PartitionRange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The messages of one partition from offset `start` until before `end`; those of `copies` came before.

    `first` and `last` are two of them as they were when the plan was made; unset in an empty range, and in plans of
    releases that did not remember them: then a log that was begun again is not noticed.
    """

    partition_id: int
    start: int
    end: int
    copies: tuple[tuple[int, int], ...] = ()
    first: KnownMessage | UnsetType = UNSET
    last: KnownMessage | UnsetType = UNSET

    @property
    def known(self) -> tuple[KnownMessage, ...]:
        """What the log is known by."""
        return tuple(each for each in (self.first, self.last) if isinstance(each, KnownMessage))

    @property
    def messages(self) -> int:
        """How many there are, chosen or not."""
        return self.end - self.start


class EventCount(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many events of one type a tenant has in the plan."""

    tenant_id: UUID
    event_type: str
    events: int


class ReplayPlan(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a replay will hand over: always the same events, in the same order.

    `tenants`, `event_types` and `predicate` None: all. `uncounted` are events beyond the MAX_COUNTS pairs of tenant and
    type in `counts`; `unreadable` are messages of which not even the ids could be read.
    """

    version: int = PLAN_VERSION
    stream: str
    topic: str
    created_at: datetime
    partitions: tuple[PartitionRange, ...]
    tenants: tuple[UUID, ...] | None = None
    event_types: tuple[str, ...] | None = None
    predicate: Predicate | None = None
    events: int
    event_bytes: int
    unreadable: int = 0
    uncounted: int = 0
    counts: tuple[EventCount, ...] = ()

    @property
    def per_tenant(self) -> dict[UUID, int]:
        """Events per tenant, those of `uncounted` left out."""
        found: Counter[UUID] = Counter()
        for each in self.counts:
            found[each.tenant_id] += each.events
        return dict(found)

    @property
    def per_type(self) -> dict[str, int]:
        """Events per type, those of `uncounted` left out."""
        found: Counter[str] = Counter()
        for each in self.counts:
            found[each.event_type] += each.events
        return dict(found)

    def seconds_at(self, rate: float) -> float:
        """How long it takes at `rate` events a second."""
        if not rate > 0:
            raise ReplayError(f"rate: {rate:g} is not above 0")
        return self.events / rate

    @property
    def fingerprint(self) -> str:
        """Differs for plans that differ: a checkpoint belongs to one plan."""
        return hashlib.sha256(msgspec.json.encode(self, enc_hook=_label)).hexdigest()

    def save(self, path: str | Path) -> None:
        """Write the plan as JSON. Raises ReplayError when its predicate has no name that can be imported, OSError."""
        text = msgspec.json.format(msgspec.json.encode(self, enc_hook=_name), indent=2)
        write_atomically(Path(path), text + b"\n")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a plan. Imports nothing: a predicate is looked for when the plan is run. Raises ReplayError, OSError."""
        data = Path(path).read_bytes()
        try:
            plan = msgspec.json.decode(data, type=cls, dec_hook=_predicate)
        except msgspec.DecodeError as error:
            raise ReplayError(f"{path} is not a replay plan: {error}") from None
        problems = list(plan.problems())
        if problems:
            raise ReplayError(f"{path}: {'; '.join(problems)}")
        return plan

    def problems(self) -> list[str]:
        """Say what contradicts itself; a person may have changed the file."""
        if self.version != PLAN_VERSION:
            return [f"version {self.version} of a replay plan, this release reads {PLAN_VERSION}"]
        found = [
            f"partition {each.partition_id}: from {each.start} until {each.end} is no range"
            for each in self.partitions
            if not 0 <= each.start <= each.end
        ]
        found += [
            f"partition {each.partition_id}: its copies are not ascending ranges within its bounds"
            for each in self.partitions
            if not _are_ascending(each)
        ]
        if len({each.partition_id for each in self.partitions}) < len(self.partitions):
            found.append("a partition stands twice in it")
        return found


def _are_ascending(found: PartitionRange) -> bool:
    last = found.start
    for start, end in found.copies:
        if not last <= start < end <= found.end:
            return False
        last = end
    return True


def _name(value: Any) -> str:
    assert isinstance(value, Predicate), "a plan holds nothing else that JSON does not know"
    return value.name


def _label(value: Any) -> str:
    assert isinstance(value, Predicate), "a plan holds nothing else that JSON does not know"
    return value.label


def _predicate(kind: type, value: Any) -> Any:
    assert kind is Predicate, "a plan holds nothing else that JSON does not know"
    if not isinstance(value, str):
        raise TypeError("predicate: must be module:function")
    return Predicate(value)
