"""The site builds without a warning: no link that leads nowhere, no missing heading, no page outside the navigation."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT

DOCS = ROOT / "docs"
pytestmark = pytest.mark.timeout(180)  # some seconds of one core, on a machine that others use too


def build(docs: Path, site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-d", f"{site}-doctrees", str(docs), str(site)],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    site = tmp_path_factory.mktemp("docs") / "site"
    done = build(DOCS, site)
    assert done.returncode == 0, done.stderr
    return site


def test_it_builds_without_warnings(site: Path) -> None:
    assert (site / "index.html").exists()


def test_it_needs_nothing_from_elsewhere(site: Path) -> None:
    """Pages are read where there is no network: no script, style, font or picture is fetched."""
    fetched = re.compile(r"<(?:script|link|img)\b[^>]*\b(?:src|href)=\"(?:https?:)?//[^\"]*\"")
    found = {each for page in site.rglob("*.html") for each in fetched.findall(page.read_text(encoding="utf-8"))}
    assert not found


def test_each_page_lies_there_as_markdown_too(site: Path) -> None:
    """llms.txt points at them."""
    pages = {path.relative_to(DOCS) for path in DOCS.rglob("*.md")}
    assert pages == {path.relative_to(site) for path in site.rglob("*.md")}


def test_what_is_wrong_fails_it(tmp_path: Path) -> None:
    """Other pages, built as ours are: links to a page, a heading and a file that are not there, and an orphan."""
    docs = tmp_path / "docs"
    docs.mkdir()
    shutil.copy(DOCS / "conf.py", docs)
    shutil.copytree(DOCS / "assets", docs / "assets")
    (docs / "llms.txt").touch()
    (docs / "index.md").write_text("# Small\n\n[a](gone.md) [b](index.md#lost) [c](absent.json)\n", encoding="utf-8")
    (docs / "orphan.md").write_text("# Orphan\n", encoding="utf-8")
    done = build(docs, tmp_path / "site")
    assert done.returncode != 0
    missed = {"gone.md", "lost", "absent.json", "orphan.md"} - set(re.findall(r"[a-z]+(?:\.[a-z]+)?", done.stderr))
    assert not missed, done.stderr
