"""An event transport over Apache Iggy: typed events of many tenants, durable, each tenant in order.

The public names stand in exports.py. They are imported together when the first of them is asked for, and not before:
pytest for its plugin, and a container for its health check, import one small module of this package again and again,
and all of it costs 0.3 s (decision 0011).
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rustok_iggy.exports import *  # noqa: F403 - the names are listed there, once
else:  # a type checker that saw __getattr__ would take every misspelt name for one of ours

    def __getattr__(name: str) -> Any:
        is_module = not name.startswith("_") and find_spec(f"{__name__}.{name}") is not None
        if not is_module and (name == "__all__" or not name.startswith("_")):
            exports = import_module("rustok_iggy.exports")
            globals().update({each: getattr(exports, each) for each in exports.__all__}, __all__=exports.__all__)
            if name in globals():
                return globals()[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *import_module("rustok_iggy.exports").__all__})
