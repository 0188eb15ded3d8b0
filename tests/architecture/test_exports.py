"""`__init__` holds the public names and nothing else, and every one of them can be imported and is documented."""

import ast
import importlib
import re

import pytest

from tests.architecture.source_tree import PACKAGES, ROOT, exported_names, module_at
from tests.architecture.test_layers import assert_none

PUBLIC_NAMES = ROOT / "docs" / "public-names.md"


WITH_NAMES = [package for package in PACKAGES if exported_names(package) is not None]


@pytest.mark.parametrize("package", WITH_NAMES)
def test_every_public_name_can_be_imported(package: str) -> None:
    loaded = importlib.import_module(package)
    names = exported_names(package) or ()
    assert len(set(names)) == len(names), "a name stands twice in __all__"
    assert_none([f"{package}.{name} is in __all__ but not there" for name in names if not hasattr(loaded, name)])


@pytest.mark.parametrize("package", WITH_NAMES)
def test_init_holds_public_names_and_nothing_else(package: str) -> None:
    module = module_at(ROOT / package / "__init__.py")
    names = {*(exported_names(package) or ())}
    problems = []
    for node in module.tree.body:
        if isinstance(node, ast.ImportFrom):
            given = {alias.asname or alias.name for alias in node.names}
            problems += [f"{module.at(node.lineno)}: {name} is not in __all__" for name in sorted(given - names)]
        elif not isinstance(node, ast.Import | ast.Assign | ast.AnnAssign | ast.Expr):
            problems.append(f"{module.at(node.lineno)}: {type(node).__name__} does not belong here")
    assert_none(problems)


@pytest.mark.parametrize("package", WITH_NAMES)
def test_the_documented_names_are_the_public_names(package: str) -> None:
    """docs/public-names.md has a section per package and a line per name: - `Name`: what it is."""
    text = PUBLIC_NAMES.read_text(encoding="utf-8")
    section = re.search(rf"^## {package}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert section, f"{PUBLIC_NAMES.name} has no section '## {package}'"
    documented = set(re.findall(r"^- `(\w+)`: \S", section.group(1), re.MULTILINE))
    public = {*(exported_names(package) or ())}
    assert documented == public, (
        f"run `make names`; not documented: {sorted(public - documented)}; not public: {sorted(documented - public)}"
    )
