"""Which dead letters an operator means, as he says it; records.Selection is what the journal keeps of it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from rustok_iggy.dead_letters.records import MAX_NAME_CHARACTERS, MAX_SELECTED, Selection
from rustok_iggy.errors import RedriveError
from rustok_iggy.moments import microseconds


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterSelection:
    """Letters that match every criterion given; of one criterion, any of its values.

    `since` and `until` bound the time at which the event was stored in its topic, `until` excluded; they need a time
    zone. `everything=True` stands alone and must be said. At most 1000 values of each kind: what is more is better
    named by fingerprint, type or time, and splitting it would break a tenant's order in the middle. Raises
    RedriveError when nothing, everything and something, or too much is named.
    """

    tenants: tuple[UUID, ...] = ()
    event_ids: tuple[UUID, ...] = ()
    fingerprints: tuple[str, ...] = ()
    event_types: tuple[str, ...] = ()
    since: datetime | None = None
    until: datetime | None = None
    everything: bool = False

    def __post_init__(self) -> None:
        lists = (self.tenants, self.event_ids, self.fingerprints, self.event_types)
        named = any(lists) or self.since is not None or self.until is not None
        if self.everything == named:
            raise RedriveError("select letters by at least one criterion, or say everything=True, not both")
        for name, values in zip(("tenants", "event_ids", "fingerprints", "event_types"), lists, strict=True):
            _check_values(name, values)
        moments: tuple[tuple[str, object], ...] = (("since", self.since), ("until", self.until))
        for name, moment in moments:
            if moment is not None and (not isinstance(moment, datetime) or moment.tzinfo is None):
                raise RedriveError(f"{name} must be a datetime with a time zone, not {moment!r}")


def recorded(selection: LetterSelection) -> Selection:
    """Return a selection as a request records it. Raises RedriveError for what is none."""
    if not isinstance(selection, LetterSelection):
        raise RedriveError(
            f"{type(selection).__name__} selects no letters: use LetterSelection(...), or EVERYTHING for all of them"
        )
    return Selection(
        everything=selection.everything,
        tenants=tuple(selection.tenants),
        event_ids=tuple(selection.event_ids),
        fingerprints=tuple(selection.fingerprints),
        event_types=tuple(selection.event_types),
        since=None if selection.since is None else microseconds(selection.since),
        until=None if selection.until is None else microseconds(selection.until),
    )


def _check_values(name: str, values: Iterable[object]) -> None:
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise RedriveError(f"{name} is a tuple of values, not one value")
    values = tuple(values)
    if len(values) > MAX_SELECTED:
        raise RedriveError(
            f"{len(values)} {name}, where a request may name {MAX_SELECTED}: select by fingerprint, event type or time"
            " instead, or send several requests, one after the other"
        )
    wanted = UUID if name in {"tenants", "event_ids"} else str
    if not all(isinstance(value, wanted) for value in values):
        raise RedriveError(f"{name} holds something that is no {wanted.__name__}")
    if wanted is str and not all(0 < len(str(value)) <= MAX_NAME_CHARACTERS for value in values):
        raise RedriveError(f"{name} holds an empty value, or one of more than {MAX_NAME_CHARACTERS} characters")


EVERYTHING = LetterSelection(everything=True)
