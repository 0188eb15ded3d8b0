"""All checks of an event class as one expression, for the events that have nothing wrong: nearly all.

Calling a check for each field takes four times as long. Made as dataclasses makes its methods; of what a host wrote
nothing goes into its text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from rustok_iggy.checks import Check, check_for, integer_range, without_none
from rustok_iggy.integers import RANGES

# Type of a field → what is true only of values that its check takes.
_EXPRESSIONS: dict[Any, str] = {
    UUID: "type({v}) is UUID and {v}.int != 0",
    str: "type({v}) is str",
    bool: "type({v}) is bool",
    datetime: "type({v}) is datetime and {v}.tzinfo is not None",
}


def quick_test(fields: Iterable[tuple[Any, Check | None]]) -> Callable[..., bool]:
    """Whether each of an event's values, given in order, passes the check of its type and its rule.

    `fields` are type and rule of each. False may also mean that only a slower look can tell.
    """
    names: dict[str, Any] = {"UUID": UUID, "datetime": datetime}
    values, terms = [], ["True"]
    for number, (annotation, rule) in enumerate(fields):
        value = f"value{number}"
        kind = without_none(annotation)
        expression = _expression(kind)
        if expression is None:
            names[f"check{number}"] = check_for(kind)
            expression = f"check{number}({{v}}) is None"
        if rule is not None:
            names[f"rule{number}"] = rule
            expression += f" and rule{number}({{v}}) is None"
        expression = expression.format(v=value)
        terms.append(f"({expression})" if kind is annotation else f"({value} is None or {expression})")
        values.append(value)
    test: Callable[..., bool] = eval(f"lambda {', '.join(values)}: {' and '.join(terms)}", names)  # noqa: S307 - ours
    return test


def _expression(kind: Any) -> str | None:
    span = RANGES["i64"] if kind is int else integer_range(kind)
    if span is not None:
        return f"type({{v}}) is int and {span[0]} <= {{v}} <= {span[1]}"
    return _EXPRESSIONS.get(kind)
