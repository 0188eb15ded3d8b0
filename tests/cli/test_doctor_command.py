"""`doctor`: all of it, and its exit code."""

import asyncio

from rustok_iggy_connector import IggyConnector
from tests.cli.command_line import CommandLine
from tests.cli.letters import write_letters
from tests.cli.test_group_commands import WHERE, read_some


def states(line: CommandLine, *arguments: object) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for each in line.run("doctor", "--json", *arguments).json["findings"]:
        found.setdefault(each["check"], set()).add(each["state"])
    return found


def test_what_is_missing_is_a_problem(line: CommandLine) -> None:
    result = line.run("doctor")
    assert result.code == 1
    assert "✗ topic domain is missing" in result.out
    assert "→ rustok-iggy topology apply" in result.out


def test_all_is_well(line: CommandLine) -> None:
    line.publish_numbers(3)
    assert states(line) == {
        "server": {"ok"},
        "topology": {"ok"},
        "durability": {"note"},
        "clock": {"ok"},
        "groups": {"note"},
        "dead letters": {"ok"},
    }
    assert line.run("doctor").out.splitlines()[-1] == "all is well"


def test_letters_and_groups_without_members_are_warnings(line: CommandLine) -> None:
    line.publish_numbers(10)
    line.on_server(read_some)
    line.on_server(write_letters)
    found = states(line)
    assert (found["groups"], found["dead letters"]) == ({"warning"}, {"warning"})
    assert line.run("doctor").code == 0


def test_a_member_that_commits_nothing_is_noticed(line: CommandLine) -> None:
    line.publish_numbers(10)
    line.on_server(read_some)

    async def idle(connector: IggyConnector) -> None:
        member = await connector.subscribe(**WHERE)
        while True:
            await member.assignment()
            await asyncio.sleep(0.05)

    line.beside = idle
    assert states(line, "--watch", "0.3")["groups"] == {"warning"}
    assert states(line, "--watch", "0")["groups"] == {"ok"}
