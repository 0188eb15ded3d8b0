"""`groups list`, `lag`, `reset`, `forget`."""

import asyncio

import pytest

from rustok_iggy_connector import IggyConnector
from tests.cli.command_line import CommandLine

WHERE = {"stream": "rustok", "topic": "domain", "group": "billing"}


async def read_some(connector: IggyConnector) -> None:
    """A group that read the tenant's first four events and left."""
    await connector.admin.create_group(**WHERE)
    topic = await connector.admin.describe_topic(stream="rustok", topic="domain")
    assert topic is not None
    offsets = dict.fromkeys(topic.current_offsets, 3)
    await connector.admin.store_group_offsets(**WHERE, offsets=offsets)


@pytest.fixture
def read(line: CommandLine) -> CommandLine:
    line.publish_numbers(10)
    line.on_server(read_some)
    return line


def test_groups_show_members_and_lag(read: CommandLine) -> None:
    (group,) = read.run("groups", "list", "--json").json
    assert (group["group"], group["topic"], group["members"], group["lag"]) == ("billing", "domain", [], 6)
    assert "nobody reads, and events wait" in read.run("groups", "list").out


def test_lag_is_shown_by_partition(read: CommandLine) -> None:
    (group,) = read.run("groups", "lag", "billing", "--json").json
    assert read.run("groups", "lag", "--json").json == [group]
    busy = [each for each in group["partitions"] if each["last"] is not None]
    assert busy == [{"partition": busy[0]["partition"], "committed": 3, "last": 9, "lag": 6, "member": None}]


@pytest.mark.parametrize("arguments", [("lag", "unknown"), ("forget", "unknown", "--yes"), ("list", "--topic", "no")])
def test_what_is_not_there_is_said(read: CommandLine, arguments: tuple[str, ...]) -> None:
    result = read.run("groups", *arguments)
    assert result.code == 4, result
    assert result.err.startswith("error: ")


@pytest.mark.parametrize(
    ("to", "again", "skipped"), [("earliest", 4, 0), ("latest", 0, 6), ("2", 2, 0), ("8", 0, 4), ("1h", 4, 0)]
)
def test_a_dry_run_of_a_reset_counts_and_changes_nothing(read: CommandLine, to: str, again: int, skipped: int) -> None:
    result = read.run("groups", "reset", "billing", "--to", to, "--dry-run", "--json")
    assert result.code == 0, result
    planned = result.json
    assert (planned["again"], planned["skipped"], planned["done"]) == (again, skipped, False)
    assert read.run("groups", "list", "--json").json[0]["lag"] == 6


def test_a_reset_is_asked_for_and_done(read: CommandLine) -> None:
    declined = read.run("groups", "reset", "billing", "--to", "latest")
    assert declined.code == 9
    assert "6 events will be skipped" in declined.out
    done = read.run("groups", "reset", "billing", "--to", "latest", "--yes", "--json")
    assert done.json["done"] is True
    assert read.run("groups", "list", "--json").json[0]["lag"] == 0
    assert read.run("groups", "reset", "billing", "--to", "latest", "--json").json["changes"] == []


@pytest.mark.parametrize("to", ["yesterday", "2026-11-21", "-1"])
def test_a_place_that_is_none_is_a_wrong_command_line(read: CommandLine, to: str) -> None:
    assert read.run("groups", "reset", "billing", f"--to={to}").code == 2


def test_a_group_with_members_is_not_touched(read: CommandLine) -> None:
    async def busy(connector: IggyConnector) -> None:
        member = await connector.subscribe(**WHERE)
        await member.assignment()
        await asyncio.Event().wait()

    read.beside = busy
    for arguments in (("forget", "billing"), ("reset", "billing", "--to", "latest")):
        result = read.run("groups", *arguments, "--yes")
        assert result.code == 3, result
        assert "member" in result.err


def test_a_forgotten_group_is_gone(read: CommandLine) -> None:
    assert read.run("groups", "forget", "billing").code == 9
    assert read.run("groups", "forget", "billing", "--yes").code == 0
    assert read.run("groups", "list", "--json").json == []
