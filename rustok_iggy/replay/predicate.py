"""A plan's predicate: code that chooses events, and the name under which a saved plan finds it again.

Code cannot be saved, so a plan holds `module:function`. It is imported when the plan is run, never when it is loaded.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import ReplayError

Choose = Callable[[EventEnvelope], bool]


class Predicate:
    """Says of an envelope whether it is to be replayed. Made of a function, or of the name of one.

    `label` is `module:function`; for a lambda or an inner function it is no name that can be imported.
    """

    __slots__ = ("_function", "label")

    def __init__(self, chosen: Choose | str) -> None:
        self._function: Choose | None = None if isinstance(chosen, str) else chosen
        self.label = chosen if isinstance(chosen, str) else _label(chosen)

    @property
    def name(self) -> str:
        """Return the name to save. Raises ReplayError when importing it would not give this function."""
        if self._function is not None and (self.label.startswith("__main__:") or _found(self.label) != self._function):
            raise ReplayError(
                f"predicate {self.label} cannot be saved: name a function of a module that can be imported"
            )
        return self.label

    def resolve(self) -> Choose:
        """Return the function, importing it. Raises ReplayError when there is none of this name."""
        if self._function is None:
            function = _found(self.label)
            if function is None:
                raise ReplayError(f"predicate {self.label}: no such function can be imported; it is module:function")
            self._function = function
        return self._function

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Predicate) and other.label == self.label

    def __hash__(self) -> int:
        return hash(self.label)

    def __repr__(self) -> str:
        return f"Predicate({self.label})"


def _label(function: Choose) -> str:
    return f"{getattr(function, '__module__', '?')}:{getattr(function, '__qualname__', type(function).__qualname__)}"


def _found(name: str) -> Choose | None:
    module, _, path = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError, TypeError):
        return None
    return found if callable(found) else None
