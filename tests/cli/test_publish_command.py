"""`publish`: what a line may be, what a wrong one leads to, and how a run that was cut short goes on."""

import json
import sys
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from rustok_iggy import ConnectionLostError, MemoryTransport, PublishResults
from rustok_iggy.cli import publish_command
from rustok_iggy.cli.desk import Desk
from tests.cli.command_line import CommandLine, Result
from tests.consumer.hosts import TENANT, counted
from tests.dead_letters.hand_owner import SERIALIZER


def new_event(number: object, **more: Any) -> str:
    return json.dumps({"tenant_id": str(TENANT), "event_type": "thing.counted", "data": {"number": number}, **more})


@pytest.fixture
def ready(line: CommandLine) -> CommandLine:
    line.run("topology", "apply", "--yes")
    return line


def stored(line: CommandLine) -> list[dict[str, Any]]:
    return line.run("tail", "--from", "earliest", "--no-follow", "--json", "--content").lines


def numbers(line: CommandLine) -> list[int]:
    return [each["envelope"]["event"]["data"]["number"] for each in stored(line)]


def test_lines_from_standard_input_are_published_in_order(ready: CommandLine) -> None:
    text = "\n".join(new_event(number, trace_id="t") for number in range(1200))
    result = ready.run("publish", "--json", stdin=text)
    assert (result.code, result.json["published"]) == (0, 1200)
    assert numbers(ready) == list(range(1200))
    assert stored(ready)[0]["envelope"]["trace_id"] == "t"


def test_a_whole_envelope_keeps_its_ids(ready: CommandLine) -> None:
    envelope = counted(5)
    assert ready.run("publish", "-", stdin=SERIALIZER.encode(envelope).decode() + "\n\n").code == 0
    assert stored(ready)[0]["event_id"] == str(envelope.id)


def test_missing_topics_are_made_only_when_that_is_confirmed(line: CommandLine) -> None:
    declined = line.run("publish", stdin=new_event(1))
    assert declined.code == 9
    assert "Apply the topology first?" in declined.err
    assert line.run("publish", "--yes", stdin=new_event(1)).code == 0


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("{", "no JSON object"),
        ("[]", "Expected `object`"),
        (new_event("secret-value"), "Expected `int`, got `str`, at number"),
        (new_event(1, event_type="no.such"), "'no.such' is not in the tests catalogue"),
        (new_event(1, tenant="x"), "unknown field `tenant`"),
        (new_event(1, tenant_id=str(UUID(int=0))), "tenant_id"),
        ('{"event": {}}', "is neither {tenant_id, event_type, data} nor a whole envelope"),
        (f'{{"id": "{UUID(int=1)}", "event": {{}}}}', "missing required field"),
    ],
)
def test_a_wrong_line_is_named_and_not_quoted(ready: CommandLine, wrong: str, said: str) -> None:
    result = ready.run("publish", stdin=f"{new_event(0)}\n{wrong}\n{new_event(2)}\n")
    assert result.code == 3, result
    assert "line 2: " in result.err
    assert said in result.err.replace("\n", "")
    assert "secret-value" not in result.err
    assert numbers(ready) in ([0], [0, 2])


def test_what_stands_before_a_wrong_line_is_said_to_be_published_when_it_is(ready: CommandLine) -> None:
    lines = f"{new_event(0)}\nwrong\n"
    assert "Published before it: 1 line;" in ready.run("publish", stdin=lines).err.replace("\n", " ")
    assert "Published" not in ready.run("publish", "--dry-run", stdin=lines).err


def test_a_line_that_cannot_be_published_is_named_behind_those_that_are(ready: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(f"{new_event(0)}\n{new_event(1, tenant_id=str(UUID(int=0)))}\n")
    said = ready.run("publish", file).err.replace("\n", " ")
    assert "line 2: " in said
    assert "– the lines before it are confirmed; run this again to go on" in said
    assert numbers(ready) == [0]


def test_after_a_wrong_line_was_mended_the_rest_follows(ready: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(f"{new_event(0)}\nwrong\n{new_event(2)}\n")
    assert ready.run("publish", file).code == 3
    file.write_text(f"{new_event(0)}\n{new_event(1)}\n{new_event(2)}\n")
    result = ready.run("publish", file, "--json")
    assert result.json == {"published": 2, "lines": 2, "resumed_behind_line": 1}, result
    assert numbers(ready) == [0, 1, 2]
    assert not (tmp_path / "events.jsonl.progress").exists()


def cut_after(batches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lose the reply to a later batch: the server has it, nobody knows."""
    monkeypatch.setattr(publish_command, "BATCH_LINES", 10)
    publish = MemoryTransport.publish_batch
    done = 0

    async def failing(self: MemoryTransport, envelopes: Any) -> PublishResults:
        nonlocal done
        results = await publish(self, envelopes)
        done += 1
        if done == batches:
            raise ConnectionLostError("the connection was lost")
        return results

    monkeypatch.setattr("rustok_iggy.iggy_transport.IggyTransport.publish_batch", failing)


def run_cut(ready: CommandLine, file: Path, batches: int) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        cut_after(batches, patch)
        return ready.run("publish", file)


def test_a_run_that_was_cut_short_goes_on_with_the_same_ids(ready: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("".join(new_event(number) + "\n" for number in range(35)))
    assert run_cut(ready, file, 2).code == 5
    result = ready.run("publish", file, "--json")
    assert (result.code, result.json["resumed_behind_line"]) == (0, 10), result
    events = stored(ready)
    assert len(events) == 45, "the batch whose reply was lost is there twice"
    assert [each["event_id"] for each in events[10:20]] == [each["event_id"] for each in events[20:30]]
    assert len({each["event_id"] for each in events}) == 35


def test_a_run_that_ended_before_it_could_say_so_publishes_nothing_again(ready: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("".join(new_event(number) + "\n" for number in range(35)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Desk, "show", lambda *_: sys.exit(143))  # as SIGTERM would end it
        assert ready.run("publish", file).code == 143
    again = ready.run("publish", file, "--json")
    assert (again.code, again.json["published"], again.json["resumed_behind_line"]) == (0, 0, 35)
    assert len(stored(ready)) == 35
    assert not (tmp_path / "events.jsonl.progress").exists()


def test_a_file_that_was_changed_where_it_is_published_is_refused(ready: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("".join(new_event(number) + "\n" for number in range(35)))
    run_cut(ready, file, 2)
    file.write_text("".join(new_event(number + 1) + "\n" for number in range(35)))
    result = ready.run("publish", file)
    assert result.code == 3
    assert "was changed within its first 10 lines" in result.err


def test_a_dry_run_publishes_nothing(ready: CommandLine) -> None:
    assert ready.run("publish", "--dry-run", "--json", stdin=new_event(1)).json == {"checked": 1, "published": 0}
    assert ready.run("publish", "--dry-run", stdin="wrong").code == 3
    assert stored(ready) == []


def test_a_file_that_is_not_there_is_said(ready: CommandLine) -> None:
    assert ready.run("publish", "no-such-file").code == 4
