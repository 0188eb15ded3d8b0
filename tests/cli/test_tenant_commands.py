"""`tenant where`: partitions and skew, without a server."""

from pathlib import Path
from uuid import UUID

from rustok_iggy.partitioning import partition_for
from tests.cli.command_line import CommandLine

TENANTS = [UUID(int=number) for number in range(1, 101)]


def test_a_tenants_partition_is_the_transports(line: CommandLine) -> None:
    found = line.run("tenant", "where", TENANTS[0], TENANTS[1], "--json").json
    assert found["partitions"] == 4
    assert [each["partition"] for each in found["tenants"]] == [partition_for(each, 4) for each in TENANTS[:2]]


def test_skew_of_a_list_for_another_count(line: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "tenants.txt"
    file.write_text("\n".join(map(str, TENANTS)) + "\n\n")
    found = line.run("tenant", "where", "--file", file, "--partitions", 8, "--json").json
    counts = [each["tenants"] for each in found["counts"]]
    assert (sum(counts), len(counts)) == (100, 8)
    assert found["skew"] == max(counts) / 12.5
    assert "times the mean" in line.run("tenant", "where", "--file", file).out


def test_wrong_tenants_are_named_with_their_line(line: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "tenants.txt"
    file.write_text(f"{TENANTS[0]}\nacme\n")
    result = line.run("tenant", "where", "--file", file)
    assert (result.code, f"{file}:2: tenant_id: must be a UUID" in result.err.replace("\n", "")) == (3, True), result
    assert line.run("tenant", "where", "acme").code == 2
    assert line.run("tenant", "where").code == 2
    assert line.run("tenant", "where", "--file", tmp_path / "no").code == 4
