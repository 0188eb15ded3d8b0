"""Numbers, ages and sizes; nothing from outside reaches the terminal as a command to it."""

import io

import pytest
from rich.console import Console

from rustok_iggy.cli.rendering import age, cell, facts, marked, printable, remarks, section, size, table


def drawn(*shown: object) -> str:
    console = Console(file=io.StringIO(), width=60, markup=False, highlight=False)
    for each in shown:
        console.print(each)
    found: str = console.file.getvalue()  # type: ignore[attr-defined]  # it is the StringIO given above
    return found


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (59.4, "59 s"), (60, "1 min"), (3725, "1 h 2 min"), (90_000, "1 d 1 h"), (86_400, "1 d")],
)
def test_an_age_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert age(seconds) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (2**50, "1024.0 TiB")])
def test_a_size_has_a_unit(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize("bad", ["\x1b[2J", "a\rb", "a\nb", "\x07", "\u202eabc", "\x9b31m"])
def test_nothing_that_a_terminal_obeys_is_printed(bad: str) -> None:
    assert printable(bad).isprintable()
    for shown in (table(("a",), [(bad,)]), facts({"a": bad}), marked("ok", bad, bad), section(bad)):
        assert not set(bad) & set("\x1b\r\x07\x9b\u202e") & set(drawn(shown))


def test_text_in_brackets_is_text() -> None:
    assert "[red]x[/red]" in drawn(table(("a",), [("[red]x[/red]",)]))


def test_nothing_is_a_dash() -> None:
    assert (cell(None).plain, cell(1234567).plain, cell(True).plain) == ("–", "1,234,567", "yes")


def test_the_same_advice_in_a_row_is_given_once() -> None:
    rows = [("problem", "a", "do this"), ("problem", "b", "do this"), ("note", "c", None), ("problem", "d", "do that")]
    lines = [each.split() for each in drawn(*remarks(rows)).splitlines()]
    assert lines == [["✗", "a"], ["✗", "b"], ["→", "do", "this"], ["•", "c"], ["✗", "d"], ["→", "do", "that"]]
