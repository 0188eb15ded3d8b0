"""What an operator may say of a request beside the letters he means, and what no request can have. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Any, TypedDict

from rustok_iggy.dead_letters.records import MAX_NAME_CHARACTERS, MAX_SELECTED
from rustok_iggy.errors import RedriveError
from rustok_iggy_connector import name_problem

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
    problem = next(_option_problems(options), None)
    if problem is not None:
        raise RedriveError(problem)


def _option_problems(given: Mapping[str, Any]) -> Iterator[str]:
    rate, ratio, partitions, limit = (given.get(name) for name in ("rate", "abort_ratio", "partitions", "limit"))
    if rate is not None and not (_is_number(rate) and 0 < rate < inf):
        yield f"rate {rate!r} is not above 0: leave it out to run as fast as letters are handled"
    if ratio is not None and not (_is_number(ratio) and 0 <= ratio <= 1):
        yield f"abort_ratio {ratio!r} is not between 0 and 1"
    if partitions is not None and not _are_partitions(partitions):
        yield f"partitions {partitions!r} are not 1 to {MAX_SELECTED} numbers of partitions: leave it out to mean all"
    if limit is not None and not (type(limit) is int and 1 <= limit <= MAX_SELECTED):
        yield f"limit {limit!r} is not between 1 and {MAX_SELECTED}"
    for name in ("break_order", "force"):
        if not isinstance(given.get(name, False), bool):
            yield f"{name} {given[name]!r} is neither True nor False"


def _is_number(value: object) -> bool:
    return type(value) in (int, float)


def _are_partitions(value: object) -> bool:
    numbers = list(value) if isinstance(value, Iterable) else []
    return 1 <= len(numbers) <= MAX_SELECTED and all(type(each) is int and each >= 0 for each in numbers)


def check_request(*, group: str, by: str, reason: str, is_reason_needed: bool) -> None:
    """Raise RedriveError unless a request says whose letters it means, who wants it, and a discard why."""
    if problem := name_problem(group):
        raise RedriveError(f"group: {problem}")
    for name, text in (("by", by), ("reason", reason)):
        if not isinstance(text, str):
            raise RedriveError(f"{name}: must be text, not {type(text).__name__}")
    if not 0 < len(by) <= MAX_NAME_CHARACTERS:
        raise RedriveError(f"by: say who asks for it, in at most {MAX_NAME_CHARACTERS} characters")
    if is_reason_needed and not reason.strip():
        raise RedriveError("reason: say why; what is discarded is never handled")
    if len(reason) > MAX_REASON_CHARACTERS:
        raise RedriveError(f"reason: {len(reason)} characters, where {MAX_REASON_CHARACTERS} fit")
