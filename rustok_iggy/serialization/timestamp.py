"""Timestamps as chrono's serde writes them: RFC 3339 in UTC with 0, 3, 6 or 9 fraction digits, as few as hold it.

Python holds microseconds, so 0, 3 or 6 are written; further digits are cut off when reading, never rounded up into
the future.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

# datetime.fromisoformat also takes week dates, blanks for T, commas and missing offsets; RFC 3339 has none of them.
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:[Zz]|[+-]\d\d:\d\d)", re.ASCII)


def format_timestamp(moment: datetime) -> str:
    """Write a point in time. Raises ValueError for one without a time zone."""
    if moment.tzinfo is not UTC:
        if moment.tzinfo is None:
            raise ValueError("a timestamp needs a time zone")
        moment = moment.astimezone(UTC)
    text = moment.isoformat()[:-6]  # without +00:00
    if moment.microsecond and moment.microsecond % 1000 == 0:
        text = text[:-3]
    return text + "Z"


def parse_timestamp(text: str) -> datetime:
    """Read a point in time, in UTC. Raises ValueError for any other text."""
    # Nearly all have microseconds and a Z: then the places of the signs say what the expression would, in a fifth.
    if not (len(text) == 27 and text[4:20:3] == "--T::." and text[26] == "Z"):
        if not _RFC3339.fullmatch(text):
            raise ValueError("not an RFC 3339 timestamp")
        text = text.upper()
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is UTC:
        return moment
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("a timestamp before year 1 or after year 9999") from None
