"""Writes docs/llms.txt, a short map of the documentation for language models (llmstxt.org), from the navigation.

The navigation is the toctrees of docs/index.md; what a page is about is its first sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FILE = DOCS / "llms.txt"
_TOCTREE = re.compile(r"^```\{toctree\}\n(?P<options>(?::[^\n]*\n)*)\n(?P<entries>.*?)^```$", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_NO_PROSE = ("#", "|", "```", "- ", "1. ", "<!--", "Written by")
SHORTEST = 40
"""Characters: a first sentence such as "At least once." says too little alone."""

HEADER = """# rustok-iggy

> {summary}

`pip install rustok-iggy`; the command line needs `rustok-iggy[cli]`. Python 3.11 to 3.13. This is a whole program:

```python
{example}```

- A handler may be given an event twice: make effects repeatable; `envelope.id` is the key.
- Repeat a publish that failed with `error.outcome_unknown` only as the same envelope.
- Own events: `@catalog.event("order.placed")` on a frozen msgspec Struct, and `IggyTransport(config, catalog=catalog)`.
- Import from `rustok_iggy`, `rustok_iggy.events`, `rustok_iggy.testing`, and what the pages below name.
- Tests: `MemoryTransport()`, or the pytest fixture `iggy`. Never sleep; `await iggy.settle()`.
"""


def content() -> str:
    """Return the whole file."""
    index = (DOCS / "index.md").read_text(encoding="utf-8")
    (example,) = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
    )
    parts = [HEADER.format(summary=first_sentence(index), example=example)]
    for caption, pages in navigation(index):
        parts.append(f"\n## {caption}\n\n" + "".join(f"- {line(page)}\n" for page in pages if is_listed(page)))
    return "".join(parts)


def navigation(index: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each caption with its pages, without ending, in the order of the site's side bar."""
    for found in _TOCTREE.finditer(index):
        (caption,) = re.findall(r"^:caption: (.*)$", found["options"], re.MULTILINE)
        pages: list[str] = []
        for entry in found["entries"].split():
            matching = sorted(str(path.relative_to(DOCS).with_suffix("")) for path in DOCS.glob(f"{entry}.md"))
            pages += [page for page in matching if page not in pages]
        yield caption, pages


def is_listed(page: str) -> bool:
    """Decisions are found in their own index."""
    return not page.startswith("decisions/") or page == "decisions/README"


def line(page: str) -> str:
    """A link to a page's Markdown, and what it is about."""
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    title = text.partition("\n")[0].removeprefix("# ")
    about = first_sentence(text)
    return f"[{title}]({page}.md)" + (f": {about}" if about else "")


def first_sentence(text: str) -> str:
    """The beginning of the first paragraph of prose before the second heading, without links and emphasis."""
    introduction = re.split(r"^## ", text.partition("\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    for paragraph in re.sub(r"^```.*?^```$", "", introduction, flags=re.DOTALL | re.MULTILINE).split("\n\n"):
        prose = " ".join(_LINK.sub(r"\1", paragraph).replace("*", "").split())
        if prose and not prose.startswith(_NO_PROSE):
            end = prose.find(". ", SHORTEST)
            return prose if end < 0 else prose[: end + 1]
    return ""


if __name__ == "__main__":
    FILE.write_text(content(), encoding="utf-8")
