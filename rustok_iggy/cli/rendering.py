"""How things look: tables, facts, numbers, ages, sizes. The only place that formats.

What comes from outside (event types, names, error texts) is stripped of everything that is not printable: a terminal
would obey it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import TypeAlias

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

Shown: TypeAlias = RenderableType
"""What can be printed."""
NOTHING = "–"
INDENT = 2
# unit, seconds: the largest that fits is shown with the next smaller one.
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_SIZES = ("B", "KiB", "MiB", "GiB", "TiB")
MARKS = {"ok": ("✓", "green"), "note": ("•", "cyan"), "warning": ("!", "yellow"), "problem": ("✗", "bold red")}
"""A sign for each state, so that colour is never the only difference."""


def printable(value: object) -> str:
    """Return a value as one line of text that no terminal obeys."""
    text = value.value if isinstance(value, Enum) else value
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in str(text))


def lines_of(text: str) -> str:
    """Return text of several lines, each made printable."""
    return "\n".join(printable(line.replace("\t", "    ")) for line in text.splitlines())


def cell(value: object) -> Text:
    """Return what stands in a table: numbers grouped, times in UTC, None as a dash."""
    match value:
        case Text():
            return value
        case None:
            return Text(NOTHING, style="dim")
        case bool():
            return Text("yes" if value else "no")
        case int():
            return Text(f"{value:,}")
        case float():
            return Text(f"{value:,.1f}")
        case datetime():
            return Text(moment(value))
        case _:
            return Text(printable(value))


def table(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> Table:
    """Return a table without lines. A column whose name begins with > holds numbers and stands to the right; one with
    = is never cut: ids are copied.
    """
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold dim")
    for name in columns:
        whole = name[:1] in {">", "="}
        made.add_column(
            name[1:] if whole else name,
            justify="right" if name.startswith(">") else "left",
            no_wrap=whole,
            overflow="fold",
        )
    for row in rows:
        made.add_row(*map(cell, row))
    return made


def facts(pairs: Mapping[str, object]) -> Table:
    """Return names and values below each other."""
    made = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    made.add_column(style="dim", no_wrap=True)
    made.add_column()
    for name, value in pairs.items():
        made.add_row(name, cell(value))
    return made


def heading(text: str) -> Text:
    """Return a line that says what follows."""
    return Text(f"\n{printable(text)}", style="bold")


def section(title: str, *parts: RenderableType) -> Group:
    """Return a heading, and what it stands for, indented."""
    return Group(heading(title), *(Padding(part, (0, 0, 0, INDENT)) for part in parts))


def marked(state: str, text: str, advice: str | None = None) -> Table:
    """Return a line with its mark, and below it what to do."""
    sign, style = MARKS[state]
    made = Table.grid(padding=(0, 1, 0, 0))
    made.add_column(width=1)
    made.add_column()
    made.add_row(Text(sign, style=style), Text(lines_of(text)))
    if advice:
        made.add_row("", Text(f"→ {lines_of(advice)}", style="dim"))
    return made


def remarks(found: Iterable[tuple[str, str, str | None]]) -> list[Shown]:
    """Return (state, text, advice) as marked lines; the same advice in a row is given once, below the last."""
    rows = list(found)
    following = [advice for _, _, advice in rows[1:]] + [None]
    return [
        marked(state, text, None if advice == after else advice)
        for (state, text, advice), after in zip(rows, following, strict=True)
    ]


def moment(value: datetime) -> str:
    """Return a time in UTC, to the second."""
    return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def precise(value: datetime) -> str:
    """Return a time in UTC, to the millisecond."""
    at = value.astimezone(UTC)
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03}"


def age(seconds: float) -> str:
    """Return a duration in its two largest units: 3 h 12 min."""
    left = round(seconds)
    parts: list[tuple[int, str]] = []
    for unit, length in _UNITS:
        count, left = divmod(left, length)
        if count or parts:
            parts.append((count, unit))
    shown = " ".join(f"{count} {unit}" for count, unit in parts[:2] if count)
    return shown or "0 s"


def size(count: float) -> str:
    """Return a number of bytes: 12.5 MiB."""
    for unit in _SIZES:
        if count < 1024 or unit == _SIZES[-1]:
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError("the last unit takes every size")


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return `3 letters`, `1 letter`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
