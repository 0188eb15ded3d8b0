"""`tail`: from where, which, how many, and on."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest

from rustok_iggy import EventEnvelope, MemoryTransport
from rustok_iggy.cli import tail_command
from rustok_iggy.cli.session import Session
from rustok_iggy.replay.log_reader import LogReader
from rustok_iggy_connector import IggyConnector, InMemoryConnector
from tests.cli.command_line import CommandLine
from tests.consumer.hosts import Ignored, catalog, counted


def test_what_is_there_is_shown_in_order(line: CommandLine) -> None:
    envelopes = line.publish_numbers(40)
    found = line.run("tail", "--from", "earliest", "--no-follow", "--json").lines
    assert [each["event_id"] for each in found] == [str(each.id) for each in envelopes]
    assert [each["offset"] for each in found] == list(range(40))
    assert "envelope" not in found[0]


def test_types_and_tenants_are_filtered(line: CommandLine) -> None:
    other = UUID(int=8)
    line.publish(counted(0), EventEnvelope.new(other, Ignored(number=1)), counted(2, other))
    arguments = ("tail", "--from", "earliest", "--no-follow", "--json")

    def numbers(*more: object) -> list[int]:
        found = line.run(*arguments, "--content", *more).lines
        return sorted(each["envelope"]["event"]["data"]["number"] for each in found)

    assert numbers() == [0, 1, 2]
    assert numbers("--tenant", other) == [1, 2]
    assert numbers("--type", "thing.counted", "--tenant", other) == [2]
    assert numbers("--type", "thing.*", "--type", "no.*") == [0, 1, 2]
    assert len(numbers("--from", "1h", "-n", 2)) == 2


def test_it_follows_until_its_limit(line: CommandLine) -> None:
    line.publish_numbers(3)

    async def more(connector: IggyConnector) -> None:
        number = 100
        async with MemoryTransport(line.config, catalog=catalog, connector=connector) as transport:
            while True:
                await transport.publish(counted(number))
                number += 1
                await asyncio.sleep(0.01)

    line.beside = more
    found = line.run("tail", "-n", 3, "--json", "--content").lines
    numbers = [each["envelope"]["event"]["data"]["number"] for each in found]
    assert numbers[0] >= 100
    assert numbers == list(range(numbers[0], numbers[0] + 3))


def test_content_is_shown_only_when_asked_for(line: CommandLine) -> None:
    line.publish_numbers(1)
    arguments = ("tail", "--from", "earliest", "--no-follow")
    assert "number" not in line.run(*arguments).out
    assert '{"type":"Counted","data":{"number":0}}' in line.run(*arguments, "--content").out


def test_events_of_another_catalogue_are_shown_without_content(line: CommandLine) -> None:
    line.publish_numbers(1)
    arguments = ("tail", "--from", "earliest", "--no-follow", "--content", "--json")
    (found,) = line.run(*arguments, env={"RUSTOK_IGGY_CATALOG": "rustok_iggy.events:RUSTOK"}).lines
    assert (found["event_type"], found["envelope"]) == ("thing.counted", None)


def test_without_topics_it_says_what_to_do(line: CommandLine) -> None:
    result = line.run("tail", "--no-follow")
    assert result.code == 4
    assert "rustok-iggy topology apply" in result.err


def test_without_following_it_ends_where_the_topic_ended(line: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    line.publish_numbers(2)
    opened = tail_command.open_log

    @asynccontextmanager
    async def later(session: Session, topic: str) -> AsyncIterator[LogReader]:
        other = InMemoryConnector(line.server)
        async with MemoryTransport(line.config, catalog=catalog, connector=other) as transport:
            await transport.publish(counted(99))
        async with opened(session, topic) as log:
            yield log

    monkeypatch.setattr(tail_command, "open_log", later)
    assert len(line.run("tail", "--no-follow", "--from", "earliest", "--json").lines) == 2
