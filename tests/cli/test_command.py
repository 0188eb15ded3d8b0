"""What every command has in common: its options, and one message and an exit code for every mistake."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from rustok_iggy import ConfigError, NotFoundError, ReplayError, ServerUnreachableError, TransientServerError
from rustok_iggy.cli.command import AtDesk, command
from rustok_iggy.cli.exits import CommandError, ExitCode, exit_code_of
from rustok_iggy.cli.program import app


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("groups", "list", "--address", "127.0.0.1:1"), 5, "127.0.0.1:1"),
        (("doctor", "--address", "127.0.0.1:1"), 1, "look at the server's log"),
        (("groups", "list", "--data-dir", "no-such-directory"), 4, "rustok-iggy serve"),
        (("groups", "list", "--config", "no-such-file"), 4, "no-such-file"),
        (("groups", "list", "--address", "nonsense"), 7, "is not host:port"),
        (("groups", "list", "--catalog", "nonsense"), 7, "is not module:name"),
        (("groups", "list", "--address", "a:1", "--data-dir", "d"), 2, "not both"),
        (("groups", "list", "--profile", "production"), 2, "name it with --config"),
        (("dlq", "list", "--after", "nonsense"), 2, "is not GROUP/TOPIC/PARTITION/OFFSET"),
        (("groups", "no-such-command"), 2, "No such command"),
    ],
)
def test_a_mistake_is_one_message_and_an_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    surroundings = {"RUSTOK_IGGY__REMOTE__PASSWORD": "secret-word", "RUSTOK_IGGY__REMOTE__CONNECT_TIMEOUT": "0.3"}
    result = CliRunner().invoke(app, list(arguments), env=surroundings)
    assert result.exit_code == code, result.output
    assert said in result.output.replace("\n", " ")
    assert "Traceback" not in result.output
    assert "secret-word" not in result.output
    assert list(tmp_path.iterdir()) == [], "looking makes nothing"


def raised(error: BaseException) -> tuple[int, str]:
    tried = typer.Typer()

    async def body(desk: AtDesk) -> None:
        """Fail."""
        raise error

    command(tried, "fail")(body)
    result = CliRunner().invoke(tried, [])
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (CommandError("x", code=ExitCode.DECLINED), 9),
        (ReplayError("x"), 3),
        (ConfigError(["x"]), 7),
        (ServerUnreachableError("x"), 5),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_error_is_a_message_and_an_exit_code(error: BaseException, code: int) -> None:
    found, shown = raised(error)
    assert (found, "Traceback" in shown) == (code, False)


def test_a_defect_is_shown_whole() -> None:
    found, shown = raised(ZeroDivisionError("a defect"))
    assert (found, "Traceback" in shown) == (ExitCode.DEFECT, True)


def test_notes_of_an_error_are_shown() -> None:
    error = ReplayError("it stopped")
    error.add_note("of 3 events published together: 2 confirmed")
    assert "2 confirmed" in raised(error)[1]


def test_errors_that_are_not_listed_are_refusals() -> None:
    assert exit_code_of(ReplayError("x")) is ExitCode.REFUSED
    assert exit_code_of(NotFoundError("x")) is ExitCode.NOT_FOUND
    assert exit_code_of(TransientServerError("x")) is ExitCode.UNREACHABLE


def test_the_version_is_that_of_the_distribution() -> None:
    assert CliRunner().invoke(app, ["--version"]).output.startswith("rustok-iggy ")


def test_help_is_wrapped_by_the_terminal_alone() -> None:
    shown = CliRunner().invoke(app, ["publish", "--help"], env={"COLUMNS": "200"}).output
    assert "How far a file got is kept in FILE.progress until all of it is published." in shown
