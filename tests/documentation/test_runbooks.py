"""What a runbook tells people to look for is there under that name, and every alert leads to a page."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rustok_iggy import errors
from tests.architecture.source_tree import ROOT, modules
from tests.metrics.test_generated import SERIES
from tools.metric_alerts import ALERTS

FOLDER = ROOT / "docs" / "runbooks"
PAGES = sorted(path for path in FOLDER.glob("*.md") if path.name != "index.md")
SECTIONS = ["How it shows", "Look", "Do", "Over when", "Never"]
WHERE = {"alert", "metric", "log", "health", "error"}
LEVELS = {"debug", "info", "warning", "error", "exception"}
ANYTHING = "…"
"""Stands in a page, and in what is read from the source, for a value."""


def constants() -> Iterator[str]:
    """Every text in the source, with `…` for each value that is put into it."""
    for module in modules():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else ANYTHING for part in node.values)


def logged_events() -> Iterator[str]:
    for module in modules():
        for node in ast.walk(module.tree):
            match node:
                case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=level), args=[event, *_]):
                    if level in LEVELS and isinstance(event, ast.Constant):
                        yield event.value


TEXTS = tuple(set(constants()))
EVENTS = set(logged_events())


def rows(page: Path) -> dict[str, list[str]]:
    """What stands in quotes of code in each row of the table of signs."""
    section = page.read_text(encoding="utf-8").partition("## How it shows\n")[2].partition("\n\n")[0]
    found = dict(re.findall(r"^\| (\w+) \| (.*) \|$", section, re.MULTILINE))
    return {where: re.findall(r"`([^`]+)`", cell) for where, cell in found.items() if where != "where"}


def is_said(text: str) -> bool:
    """Whether the source has a text that can become this one, whatever its values are."""
    looked_for = [part for part in re.split(rf"{ANYTHING}|\d+", text) if part.strip()]
    pattern = re.compile(".*?".join(map(re.escape, looked_for)), re.DOTALL)
    return any(pattern.search(each) for each in TEXTS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_the_sections_that_one_looks_for(page: Path) -> None:
    assert re.findall(r"^## (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE) == SECTIONS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_signs_have_the_names_that_the_source_gives_them(page: Path) -> None:
    signs = rows(page)
    assert signs
    assert signs.keys() <= WHERE
    alerts = {alert.name for alert in ALERTS}
    assert set(signs.get("alert", ())) <= alerts
    series = {each.partition("{")[0] for each in signs.get("metric", ()) if each.startswith("rustok_iggy_")}
    assert series <= {metric.full_name for metric in SERIES.values()}
    events = {each for each in signs.get("log", ()) if re.fullmatch(r"[a-z]+(_[a-z]+)*", each)}
    assert events <= EVENTS | {"assigned"}
    names = {each for each in signs.get("error", ()) if each.endswith("Error")}
    assert {each for each in names if not hasattr(errors, each)} == set()
    texts = [each for each in (*signs.get("health", ()), *signs.get("error", ())) if " " in each]
    assert [each for each in texts if not is_said(each)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_metrics_and_alerts_named_anywhere_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert set(re.findall(r"\bRustokIggy(?!Error)\w+", text)) <= {alert.name for alert in ALERTS}
    # Packages and modules have names of the same shape; a metric stands alone in quotes of code.
    assert set(re.findall(r"`(rustok_iggy_(?!connector)\w+)", text)) <= {metric.full_name for metric in SERIES.values()}


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_leads_to_a_page_that_knows_it(alert: object) -> None:
    page = ROOT / alert.runbook
    assert page in PAGES
    assert alert.name in rows(page)["alert"]
    line = next(line for line in (FOLDER / "index.md").read_text(encoding="utf-8").splitlines() if alert.name in line)
    assert f"({page.name})" in line


def test_every_page_is_in_the_index() -> None:
    listed = re.findall(r"\]\(([\w-]+\.md)\)", (FOLDER / "index.md").read_text(encoding="utf-8"))
    assert sorted(listed) == [page.name for page in PAGES]
