"""The pages of the documentation as a reader meets them: their blocks of code in order, with the notes above them.

What the tests do with a block (`reading.py`, `terminal.py`):

- `python` or `yaml`, first line `# name.py`: a file of that name is written; `# name.py, continued` adds to it, and the
  note `replaces a line of name.py` changes it. Test files are run at the end, unless the page itself runs pytest.
- `python` that calls asyncio.run, or has the note `program`: run as a program of its own. A `text` block behind it, or
  behind a fragment, is what it prints.
- other `python`: fragments, run one after another with the names of the page's note `given: …` (`settings.py`).
- other `yaml`: a configuration, which must load.
- `console`, on a page with the note `terminal`: commands behind `$ `, run in order. What follows each is what it
  prints; one without that must succeed. With the note `keeps running` a command goes on beside the next ones; `text` is
  what it prints further; the note `Ctrl-C` ends it.

Notes are comments, `<!-- given: … -->`, on a line of their own right above the block, which a reader does not see.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from tests.architecture.source_tree import ROOT

PAGES = (*(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").rglob("*.md"))), "README.md")
_BLOCK = re.compile(
    r"(?:^ *<!-- (?P<note>[^\n]*) -->\n)?"
    r"^(?P<indent> {0,3})```(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=indent)```$",
    re.DOTALL | re.MULTILINE,
)
_FILE = re.compile(r"# (?P<name>\w+\.(?:py|yaml))(?P<continued>, continued)?\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """A block of code; `note` is what the comment above it says, empty without one."""

    page: str
    line: int
    language: str
    text: str
    note: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str | None:
        """Name of the file that it shows, None when it shows none."""
        found = _FILE.match(self.text)
        return found["name"] if found else None

    @property
    def is_continued(self) -> bool:
        found = _FILE.match(self.text)
        return found is not None and found["continued"] is not None

    @property
    def is_program(self) -> bool:
        return self.file is None and (self.note == "program" or "asyncio.run(" in self.text)


def text_of(page: str) -> str:
    """The page's Markdown; pages are named from the repository's root."""
    return (ROOT / page).read_text(encoding="utf-8")


def blocks_of(page: str) -> list[Block]:
    text = text_of(page)
    return [
        Block(
            page=page,
            line=text.count("\n", 0, found.start()) + 1,
            language=found["language"],
            text=re.sub(f"^{found['indent']}", "", found["text"], flags=re.MULTILINE),  # within a list
            note=found["note"] or "",
        )
        for found in _BLOCK.finditer(text)
    ]


def prose_of(page: str) -> str:
    """The page without its blocks of code."""
    return _BLOCK.sub("", text_of(page))
