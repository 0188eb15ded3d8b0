"""`dlq redrive` and `discard`, with an owner at work beside the command."""

from typing import Any, cast
from uuid import UUID

import pytest

from rustok_iggy import DeadLetterSummary, DlqManager, LetterRequest, LetterSelection, PlannedLane
from rustok_iggy.cli.letter_requests import Canary, user
from rustok_iggy.dead_letters.records import Action
from tests.cli.command_line import CommandLine, Result
from tests.cli.letters import LETTERS, Worker, write_letters

REDRIVE = ("dlq", "redrive", "--group", "billing", "--by", "ada")
DISCARD = ("dlq", "discard", "--group", "billing", "--by", "ada", "--reason", "test orders")


@pytest.fixture
def lettered(line: CommandLine) -> CommandLine:
    line.run("topology", "apply", "--yes")
    line.on_server(write_letters)
    return line


def run_with(line: CommandLine, worker: Worker, *arguments: object) -> Result:
    line.beside = worker
    result = line.run(*arguments, "--json")
    line.beside = None
    return result


def test_a_dry_run_shows_and_writes_nothing(lettered: CommandLine) -> None:
    planned = lettered.run(*REDRIVE, "--all", "--dry-run", "--json").json
    assert (planned["letters"], len(planned["lanes"]), planned["request"]) == (LETTERS, 2, None)
    assert lettered.run("dlq", "stats", "--json").json["open_requests"] == []


@pytest.mark.parametrize("command", [REDRIVE, DISCARD])
def test_it_asks_first(lettered: CommandLine, command: tuple[str, ...]) -> None:
    result = lettered.run(*command, "--all")
    assert result.code == 9
    assert "6 letters of 2 tenants" in result.out
    assert lettered.run("dlq", "stats", "--json").json["open_requests"] == []


@pytest.mark.parametrize("command", [REDRIVE, DISCARD])
def test_letters_have_to_be_named(lettered: CommandLine, command: tuple[str, ...]) -> None:
    result = lettered.run(*command, "--yes")
    assert (result.code, "--all" in result.err) == (2, True)


def test_a_redrive_is_followed_to_its_end(lettered: CommandLine) -> None:
    result = run_with(lettered, Worker(), *REDRIVE, "--all", "--yes")
    assert result.code == 0, result
    (ended,) = result.json
    assert (ended["state"], ended["handled"], ended["left"]) == ("done", LETTERS, 0)


def test_after_a_good_canary_the_rest_follows(lettered: CommandLine) -> None:
    worker = Worker()
    result = run_with(lettered, worker, *REDRIVE, "--all", "--yes", "--canary", 2)
    assert result.code == 0, result
    assert [each["handled"] for each in result.json] == [2, LETTERS - 2]
    assert [bool(each.selection.everything) for each in worker.requests] == [False, True]


def test_after_a_bad_canary_nothing_more_is_asked_for(lettered: CommandLine) -> None:
    worker = Worker(0)
    result = run_with(lettered, worker, *REDRIVE, "--all", "--yes", "--canary", 2)
    assert result.code == 1, result
    assert [(each["handled"], each["failed"]) for each in result.json] == [(1, 1)]
    assert len(worker.requests) == 1


def test_there_is_one_canary(lettered: CommandLine) -> None:
    result = lettered.run(*REDRIVE, "--all", "--yes", "--canary", 2, "--canary-partition")
    assert (result.code, "not with both" in result.err) == (2, True), result
    assert lettered.run("dlq", "stats", "--json").json["open_requests"] == []


def test_letters_that_fail_again_are_an_exit_code(lettered: CommandLine) -> None:
    assert run_with(lettered, Worker(3), *REDRIVE, "--all", "--yes").code == 1


def test_a_discard_gives_up_exactly_what_was_seen(lettered: CommandLine) -> None:
    worker = Worker()
    result = run_with(lettered, worker, *DISCARD, "--all", "--yes")
    assert result.code == 0, result
    assert result.json[0]["discarded"] == LETTERS
    assert worker.requests[0].reason == "test orders"


def test_a_discard_means_nothing_that_came_after_the_question(
    lettered: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    discard, seen = DlqManager.discard, []

    async def noted(self: DlqManager, selection: LetterSelection, **options: Any) -> LetterRequest:
        request = await discard(self, selection, **options)
        seen.append((options.get("seen"), request.seen))
        return request

    monkeypatch.setattr(DlqManager, "discard", noted)
    assert lettered.run(*DISCARD, "--all", "--yes", "--wait", "0").code == 0
    (_, read), (named, _) = seen
    assert named == read


def test_what_is_not_done_in_time_goes_on_without_us(lettered: CommandLine) -> None:
    result = lettered.run(*REDRIVE, "--all", "--yes", "--wait", "0.2", "--json")
    assert (result.code, result.json[0]["left"]) == (8, LETTERS)
    (request,) = lettered.run("dlq", "stats", "--json").json["open_requests"]
    assert (request["requested_by"], request["action"]) == ("ada", "redrive")


def test_without_waiting_the_request_is_told(lettered: CommandLine) -> None:
    result = lettered.run(*REDRIVE, "--all", "--yes", "--wait", "0", "--json")
    assert (result.code, result.json["letters"]) == (0, LETTERS)
    assert lettered.run("dlq", "stats", "--json").json["open_requests"][0]["id"] == result.json["request"]


def planned(*partitions: int) -> LetterRequest:
    """Two letters in each partition."""
    letter = cast("DeadLetterSummary", None)
    lanes = tuple(
        PlannedLane(group="billing", topic="domain", partition_id=each, tenant_id=None, letters=(letter, letter))
        for each in partitions
    )
    return LetterRequest(
        id=UUID(int=1),
        group="billing",
        action=Action.REDRIVE,
        dry_run=True,
        lanes=lanes,
        needs_force=(),
        seen={},
        positions={},
    )


@pytest.mark.parametrize(
    ("canary", "narrower"),
    [
        (Canary(letters=None, one_partition=False), None),
        (Canary(letters=3, one_partition=False), {"limit": 3}),
        (Canary(letters=4, one_partition=False), None),
        (Canary(letters=None, one_partition=True), {"partitions": (2,)}),
    ],
)
def test_a_canary_is_less_than_all(canary: Canary, narrower: object) -> None:
    assert canary.of(planned(5, 2)) == narrower


def test_of_one_partition_there_is_no_canary() -> None:
    assert Canary(letters=None, one_partition=True).of(planned(2)) is None


def test_who_asks_is_kept_also_where_nobody_has_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert user() == "unknown"
