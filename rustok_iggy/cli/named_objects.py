"""Objects of the host's own code that a command line names: `module:name`."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable
from typing import Any

from rustok_iggy.catalog import EventCatalog
from rustok_iggy.cli.exits import CommandError, ExitCode
from rustok_iggy.events import RUSTOK


def load_catalog(name: str | None) -> EventCatalog:
    """Return the catalogue `module:name`, RusToK's for None. Raises CommandError."""
    if name is None:
        return RUSTOK
    found = _load(name)
    if not isinstance(found, EventCatalog):
        raise _wrong(f"{name} is a {type(found).__name__}, not an EventCatalog")
    return found


def load_handler(name: str) -> Callable[..., Any]:
    """Return the handler `module:name`. Raises CommandError."""
    found = _load(name)
    if not callable(found):
        raise _wrong(f"{name} is a {type(found).__name__}, not a handler")
    return found  # type: ignore[no-any-return]  # callable() says nothing of what it returns


def _load(name: str) -> Any:
    module, _, path = name.partition(":")
    if not module or not path:
        raise _wrong(f"{name!r} is not module:name")
    here = os.getcwd()  # noqa: PTH109 - sys.path holds text
    if here not in sys.path:
        sys.path.insert(0, here)  # a program of its own does not look where it was started, as `python -m` does
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise _wrong(f"{name}: there is no module {error.name} to be found from {here}") from None
    except Exception as error:  # of the host's own code, at its import: not a defect of this program
        raise _wrong(
            f"{name}: importing {module} raised {type(error).__name__}; python -c 'import {module}' shows all of it"
        ) from error
    try:
        for part in path.split("."):
            found = getattr(found, part)
    except AttributeError:
        raise _wrong(f"{name}: the module has no {path}") from None
    return found


def _wrong(text: str) -> CommandError:
    return CommandError(text, code=ExitCode.CONFIGURATION)
