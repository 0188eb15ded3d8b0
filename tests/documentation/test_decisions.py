"""docs/decisions/README.md lists every decision, and each says why, what, and what it costs."""

import re

import pytest

from tests.architecture.source_tree import ROOT

FOLDER = ROOT / "docs" / "decisions"
DECISIONS = sorted(path.name for path in FOLDER.glob("0*.md"))


def test_every_decision_has_a_number_of_its_own() -> None:
    assert len({name[:4] for name in DECISIONS}) == len(DECISIONS) > 0


def test_the_index_lists_each_once() -> None:
    listed = re.findall(r"\]\((0[^)#]+\.md)\)", (FOLDER / "README.md").read_text(encoding="utf-8"))
    assert sorted(set(listed)) == DECISIONS


@pytest.mark.parametrize("name", DECISIONS)
def test_it_has_its_parts(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    parts = ("Context", "Choice", "What it costs")
    missing = [part for part in parts if not re.search(rf"^(## |\*\*){part}", text, re.MULTILINE)]
    assert not missing
