"""`replay plan`, `run`, `status`, `cancel`; cancelling a run of another process is in test_program.py."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from rustok_iggy import DeliveryContext, EventEnvelope
from rustok_iggy.cli import replay_state
from rustok_iggy.replay.cancellation import (
    Cancellation,
    find_cancellation,
    note_end,
    note_of,
    request_cancellation,
)
from tests.cli.command_line import CommandLine

seen: list[int] = []


async def rebuild(envelope: EventEnvelope, context: DeliveryContext) -> None:
    assert context.replay is not None
    seen.append(envelope.event.number)  # type: ignore[attr-defined]  # Counted has it


async def break_at_three(envelope: EventEnvelope, context: DeliveryContext) -> None:
    if envelope.event.number == 3:  # type: ignore[attr-defined]  # Counted has it
        raise ValueError("three")
    await rebuild(envelope, context)


HERE = "tests.cli.test_replay_commands"


@pytest.fixture
def published(line: CommandLine) -> CommandLine:
    seen.clear()
    line.publish_numbers(8)
    return line


@pytest.fixture
def plan(published: CommandLine, tmp_path: Path) -> Path:
    file = tmp_path / "numbers.plan"
    assert published.run("replay", "plan", "-o", file).code == 0
    return file


def test_a_plan_says_how_many_and_how_long(published: CommandLine) -> None:
    found = published.run("replay", "plan", "--rate", 4, "--type", "thing.counted", "--json").json
    assert (found["events"], found["seconds"], found["counts"][0]["event_type"]) == (8, 2.0, "thing.counted")
    assert "8 of 8 in the range" in published.run("replay", "plan").out


def test_a_plan_has_bounds(published: CommandLine) -> None:
    partition = published.run("replay", "plan", "--json").json["counts"]
    assert partition[0]["events"] == 8
    assert published.run("replay", "plan", "--from", "1h", "--json").json["events"] == 8
    bounded = published.run("replay", "plan", "--from", "0:0,1:0,2:0,3:0", "--to", "0:2,1:2,2:2,3:2", "--json")
    assert bounded.json["events"] == 2, bounded
    assert published.run("replay", "plan", "--from", "noon").code == 2
    assert published.run("replay", "plan", "--from", "99:1").code == 3


def test_to_a_handler(published: CommandLine, plan: Path) -> None:
    assert published.run("replay", "run", plan, "--handler", f"{HERE}:rebuild").code == 9
    result = published.run("replay", "run", plan, "--handler", f"{HERE}:rebuild", "--yes", "--json")
    assert (result.code, result.json["handled"], seen) == (0, 8, list(range(8))), result


def test_to_a_file(published: CommandLine, plan: Path, tmp_path: Path) -> None:
    out = tmp_path / "events.jsonl"
    assert published.run("replay", "run", plan, "--to-file", out).code == 0
    assert [json.loads(each)["event"]["data"]["number"] for each in out.read_text().splitlines()] == list(range(8))


def test_a_run_that_stopped_is_looked_at_and_goes_on(published: CommandLine, plan: Path) -> None:
    assert published.run("replay", "status", plan).code == 4
    stopped = published.run("replay", "run", plan, "--handler", f"{HERE}:break_at_three", "--yes")
    assert (stopped.code, "three" in stopped.err) == (3, False), "an error's text may quote an event"
    found = published.run("replay", "status", plan, "--json").json
    assert (found["handled"], found["planned"], found["finished"]) == (3, 8, False)
    again = ("replay", "run", plan, "--handler", f"{HERE}:rebuild", "--yes")
    assert published.run(*again).code == 3, "there is a checkpoint, and nothing was said of it"
    assert published.run(*again, "--resume").code == 0
    assert seen == list(range(8))
    assert published.run("replay", "status", plan, "--json").json["finished"] is True


@pytest.mark.parametrize(
    ("arguments", "code"),
    [((), 2), (("--handler", "a:b", "--to-file", "x"), 2), (("--handler", "no.such:thing", "--yes"), 7)],
)
def test_one_target_is_named(published: CommandLine, plan: Path, arguments: tuple[str, ...], code: int) -> None:
    assert published.run("replay", "run", plan, *arguments).code == code


def test_a_checkpoint_of_another_plan_says_nothing(published: CommandLine, plan: Path, tmp_path: Path) -> None:
    published.run("replay", "run", plan, "--to-file", tmp_path / "events.jsonl")
    other = tmp_path / "other.plan"
    published.run("replay", "plan", "--type", "thing.ignored", "-o", other)
    result = published.run("replay", "status", other, "--checkpoint", f"{plan}.checkpoint")
    assert (result.code, "belongs to another plan" in result.err) == (3, True), result


def test_what_is_no_plan_is_said(published: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "x.plan"
    assert published.run("replay", "status", file).code == 4
    file.write_text("{}")
    assert published.run("replay", "run", file, "--to-file", tmp_path / "y").code == 3


def test_a_cancelled_replay_goes_on_when_that_is_undone(published: CommandLine, plan: Path) -> None:
    assert published.run("replay", "cancel", plan).code == 4, "it was not run"
    published.run("replay", "run", plan, "--handler", f"{HERE}:break_at_three", "--yes")
    cancelled = published.run("replay", "cancel", plan, "--by", "ada", "--wait", "0")
    assert (cancelled.code, "3 of 8 (38%), cancelled by ada" in cancelled.out) == (8, True), "no run has said so"
    found = published.run("replay", "status", plan, "--json").json["cancelled"]
    assert (found["requested_by"], found["ended_at"]) == ("ada", None)
    again = ("replay", "run", plan, "--handler", f"{HERE}:rebuild", "--yes", "--resume")
    refused = published.run(*again)
    assert (refused.code, "was cancelled by ada" in refused.err) == (3, True), refused
    undone = published.run("replay", "cancel", plan, "--undo", "--json")
    assert (undone.code, undone.json["cancelled"]) == (0, None)
    assert published.run(*again).code == 0
    assert seen == list(range(8))


def test_how_far_a_cancelled_run_came_is_its_last_checkpoint_also_when_it_ends_while_one_looks(
    published: CommandLine, plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published.run("replay", "run", plan, "--handler", f"{HERE}:break_at_three", "--yes")
    checkpoint = plan.with_name(plan.name + ".checkpoint")
    begun = json.loads(checkpoint.read_bytes())

    def as_the_run_ends(path: Path, *, replay_id: str) -> Cancellation | None:
        if find_cancellation(path, replay_id=replay_id) is not None:
            checkpoint.write_text(json.dumps({**begun, "handled": 5}))
            note_end(path, replay_id=replay_id, at=datetime.now(UTC))
        return find_cancellation(path, replay_id=replay_id)

    monkeypatch.setattr(replay_state, "find_cancellation", as_the_run_ends)
    found = published.run("replay", "cancel", plan, "--json")
    assert (found.code, found.json["handled"]) == (0, 5), found


def test_what_is_finished_is_not_cancelled(published: CommandLine, plan: Path) -> None:
    published.run("replay", "run", plan, "--handler", f"{HERE}:rebuild", "--yes")
    checkpoint = plan.with_name(plan.name + ".checkpoint")
    replay_id = json.loads(checkpoint.read_bytes())["replay_id"]
    request_cancellation(checkpoint, replay_id=replay_id, by="too late", at=datetime.now(UTC))
    result = published.run("replay", "cancel", plan)
    assert (result.code, "it is finished" in result.err) == (3, True), result
    assert not note_of(checkpoint).exists()
    assert published.run("replay", "status", plan, "--json").json["cancelled"] is None
