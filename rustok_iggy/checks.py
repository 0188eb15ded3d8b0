"""Checks of one value, made from the type a field is annotated with.

A Struct does not check what it is made from; an event that no consumer can decode must not be published.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable
from datetime import datetime
from typing import Any, Union, get_args, get_origin
from uuid import UUID

import msgspec

from rustok_iggy.integers import RANGES, WIDTH

Check = Callable[[Any], str | None]
"""Value → what is wrong with it, None when nothing is. Never quotes the value."""


def check_id(value: Any) -> str | None:
    """A UUID, and not the nil one."""
    if not isinstance(value, UUID):
        return "must be a UUID"
    return None if value.int else "must not be nil"


def check_text(value: Any) -> str | None:
    """Text."""
    return None if isinstance(value, str) else "must be text"


def _check_bool(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _check_float(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "must be a number"
    return None if math.isfinite(value) else "must be finite"


def check_moment(value: Any) -> str | None:
    """A point in time, with its time zone."""
    if not isinstance(value, datetime):
        return "must be a datetime"
    return None if value.tzinfo is not None else "needs a time zone"


def _check_integer(low: int, high: int) -> Check:
    def check(value: Any) -> str | None:
        if isinstance(value, bool) or not isinstance(value, int):
            return "must be an integer"
        return None if low <= value <= high else f"must be between {low} and {high}"

    return check


def optional(inner: Check) -> Check:
    """None, or what `inner` takes."""
    return lambda value: None if value is None else inner(value)


def _check_by_decoding(annotation: Any) -> Check:
    """Check a type of any shape: what is written of the value must be readable as the type."""
    decoder = msgspec.json.Decoder(annotation)

    def check(value: Any) -> str | None:
        try:
            decoder.decode(msgspec.json.encode(value))
        except (msgspec.MsgspecError, TypeError, ValueError, OverflowError, RecursionError):
            return "does not fit its type"
        return None

    return check


_SIMPLE_CHECKS: dict[Any, Check] = {
    UUID: check_id,
    str: check_text,
    bool: _check_bool,
    float: _check_float,
    datetime: check_moment,
    int: _check_integer(*RANGES["i64"]),
}


def check_for(annotation: Any) -> Check:
    """Return the check for a type as a field is annotated with it."""
    if annotation in _SIMPLE_CHECKS:
        return _SIMPLE_CHECKS[annotation]
    span = integer_range(annotation)
    if span is not None:
        return _check_integer(*span)
    inner = without_none(annotation)
    return _check_by_decoding(annotation) if inner is annotation else optional(check_for(inner))


def integer_range(annotation: Any) -> tuple[int, int] | None:
    """Smallest and largest value of an integer of a width; None for any other type."""
    for extra in getattr(annotation, "__metadata__", ()):
        if isinstance(extra, msgspec.Meta) and extra.extra and WIDTH in extra.extra:
            return RANGES[extra.extra[WIDTH]]
    return None


def without_none(annotation: Any) -> Any:
    """The type of a field that may also be None; any other type as it is."""
    members = get_args(annotation)
    if get_origin(annotation) in (Union, types.UnionType) and len(members) == 2 and type(None) in members:
        return next(member for member in members if member is not type(None))
    return annotation
