"""The tree printed at the top of errors.py is the tree of classes, with its marks: * retryable, ? outcome unknown."""

import importlib
import inspect
import re
from dataclasses import dataclass
from types import ModuleType

import pytest

from tests.architecture.source_tree import PACKAGES, ROOT

ROOT_ERROR = "RustokIggyError"
ELSEWHERE = "its own tree"  # a branch that another module prints
NAME = re.compile(r"([A-Z]\w*Error)(?:\([^)]*\))?((?: ?[*?])*)")


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    parent: str | None
    retryable: bool
    outcome_unknown: bool


def printed_tree(module: ModuleType) -> dict[str, Row]:
    rows: dict[str, Row] = {}
    path: list[tuple[int, str]] = []
    for line in (module.__doc__ or "").splitlines():
        if not re.match(rf"\s*(?:{ROOT_ERROR}\b|[│├└])", line) or ELSEWHERE in line:
            continue
        found = list(NAME.finditer(line))
        if not found:
            continue
        depth = found[0].start()
        while path and path[-1][0] >= depth:
            path.pop()
        parent = path[-1][1] if path else None
        for match in found:
            name, marks = match.group(1), match.group(2)
            rows[name] = Row(name=name, parent=parent, retryable="*" in marks, outcome_unknown="?" in marks)
        path.append((depth, found[-1].group(1)))
    return rows


def defined_tree(module: ModuleType) -> dict[str, Row]:
    root = importlib.import_module("rustok_iggy_connector.errors").RustokIggyError
    rows = {}
    for name, kind in vars(module).items():
        if inspect.isclass(kind) and issubclass(kind, root) and kind.__module__ == module.__name__:
            parent = None if kind is root else next(base.__name__ for base in kind.__bases__ if issubclass(base, root))
            rows[name] = Row(name=name, parent=parent, retryable=kind.retryable, outcome_unknown=kind.outcome_unknown)
    return rows


@pytest.mark.parametrize("package", PACKAGES)
def test_the_printed_tree_is_the_tree_of_classes(package: str) -> None:
    if not (ROOT / package / "errors.py").exists():
        pytest.skip(f"{package} raises only what the other package defines")
    module = importlib.import_module(f"{package}.errors")
    printed, defined = printed_tree(module), defined_tree(module)
    own = {name: row for name, row in printed.items() if name in defined or not hasattr(module, name)}
    assert own == defined
