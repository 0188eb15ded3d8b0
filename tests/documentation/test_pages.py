"""Every page does what it says: its programs run, its commands are typed, its fragments are executed, as printed."""

from pathlib import Path

import pytest

from tests.documentation.pages import PAGES, blocks_of, text_of
from tests.documentation.reading import TERMINAL, read

pytestmark = pytest.mark.anyio

ELSEWHERE = {"README.md": "tests/test_readme.py"}
"""Pages whose examples another test runs."""
TO_RUN = [
    page
    for page in PAGES
    if page not in ELSEWHERE and (TERMINAL in text_of(page) or any(b.language == "python" for b in blocks_of(page)))
]


@pytest.mark.timeout(180)  # the tutorial starts a dozen programs, one after another
@pytest.mark.parametrize("page", TO_RUN)
async def test_the_page_does_what_it_says(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "reader"
    folder.mkdir()
    monkeypatch.chdir(folder)
    await read(page, folder, capsys)
