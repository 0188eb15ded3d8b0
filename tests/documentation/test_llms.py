"""docs/llms.txt is what `make llms` writes, and names every page."""

import re

from tools.write_llms_txt import DOCS, FILE, content, is_listed


def test_it_is_what_make_llms_writes() -> None:
    assert FILE.read_text(encoding="utf-8") == content(), "run `make llms`"


def test_it_names_every_page() -> None:
    named = set(re.findall(r"\]\((\S+)\.md\)", FILE.read_text(encoding="utf-8")))
    pages = {str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.rglob("*.md")}
    assert named == {page for page in pages if is_listed(page)} - {"index"}


def test_every_guide_says_what_it_is_about() -> None:
    silent = re.compile(r"^- \[[^\]]*\]\((?:how-to|explanation)/\S+\)$", re.MULTILINE)
    assert not silent.findall(FILE.read_text(encoding="utf-8"))
