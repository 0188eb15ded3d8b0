"""A page that does not do what it says fails."""

from pathlib import Path

import pytest

from tests.documentation.reading import read

pytestmark = pytest.mark.anyio

GOOD = "<!-- given: nothing -->\n```python\nprint('seen')\n```\n\n```text\nseen\n```\n"
BAD = {
    "a fragment that says nothing of what is given": (GOOD.partition("\n")[2], "no note says what is given"),
    "another output": (GOOD.replace("text\nseen", "text\nheard"), "should print"),
    "a fragment that raises": (GOOD.replace("print('seen')", "int('x')"), "invalid literal"),
    "a file that nothing uses": ("```python\n# shop.py\nprint('seen')\n```\n", "nothing runs it"),
    "a command that fails": ("<!-- terminal -->\n\n```console\n$ python -c 'raise SystemExit(3)'\n```\n", "SystemExit"),
    "a configuration with a typo": ("```yaml\nmode: remotely\n```\n", "remotely"),
    "a note that nobody knows": (GOOD.replace("nothing", "something"), "something"),
}


async def read_page(text: str, directory: Path, captured: pytest.CaptureFixture[str]) -> None:
    page = directory / "page.md"
    page.write_text(f"# Page\n\n{text}", encoding="utf-8")
    folder = directory / "reader"
    folder.mkdir()
    await read(str(page), folder, captured)


async def test_one_that_does_passes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    await read_page(GOOD, tmp_path, capsys)


@pytest.mark.parametrize(("text", "says"), BAD.values(), ids=BAD)
async def test_one_that_does_not_fails(
    text: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises((AssertionError, KeyError, ValueError)) as caught:
        await read_page(text, tmp_path, capsys)
    assert says in str(caught.value)
