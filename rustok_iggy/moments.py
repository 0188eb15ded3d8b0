"""Points in time: servers and the journal count microseconds since 1970 UTC, people read datetimes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
MICROSECONDS_PER_SECOND = 1_000_000
LATEST = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
"""What a datetime can say at most. A record may hold any 64 bits, and must be shown all the same."""


def microseconds(moment: datetime) -> int:
    """Return a point in time as it is counted; times before 1970 are 1970."""
    return max(0, (moment - EPOCH) // MICROSECOND)


def moment_of(microseconds_since_1970: int) -> datetime:
    """Return a recorded point in time, in UTC; what lies beyond the year 9999 is its last moment."""
    if microseconds_since_1970 > (LATEST - EPOCH) // MICROSECOND:
        return LATEST
    return EPOCH + microseconds_since_1970 * MICROSECOND
