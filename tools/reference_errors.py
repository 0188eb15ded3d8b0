"""docs/reference/errors.md: the tree of errors, what each means and what to do, and the table of status numbers."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator

from rustok_iggy import errors
from rustok_iggy.errors import Reject, RetryLater, RustokIggyError
from rustok_iggy_connector import STATUS_ERRORS
from tools.source_docs import docstring, is_ours

ADVICE = "Advice: "
INTRODUCTION = """# Errors

Written by `make reference` from the classes themselves.

Everything raised on purpose is a `RustokIggyError`; both packages export the tree. Messages say what to do next, facts
are attributes. A payload or a secret never stands in one.

- `error.retryable`: the same call may succeed later without anything being changed.
- `error.outcome_unknown`: the call may have taken effect. Repeat a publish only as the same envelope.

```text
"""
AFTER_TREE = """```

`*` retryable · `?` outcome unknown

## Each error
"""


def page() -> str:
    """Return the whole page."""
    parts = [INTRODUCTION.rstrip("\n"), *_tree(RustokIggyError, "", ""), AFTER_TREE]
    for error in walk(RustokIggyError):
        if ADVICE in docstring(error):
            parts += _section(error)
    parts += ["## Signals of a handler", "", "No errors: a handler raises them to steer its delivery.", ""]
    for signal in (Reject, RetryLater):
        parts += [f"### {signal.__name__}", "", docstring(signal), ""]
    return "\n".join([*parts, *_statuses()])


def walk(error: type[RustokIggyError]) -> Iterator[type[RustokIggyError]]:
    """Yield an error and all below it, in the order of definition."""
    yield error
    for each in error.__subclasses__():
        if hasattr(errors, each.__name__):
            yield from walk(each)


def _marks(error: type[RustokIggyError]) -> str:
    return " *" * error.retryable + " ?" * error.outcome_unknown


def _tree(error: type[RustokIggyError], before: str, below: str) -> Iterator[str]:
    yield f"{before}{error.__name__}{_marks(error)}"
    children = [each for each in error.__subclasses__() if hasattr(errors, each.__name__)]
    for child in children:
        last = child is children[-1]
        yield from _tree(child, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "))


def _section(error: type[RustokIggyError]) -> Iterator[str]:
    text, _, advice = docstring(error).partition(ADVICE)
    yield from (f"### {error.__name__}", "", text.strip(), "")
    yield f"**What to do:** {' '.join(advice.split())}"
    facts = [f"`{name}`" for name in _attributes(error)]
    says = [
        *(["The same call may succeed later."] if error.retryable else []),
        *(["It may have happened."] if error.outcome_unknown else []),
        *([f"Facts: {', '.join(facts)}."] if facts else []),
    ]
    yield from ("", " ".join(says), "") if says else ("",)


def _attributes(error: type[RustokIggyError]) -> Iterator[str]:
    """Yield the names that constructors set, those of bases too."""
    for kind in reversed(error.__mro__):
        if is_ours(kind):
            yield from re.findall(r"self\.(\w+) = ", inspect.getsource(kind))


def _statuses() -> Iterator[str]:
    yield from ("## Status numbers of the server", "")
    yield "A `ServerError` has the number as `status` and the protocol's name as `name`. Numbers not listed are a plain"
    yield "`ServerError`."
    yield from ("", "| status | name | error |", "|---|---|---|")
    yield from (f"| {status} | {name} | {kind.__name__} |" for status, (name, kind) in STATUS_ERRORS.items())
    yield ""
