"""`bench`: its rows, and that nothing of it is left on the server."""

from uuid import UUID

import pytest

from rustok_iggy import RequestTimeoutError
from rustok_iggy.benchmark.quick import Measured, QuickBenchmark
from rustok_iggy_connector import IggyConnector
from tests.cli.command_line import CommandLine

QUICK = ("bench", "--seconds", "0.1", "--rate", "50")
STREAM = "rustok-bench-00000000"


@pytest.fixture(autouse=True)
def named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rustok_iggy.cli.bench_command.uuid4", lambda: UUID(int=7))


def is_there(line: CommandLine) -> bool:
    found = []

    async def look(connector: IggyConnector) -> None:
        found.append(await connector.admin.describe_stream(STREAM))

    line.on_server(look)
    return found != [None]


def test_every_row_is_measured_and_the_stream_is_deleted(line: CommandLine) -> None:
    result = line.run(*QUICK, "--json")
    assert result.code == 0, result
    single, batches, many, consumed, paced = result.json["rows"]
    assert all(each["events"] > 0 and each["events_per_second"] > 0 for each in result.json["rows"]), result
    assert all(0 < each["p50"] <= each["p99"] for each in (single, batches, many, paced))
    assert (batches["events"] % 100, consumed["p50"], paced["events"]) == (0, None, 5)
    assert consumed["events"] <= single["events"] + batches["events"] + many["events"] + 102, "warm-up included"
    assert not is_there(line)


def test_it_is_a_table_for_people(line: CommandLine) -> None:
    shown = line.run(*QUICK).out
    assert "publish to handler, 50 a second" in shown
    assert "p99" in shown


def test_a_remote_server_is_written_to_only_when_that_is_meant(line: CommandLine) -> None:
    result = line.run(*QUICK, "--address", "iggy.example:8090", env={"RUSTOK_IGGY__REMOTE__PASSWORD": "x"})
    assert (result.code, "and delete it?" in result.err) == (9, True), result
    assert not is_there(line)


def test_the_stream_is_deleted_also_when_a_row_fails(line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    measure, was_there = QuickBenchmark.measure, []

    async def fail_at_the_second(self: QuickBenchmark, name: str) -> Measured:
        if name.startswith("publish batches"):
            async with self._open_transport() as transport:
                was_there.append(await transport._connector.admin.describe_stream(STREAM))
            raise RequestTimeoutError("it did not answer", command="send_messages", timeout=1.0)
        return await measure(self, name)

    monkeypatch.setattr(QuickBenchmark, "measure", fail_at_the_second)
    result = line.run(*QUICK)
    assert (result.code, "it did not answer" in result.err) == (5, True), result
    assert was_there != [None]
    assert not is_there(line)
