"""What an operator may say of a request beside the letters he means, and what no request can have. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from typing import TypedDict

from rustok_iggy.dead_letters.records import MAX_NAME_CHARACTERS, MAX_SELECTED
from rustok_iggy.errors import RedriveError

MAX_REASON_CHARACTERS = 1000
"""What a record of a request holds."""


class RedriveOptions(TypedDict, total=False):
    """What else redrive() takes."""

    partitions: Sequence[int]
    """Only letters of these source partitions: a canary."""
    limit: int
    """Only the first so many letters, oldest first, each tenant's in order: a canary. At most 1000."""
    rate: float
    """Letters a second, for each owner of a source partition; default: as fast as they are handled."""
    abort_ratio: float
    """Give up in a source partition when more than this share (0 to 1) of at least 10 letters failed again."""
    break_order: bool
    """Run exactly the letters selected, also before earlier letters of their tenants."""
    force: bool
    """Run letters that have used up their redrives, too."""


def check_options(options: RedriveOptions) -> None:
    """Raise RedriveError for values that no request can have."""
    rate, ratio, partitions = options.get("rate"), options.get("abort_ratio"), options.get("partitions")
    if rate is not None and not 0 < rate < inf:
        raise RedriveError(f"rate {rate:g} is not above 0: leave it out to run as fast as letters are handled")
    if ratio is not None and not 0 <= ratio <= 1:
        raise RedriveError(f"abort_ratio {ratio:g} is not between 0 and 1")
    if partitions is not None and not 1 <= len(tuple(partitions)) <= MAX_SELECTED:
        raise RedriveError(f"partitions names none, or more than {MAX_SELECTED}: leave it out to mean all")
    limit = options.get("limit")
    if limit is not None and not 1 <= limit <= MAX_SELECTED:
        raise RedriveError(f"limit {limit} is not between 1 and {MAX_SELECTED}")


def check_author(by: str, reason: str, *, is_reason_needed: bool) -> None:
    """Raise RedriveError unless a request says who wants it, and a discard why."""
    if not 0 < len(by) <= MAX_NAME_CHARACTERS:
        raise RedriveError(f"by: say who asks for it, in at most {MAX_NAME_CHARACTERS} characters")
    if is_reason_needed and not reason.strip():
        raise RedriveError("reason: say why; what is discarded is never handled")
    if len(reason) > MAX_REASON_CHARACTERS:
        raise RedriveError(f"reason: {len(reason)} characters, where {MAX_REASON_CHARACTERS} fit")
