"""Files a person can read in one sitting, functions that fit in a head, names that say what is inside."""

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.source_tree import ROOT, Module, module_at, modules, words
from tests.architecture.test_layers import assert_none

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
# Drawers, not nouns: whatever has no home ends up in them.
BANNED_NAMES = words("base common core helper helpers impl misc util utils")


def code() -> Iterator[Module]:
    yield from modules()
    for folder in ("benchmarks", "examples", "tools"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield module_at(path)


def test_file_names_say_what_is_inside() -> None:
    assert_none(
        [
            f"{module.at(1)}: '{word}' names a drawer, not a thing"
            for module in code()
            for word in {part.strip("_") for part in module.path.relative_to(ROOT).with_suffix("").parts}
            if word in BANNED_NAMES
        ]
    )


def test_files_hold_one_noun() -> None:
    lengths = ((module, len(module.path.read_text(encoding="utf-8").splitlines())) for module in code())
    assert_none(
        [
            f"{module.at(1)}: {lines} lines, more than {MAX_FILE_LINES}: which two nouns live here?"
            for module, lines in lengths
            if lines > MAX_FILE_LINES
        ]
    )


def test_functions_fit_in_a_head() -> None:
    assert_none(
        [
            f"{module.at(node.lineno)}: {node.name} has {lines} lines, more than {MAX_FUNCTION_LINES}"
            for module in code()
            for node in ast.walk(module.tree)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            and (lines := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
        ]
    )


@pytest.mark.parametrize("marker", ["noqa", "type: ignore"])
def test_every_silenced_warning_gives_its_reason(marker: str) -> None:
    """After the codes on the same line (`# noqa: S310 - only https`), or in a comment on the line before."""
    problems = []
    for module in code():
        lines = module.path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            _, found, rest = line.partition(f"# {marker}")
            explained = any(len(word) > 3 and word.islower() for word in rest.replace("-", " ").split())
            if found and not explained and not lines[number - 2].lstrip().startswith("#"):
                problems.append(f"{module.at(number)}: {line.strip()}")
    assert_none(problems)
