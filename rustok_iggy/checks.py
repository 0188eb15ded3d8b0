"""Checks of one value, made from the type a field is annotated with.

A Struct does not check what it is made from; an event that no consumer can decode must not be published.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple, Union, get_args, get_origin
from uuid import UUID

import msgspec

from rustok_iggy.integers import RANGES, WIDTH

Check = Callable[[Any], str | None]
"""Value → what is wrong with it, None when nothing is. Never quotes the value."""


class Test(NamedTuple):
    """What must be true of a value, as an expression of `{v}`, and what is wrong with one of which it is not."""

    expression: str
    problem: str


_IS_INTEGER = Test("(type({v}) is int or (isinstance({v}, int) and not isinstance({v}, bool)))", "must be an integer")

# Type of a field → its tests, each of values that passed those before it.
_TESTS: dict[Any, tuple[Test, ...]] = {
    object: (),
    UUID: (Test("isinstance({v}, UUID)", "must be a UUID"), Test("{v}.int != 0", "must not be nil")),
    str: (Test("isinstance({v}, str)", "must be text"),),
    bool: (Test("isinstance({v}, bool)", "must be true or false"),),
    float: (
        Test("isinstance({v}, (int, float)) and not isinstance({v}, bool)", "must be a number"),
        Test("isfinite({v})", "must be finite"),
    ),
    datetime: (
        Test("isinstance({v}, datetime)", "must be a datetime"),
        Test("{v}.tzinfo is not None", "needs a time zone"),
    ),
}
KNOWN: dict[str, Any] = {"UUID": UUID, "datetime": datetime, "isfinite": math.isfinite}
"""The names in the expressions."""


def tests_for(annotation: Any) -> tuple[Test, ...] | None:
    """Return the tests of a type that a field is annotated with; None when the table has none, as of `X | None`."""
    span = RANGES["i64"] if annotation is int else integer_range(annotation)
    if span is None:
        return _TESTS.get(annotation)
    low, high = span
    return _IS_INTEGER, Test(f"{low} <= {{v}} <= {high}", f"must be between {low} and {high}")


def check_for(annotation: Any) -> Check:
    """Return the check for a type as a field is annotated with it."""
    tests = tests_for(annotation)
    if tests is not None:
        return _check_by_tests(tests)
    inner = without_none(annotation)
    return _check_by_decoding(annotation) if inner is annotation else _optional(check_for(inner))


def _check_by_tests(tests: Iterable[Test]) -> Check:
    parts = [(eval("lambda v: " + test.expression.format(v="v"), KNOWN), test.problem) for test in tests]  # noqa: S307 - ours
    return lambda value: next((problem for holds, problem in parts if not holds(value)), None)


def _optional(inner: Check) -> Check:
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
