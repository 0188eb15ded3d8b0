"""All checks of a class as one expression, for the values that have nothing wrong: nearly all.

Calling a check for each field takes four times as long. Made as dataclasses makes its methods; of what a host wrote
nothing goes into its text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rustok_iggy.checks import KNOWN, Check, check_for, tests_for, without_none


def quick_test(fields: Iterable[tuple[Any, Check | None]]) -> Callable[..., bool]:
    """Whether each of an event's values, given in order, passes the check of its type and its rule.

    `fields` are type and rule of each.
    """
    names = dict(KNOWN)
    values, terms = [], ["True"]
    for number, (annotation, rule) in enumerate(fields):
        value = f"value{number}"
        kind = without_none(annotation)
        tests = tests_for(kind)
        asked = [test.expression for test in tests or ()]
        called = {"check": check_for(kind) if tests is None else None, "rule": rule}
        for what, check in called.items():
            if check is not None:
                names[f"{what}{number}"] = check
                asked.append(f"{what}{number}({{v}}) is None")
        if asked:
            expression = " and ".join(asked).format(v=value)
            terms.append(expression if kind is annotation else f"({value} is None or {expression})")
        values.append(value)
    test: Callable[..., bool] = eval(f"lambda {', '.join(values)}: {' and '.join(terms)}", names)  # noqa: S307 - ours
    return test
