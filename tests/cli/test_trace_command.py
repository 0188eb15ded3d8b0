"""`trace`: where an event is, who is done with it, and what the journal says."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from rustok_iggy.cli import trace_command
from rustok_iggy.dead_letters.records import Outcome
from rustok_iggy.partitioning import partition_for
from rustok_iggy_connector import IggyConnector
from tests.cli.command_line import CommandLine
from tests.cli.test_group_commands import read_some
from tests.consumer.hosts import TENANT
from tests.dead_letters.hand_owner import HandOwner, original_of, source


def test_an_event_that_waits_and_one_that_is_done(line: CommandLine) -> None:
    envelopes = line.publish_numbers(10)
    line.on_server(read_some)
    done = line.run("trace", envelopes[3].id, "--json").json
    assert (done["event"]["offset"], done["groups"]) == (3, [{"group": "billing", "state": "done", "committed": 3}])
    waiting = line.run("trace", envelopes[6].id, "--json").json
    assert waiting["groups"][0]["state"] == "not done: 2 before it"
    assert "offset 6" in line.run("trace", envelopes[6].id, "--tenant", TENANT).out


def test_the_way_of_a_dead_letter(line: CommandLine) -> None:
    envelopes = line.publish_numbers(5)
    partition = partition_for(TENANT, 4)
    request = uuid4()

    async def fail_and_redrive(connector: IggyConnector) -> None:
        owner = HandOwner(connector, source(partition))
        await owner.join()
        await owner.claim()
        envelope = envelopes[2]
        await owner.letter(2, original=original_of(envelope), event_id=envelope.id, tenant_id=TENANT)
        await owner.letter(3, event_id=envelopes[3].id)
        await owner.attempt(2, request)
        await owner.settle(2, Outcome.FAILED, request)
        await owner.attempt(2, request, number=2)
        await owner.settle(2, Outcome.HANDLED, request, number=2)

    line.on_server(fail_and_redrive)
    found = line.run("trace", envelopes[2].id, "--json").json
    steps = [each["what"] for each in found["journal"]]
    assert steps == ["dead letter", "redrive 1", "failed", "redrive 2", "handled"]
    assert {each["request"] for each in found["journal"][1:]} == {str(request)}
    assert found["groups"][0]["state"] == "handled after a redrive"
    assert line.run("trace", envelopes[3].id, "--json").json["groups"][0]["state"] == "open dead letter"
    assert "dead-letter journal" in line.run("trace", envelopes[2].id).out


def test_a_copy_is_told(line: CommandLine) -> None:
    envelopes = line.publish_numbers(1)
    line.publish(*envelopes)
    found = line.run("trace", envelopes[0].id, "--json").json
    assert [each["offset"] for each in found["copies"]] == [1]
    assert "pass over copies" in line.run("trace", envelopes[0].id).out


@pytest.mark.parametrize("event", [UUID(int=1), uuid4()])
def test_an_event_that_is_nowhere(line: CommandLine, event: UUID) -> None:
    line.publish_numbers(1)
    result = line.run("trace", event)
    assert (result.code, "never published" in result.err) == (4, True)


def test_an_id_that_seems_younger_than_its_event_is_found_all_the_same(
    line: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first 48 bits of an id that is no ULID may look like any time."""
    (envelope,) = line.publish_numbers(1)
    monkeypatch.setattr(trace_command, "_made_at", lambda event: datetime.now(UTC) + timedelta(hours=1))
    assert line.run("trace", envelope.id).code == 0
    assert line.run("trace", envelope.id, "--since", "2100-01-01T00:00:00Z").code == 4
