"""What an operator may select by, and what is refused before anything is read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from rustok_iggy import EVERYTHING, LetterSelection, RedriveError
from rustok_iggy.dead_letters.records import Selection
from rustok_iggy.dead_letters.selection import recorded
from rustok_iggy.moments import microseconds, moment_of

ID = UUID(int=5)


@pytest.mark.parametrize(
    ("criteria", "message"),
    [
        ({}, "at least one"),
        ({"everything": True, "tenants": (ID,)}, "not both"),
        ({"everything": True, "since": datetime(2026, 1, 1, tzinfo=UTC)}, "not both"),
        ({"since": datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001 - that is the point
        ({"event_ids": tuple(UUID(int=number) for number in range(1001))}, "1001 event_ids"),
        ({"since": "yesterday"}, "must be a datetime with a time zone, not 'yesterday'"),
        ({"tenants": ID}, "tuple"),
        ({"fingerprints": "f1"}, "tuple"),
        ({"tenants": ("f1",)}, "no UUID"),
        ({"event_types": (ID,)}, "no str"),
        ({"event_types": ("",)}, "empty"),
        ({"fingerprints": ("x" * 256,)}, "256|255"),
    ],
)
def test_a_selection_that_cannot_be_is_refused(criteria: dict[str, Any], message: str) -> None:
    with pytest.raises(RedriveError, match=message):
        LetterSelection(**criteria)


def test_everything_is_recorded_as_said() -> None:
    assert recorded(EVERYTHING) == Selection(everything=True)


def test_times_are_recorded_in_microseconds() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
    found = recorded(LetterSelection(since=moment, until=moment + timedelta(days=1), tenants=(ID,)))
    assert found.since == microseconds(moment)
    assert found.until == microseconds(moment) + 86_400_000_000
    assert moment_of(microseconds(moment)) == moment


@pytest.mark.parametrize("time", [0, 1, 2**63, 2**64 - 1])
def test_any_recorded_time_can_be_shown(time: int) -> None:
    assert moment_of(time).tzinfo is UTC
