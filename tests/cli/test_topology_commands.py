"""`topology plan`, `apply`, `drift`."""

from tests.cli.command_line import CommandLine


def test_plan_changes_nothing(line: CommandLine) -> None:
    result = line.run("topology", "plan", "--json")
    assert result.code == 0
    assert "topic domain is missing" in result.json["removable"]
    assert line.run("topology", "plan", "--json").json == result.json


def test_drift_is_an_exit_code_until_it_is_applied(line: CommandLine) -> None:
    assert line.run("topology", "drift").code == 1
    applied = line.run("topology", "apply", "--yes", "--json")
    assert applied.code == 0, applied
    assert {each["topic"]: each["partitions"] for each in applied.json["topics"]} == {
        "domain": 4,
        "system": 1,
        "dlq": 4,
    }
    assert line.run("topology", "drift").code == 0


def test_apply_asks_first_and_does_nothing_without_an_answer(line: CommandLine) -> None:
    result = line.run("topology", "apply")
    assert result.code == 9
    assert "--yes" in result.err
    assert line.run("topology", "drift").code == 1


def test_what_cannot_be_changed_is_refused(line: CommandLine) -> None:
    line.run("topology", "apply", "--yes")
    line.file.write_text("mode: memory\ntopology: {domain_partitions: 16}\n")
    assert line.run("topology", "drift").code == 3
    result = line.run("topology", "apply", "--yes", "--json")
    assert result.code == 3
    assert "partitions is 4" in result.json["refused"][0]


def test_for_people_the_topics_are_a_table(line: CommandLine) -> None:
    line.run("topology", "apply", "--yes")
    lines = line.run("topology", "plan").out.splitlines()
    assert lines[0] == "✓ stream rustok is as configured"
    assert [each.split()[:2] for each in lines[4:]] == [["domain", "4"], ["system", "1"], ["dlq", "4"]]
    assert not any(each.endswith(" ") for each in lines)
