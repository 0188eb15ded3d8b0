"""Writes docs/public-names.md: every name in `__all__` of both packages, with the first sentence of its docstring."""

import importlib
import inspect
import re
from pathlib import Path

PACKAGES = ("rustok_iggy", "rustok_iggy_connector")
PAGE = Path(__file__).parents[1] / "docs" / "public-names.md"
HEADER = """# Public names

What a host application may import; [the reference](reference/api.md) has each with its signature. Anything else may
change without notice. Written by `make names`.
"""


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """Return the whole page."""
    return "\n".join([HEADER, *(section(package) for package in PACKAGES)])


def section(package: str) -> str:
    module = importlib.import_module(package)
    lines = [f"- `{name}`: {first_sentence(getattr(module, name))}" for name in sorted(getattr(module, "__all__", ()))]
    return "\n".join([f"## {package}", "", *lines, ""])


def first_sentence(value: object) -> str:
    """Up to the first full stop or paragraph. Numbers are shown as they are, other constants as their type."""
    if isinstance(value, int):
        return f"{value:,}"
    if not (inspect.isclass(value) or inspect.isroutine(value)):
        return f"a value of type {type(value).__name__}"
    paragraph = (inspect.getdoc(value) or "").partition("\n\n")[0]
    sentence, _, _ = " ".join(paragraph.split()).partition(". ")
    return re.sub(r"[.:]$", "", sentence) or "(no docstring)"


if __name__ == "__main__":
    main()
