"""Every page does what it says: its programs run, its commands are typed, its fragments are executed, as printed."""

import re

import pytest

from tests.architecture.test_layers import assert_none
from tests.documentation.pages import PAGES, blocks_of, prose_of, text_of
from tests.documentation.reading import TERMINAL, read

pytestmark = pytest.mark.anyio

INDENTED = re.compile(r"(?<=\n\n) {4}\S[^\n]*")
TO_RUN = [
    page
    for page in PAGES
    if TERMINAL in text_of(page) or any(block.language in {"python", "yaml"} for block in blocks_of(page))
]


@pytest.mark.timeout(300)  # the tutorial starts a dozen programs, one after another
@pytest.mark.parametrize("page", TO_RUN)
async def test_the_page_does_what_it_says(
    page: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path_factory.mktemp("page") / "reader"  # a short name: it stands in what is printed
    folder.mkdir()
    monkeypatch.chdir(folder)
    await read(page, folder, capsys)


def test_no_example_hides_from_the_tests() -> None:
    """Code stands in fences at the margin, in a language that is looked at."""
    problems = []
    for page in PAGES:
        prose = prose_of(page)
        problems += [f"{page}: code that is only indented: {each.strip()}" for each in re.findall(INDENTED, prose)]
        problems += [f"{page}: a fence that is not at the margin, or has an odd end"] if "```" in prose else []
    assert_none(problems)
