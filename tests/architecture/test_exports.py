"""Where a package lists its public names stands nothing else, and each of them can be imported and is documented."""

import ast
import importlib
import re
import subprocess
import sys

import pytest

from tests.architecture.source_tree import EXPORTS, PACKAGES, ROOT, exported_names, module_at, module_names
from tests.architecture.test_layers import assert_none

PUBLIC_NAMES = ROOT / "docs" / "public-names.md"


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_can_be_imported(package: str) -> None:
    loaded = importlib.import_module(package)
    names = exported_names(package)
    assert len(set(names)) == len(names), "a name stands twice in __all__"
    assert_none([f"{package}.{name} is in __all__ but not there" for name in names if not hasattr(loaded, name)])


@pytest.mark.parametrize("package", PACKAGES)
def test_public_names_stand_alone(package: str) -> None:
    module = module_at(EXPORTS[package])
    names = {*exported_names(package)}
    problems = []
    for node in module.tree.body:
        if isinstance(node, ast.ImportFrom):
            given = {alias.asname or alias.name for alias in node.names}
            problems += [f"{module.at(node.lineno)}: {name} is not in __all__" for name in sorted(given - names)]
        elif not isinstance(node, ast.Import | ast.Assign | ast.AnnAssign | ast.Expr):
            problems.append(f"{module.at(node.lineno)}: {type(node).__name__} does not belong here")
    assert_none(problems)


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_has_the_name_of_something_public(package: str) -> None:
    """Importing such a module would put it in the name's place."""
    assert_none([f"{package}.{name}" for name in exported_names(package) if f"{package}.{name}" in module_names()])


def test_names_come_with_the_first_that_is_asked_for() -> None:
    code = (
        "import sys, rustok_iggy; print([name for name in sys.modules if name.startswith('rustok_')])\n"
        "print(rustok_iggy.EventEnvelope, 'Stop' in vars(rustok_iggy), {*rustok_iggy.__all__} <= {*dir(rustok_iggy)})\n"
        "from rustok_iggy import *; print(ParkTenant)\n"
        "from rustok_iggy import Nonesuch"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == [
        "['rustok_iggy']",
        "<class 'rustok_iggy.envelope.EventEnvelope'> True True",
        "<class 'rustok_iggy.consumer.failure.ParkTenant'>",
    ]
    assert "ImportError: cannot import name 'Nonesuch' from 'rustok_iggy'" in done.stderr


@pytest.mark.parametrize("package", PACKAGES)
def test_the_documented_names_are_the_public_names(package: str) -> None:
    """docs/public-names.md has a section per package and a line per name: - `Name`: what it is."""
    text = PUBLIC_NAMES.read_text(encoding="utf-8")
    section = re.search(rf"^## {package}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    assert section, f"{PUBLIC_NAMES.name} has no section '## {package}'"
    documented = set(re.findall(r"^- `(\w+)`: \S", section.group(1), re.MULTILINE))
    public = {*exported_names(package)}
    assert documented == public, (
        f"run `make names`; not documented: {sorted(public - documented)}; not public: {sorted(documented - public)}"
    )
