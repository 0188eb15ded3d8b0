"""`schema export` and `check`."""

from pathlib import Path

import pytest

from tests.cli.command_line import CommandLine


@pytest.mark.parametrize("kind", ["json-schema", "asyncapi"])
def test_an_export_fits_what_it_was_made_from(line: CommandLine, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "events.json"
    assert line.run("schema", "export", "--as", kind, "-o", file, "--json").json["event_types"] == 3
    result = line.run("schema", "check", file, "--mode", "full", "--json")
    assert (result.code, result.json["compatible"], result.json["mode"]) == (0, True, "FULL")


def test_without_a_file_the_document_is_printed(line: CommandLine) -> None:
    assert "oneOf" in line.run("schema", "export").json


def test_what_is_not_compatible_is_an_exit_code(line: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "events.json"
    line.run("schema", "export", "-o", file)
    file.write_text(file.read_text().replace('"number"', '"count"'))
    result = line.run("schema", "check", file)
    assert result.code == 1
    assert "thing.counted data.number: is required, and is not written" in result.out
    assert line.run("schema", "check", file, "--json").json["incompatibilities"][0]["direction"] == "BACKWARD"


def test_a_catalogue_without_a_type_that_was_there(line: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "events.json"
    rustok = {"RUSTOK_IGGY_CATALOG": "rustok_iggy.events:RUSTOK"}
    line.run("schema", "export", "-o", file, env=rustok)
    result = line.run("schema", "check", file, "--json")
    assert result.code == 1
    assert result.json["added"] == ["thing.counted", "thing.ignored", "thing.large"]


def test_wrong_files_are_said(line: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    assert line.run("schema", "check", file).code == 4
    for text in ("{", "[]", "{}", '{"x-rustok-iggy": {"format": 1, "events": [{}]}}'):
        file.write_text(text)
        assert line.run("schema", "check", file).code == 3, text
