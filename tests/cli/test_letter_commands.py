"""`dlq list`, `show`, `stats`, `export`."""

import json
from pathlib import Path
from uuid import UUID

import pytest

from tests.cli.command_line import CommandLine
from tests.cli.letters import LETTERS, write_letters
from tests.dead_letters.journal_records import tenant


@pytest.fixture
def lettered(line: CommandLine) -> CommandLine:
    line.run("topology", "apply", "--yes")
    line.on_server(write_letters)
    return line


def test_an_empty_queue_is_well(line: CommandLine) -> None:
    line.run("topology", "apply", "--yes")
    assert line.run("dlq", "list", "--json").json == {"letters": [], "next": None}
    assert "no open dead letters" in line.run("dlq", "stats").out


def test_letters_are_listed_page_by_page(lettered: CommandLine) -> None:
    first = lettered.run("dlq", "list", "--limit", 4, "--json").json
    assert [each["offset"] for each in first["letters"]] == [0, 1, 2, 3]
    second = lettered.run("dlq", "list", "--after", first["next"], "--json").json
    assert ([each["offset"] for each in second["letters"]], second["next"]) == ([4, 5], None)
    assert f"--after {first['next']}" in lettered.run("dlq", "list", "--limit", 4).err


def test_a_list_fits_a_narrow_terminal(lettered: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = lettered.run("dlq", "list").out.split("\n\n")
    assert [len([line for line in each.splitlines() if line.startswith("  ")]) for each in shown] == [4, 4], shown
    assert "redrives" not in shown[0]


@pytest.mark.parametrize(
    ("selected", "offsets"),
    [
        (("--tenant", tenant(1)), [1, 3, 5]),
        (("--tenant", tenant(1), "--tenant", tenant(0)), [0, 1, 2, 3, 4, 5]),
        (("--fingerprint", "no such"), []),
        (("--all",), [0, 1, 2, 3, 4, 5]),
        (("--until", "2020-01-01T00:00:00Z"), None),
    ],
)
def test_letters_are_selected(lettered: CommandLine, selected: tuple[object, ...], offsets: list[int] | None) -> None:
    found = lettered.run("dlq", "list", *selected, "--json")
    assert found.code == 0, found
    if offsets is not None:
        assert [each["offset"] for each in found.json["letters"]] == offsets


def test_all_and_some_contradict_each_other(lettered: CommandLine) -> None:
    result = lettered.run("dlq", "list", "--all", "--tenant", tenant(1))
    assert (result.code, "not both" in result.err) == (3, True)


def test_show_has_error_and_stack_and_content_only_when_asked_for(lettered: CommandLine) -> None:
    event = lettered.run("dlq", "list", "--json").json["letters"][0]["event_id"]
    (found,) = lettered.run("dlq", "show", event, "--json").json
    assert (found["error_type"], "envelope" in found) == ("ValueError", False)
    assert '"number"' not in lettered.run("dlq", "show", event).out
    assert '"number": 0' in lettered.run("dlq", "show", event, "--payload").out
    (with_event,) = lettered.run("dlq", "show", event, "--payload", "--json").json
    assert with_event["envelope"]["event"] == {"type": "Counted", "data": {"number": 0}}
    missing = lettered.run("dlq", "show", UUID(int=1))
    assert (missing.code, "rustok-iggy trace" in missing.err) == (4, True)


def test_stats_count_every_letter_in_every_way(lettered: CommandLine) -> None:
    found = lettered.run("dlq", "stats", "--json").json
    for name in ("groups", "fingerprints", "event_types", "tenants", "causes"):
        assert sum(each["letters"] for each in found[name]) == found["letters"] == LETTERS
    assert found["fingerprints"][0]["error_type"] == "ValueError"
    shown = lettered.run("dlq", "stats").out
    assert "6 open letters" in shown
    assert "by kind of failure" in shown


def test_a_group_nobody_knows_is_said(lettered: CommandLine) -> None:
    result = lettered.run("dlq", "stats", "--group", "unknown")
    assert result.code == 3
    assert "groups with letters: billing" in result.err


def test_an_export_holds_the_letters_and_does_not_overwrite(lettered: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "letters.jsonl"
    assert lettered.run("dlq", "export", file, "--tenant", tenant(1), "--json").json["letters"] == 3
    assert [json.loads(each)["offset"] for each in file.read_text().splitlines()] == [1, 3, 5]
    assert lettered.run("dlq", "export", file).code == 9
    assert lettered.run("dlq", "export", file, "--yes").code == 0
