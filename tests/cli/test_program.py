"""The program as a shell runs it: signals, pipes, terminals, colours, completion, and the page about it."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from rustok_iggy.cli.exits import MEANINGS, ExitCode
from tests.waiting import PROGRAM_WITHIN, wait_until
from tools.write_cli_reference import PAGE, page

PROGRAM = (sys.executable, "-m", "rustok_iggy")
TENANT = "00000000-0000-0000-0000-000000000007"
PLACED = {"order_id": TENANT, "customer_id": None, "total": 1, "currency": "EUR"}
EVENT = json.dumps({"tenant_id": TENANT, "event_type": "order.placed", "data": PLACED})


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("RUSTOK", "NO_COLOR", "COLUMNS"))}
    return {**kept, "PYTHONPATH": str(Path(__file__).parents[2]), **more}


def run(*arguments: object, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    command = [*PROGRAM, *map(str, arguments)]
    return subprocess.run(
        command,
        input=stdin,
        capture_output=True,
        text=True,
        env=environment(**more),
        timeout=PROGRAM_WITHIN,
        check=False,
    )


@contextmanager
def started(*arguments: object, env: dict[str, str] | None = None, **streams: Any) -> Iterator[subprocess.Popen[Any]]:
    """The program under way. Whatever happens, it has ended afterwards: `with Popen` alone waits for it for ever."""
    command = [*PROGRAM, *map(str, arguments)]
    with subprocess.Popen(command, env=environment() if env is None else env, **streams) as program:
        try:
            yield program
        finally:
            program.kill()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data directory with a server in the foreground of another process, and 2000 events; Ctrl-C ends it with 0."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "data").mkdir()
    command = ("serve", "--data-dir", "data", "--engine", "local", "--json")
    with started(*command, stdout=subprocess.PIPE, text=True, cwd=folder) as server:
        assert server.stdout is not None
        told = json.loads(server.stdout.readline())
        assert told["engine"] == "local"
        published = run("publish", "--yes", "--data-dir", folder / "data", stdin=f"{EVENT}\n" * 2000)
        assert published.returncode == 0, published.stderr
        yield folder / "data"
        server.send_signal(signal.SIGINT)
        assert server.wait(PROGRAM_WITHIN) == 0


def test_a_server_that_runs_already_is_not_run_twice(served: Path) -> None:
    result = run("serve", "--data-dir", served, "--engine", "local")
    assert result.returncode == ExitCode.REFUSED
    assert "another process runs" in result.stderr


def test_a_reader_that_closes_the_pipe_is_no_traceback(served: Path) -> None:
    command = ("tail", "--from", "earliest", "--no-follow", "--json", "--data-dir", served)
    with started(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        assert tail.stdout.readline()
        tail.stdout.close()
        assert tail.stderr.read() == b""
        assert tail.wait(PROGRAM_WITHIN) == ExitCode.BROKEN_PIPE


def test_ctrl_c_ends_a_tail(served: Path) -> None:
    command = ("tail", "--from", "earliest", "--json", "--data-dir", served)
    with started(*command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as tail:
        assert tail.stdout is not None
        assert tail.stderr is not None
        tail.stdout.readline()
        tail.send_signal(signal.SIGINT)
        tail.stdout.read()
        assert tail.wait(PROGRAM_WITHIN) == ExitCode.INTERRUPTED
        assert tail.stderr.read() == b"interrupted\n"


def on_terminal(*arguments: str, answer: bytes = b"", wait_for: bytes = b"", **more: str) -> tuple[int, str]:
    """Run on a terminal of its own; type `answer` when `wait_for` was shown."""
    ours, theirs = pty.openpty()
    with started(*arguments, stdin=theirs, stdout=theirs, stderr=theirs, env=environment(**more)) as program:
        os.close(theirs)
        shown, ends_at = b"", time.monotonic() + PROGRAM_WITHIN
        while time.monotonic() < ends_at:
            if not select.select([ours], [], [], 0.2)[0]:
                continue
            try:
                piece = os.read(ours, 4096)
            except OSError:  # the other side has ended
                break
            if not piece:
                break
            shown += piece
            if answer and wait_for in shown:
                os.write(ours, answer)
                answer = b""
        code = program.wait(PROGRAM_WITHIN)
    os.close(ours)
    return code, shown.decode(errors="replace")


@pytest.mark.parametrize(("answer", "code"), [(b"y\n", ExitCode.NOT_FOUND), (b"\n", ExitCode.DECLINED)])
def test_a_person_is_asked(tmp_path: Path, answer: bytes, code: int) -> None:
    existing = tmp_path / "letters.jsonl"
    existing.touch()
    arguments = ("dlq", "export", str(existing), "--data-dir", str(tmp_path / "none"))
    found, shown = on_terminal(*arguments, answer=answer, wait_for=b"[y/N]")
    assert (found, "Replace" in shown) == (code, True), shown


@pytest.mark.parametrize(
    ("variables", "kinds"),
    [
        ({"TERM": "xterm-256color"}, {"bold", "colour"}),
        ({"TERM": "xterm-256color", "NO_COLOR": ""}, {"bold", "colour"}),
        ({"TERM": "xterm-256color", "NO_COLOR": "0"}, {"bold"}),
        ({"TERM": "dumb"}, set()),
    ],
    ids=["a terminal", "NO_COLOR is empty", "NO_COLOR is set", "a dumb terminal"],
)
def test_colours_are_for_terminals_and_can_be_turned_off(variables: dict[str, str], kinds: set[str]) -> None:
    shown = on_terminal("schema", "check", "nowhere.json", **variables)[1]
    assert "nowhere.json" in shown
    assert set(map(kind_of, attributes(shown))) == kinds, repr(shown)


def attributes(shown: str) -> list[int]:
    """Every number in the sequences that change how text looks (ECMA-48, SGR), but for those that end it."""
    sequences = re.findall(r"\x1b\[([0-9;]*)m", shown)
    return [int(number) for sequence in sequences for number in sequence.split(";") if number not in {"", "0"}]


def kind_of(attribute: int) -> str:
    """1 to 29 are bold, dim, underlined and their like, and their ends."""
    return "bold" if attribute < 30 else "colour"


def test_a_wrong_password_is_not_shown(served: Path) -> None:
    written = tomllib.loads((served / "runtime" / "current_config.toml").read_text())
    variables = {"RUSTOK_IGGY__REMOTE__PASSWORD": "very-secret-word"}
    result = run("groups", "list", "-v", "--address", written["tcp"]["address"], **variables)
    assert result.returncode == ExitCode.NOT_ALLOWED, result.stderr
    assert "very-secret-word" not in result.stdout + result.stderr


def test_a_replay_of_another_process_is_cancelled_and_goes_on(served: Path, tmp_path: Path) -> None:
    plan, out, where = tmp_path / "events.plan", tmp_path / "events.jsonl", ("--data-dir", str(served))
    assert run("replay", "plan", "-o", plan, *where).returncode == 0
    command = ("replay", "run", str(plan), "--to-file", str(out), *where)
    slow = (*command, "--rate", "10")  # of 2000 events: it does not come to its end by itself
    with started(*slow, stderr=subprocess.PIPE, text=True) as running:
        wait_until((tmp_path / "events.plan.checkpoint").exists)
        cancelled = run("replay", "cancel", plan, "--by", "ada", "--json")
        assert running.wait(PROGRAM_WITHIN) == ExitCode.REFUSED
        assert running.stderr is not None
        assert "was cancelled by ada" in running.stderr.read()
    assert cancelled.returncode == 0, cancelled.stderr
    told = json.loads(cancelled.stdout)
    assert (told["finished"], told["cancelled"]["ended_at"] is None) == (False, False)
    assert told["handled"] == out.read_bytes().count(b"\n") < 2000
    assert run(*command, "--resume").returncode == ExitCode.REFUSED
    assert run("replay", "cancel", plan, "--undo").returncode == 0
    assert run(*command, "--resume").returncode == 0
    assert out.read_bytes().count(b"\n") == 2000


def test_completion_knows_the_commands() -> None:
    result = run(_RUSTOK_IGGY_COMPLETE="complete_bash", COMP_WORDS="rustok-iggy dlq re", COMP_CWORD="2")
    assert result.stdout.split() == ["redrive"]


def test_without_the_extra_it_says_what_to_install() -> None:
    code = "import sys; sys.modules['typer'] = None\nfrom rustok_iggy.cli import main; main()"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=False
    )
    assert (result.returncode, "rustok-iggy[cli]" in result.stderr) == (2, True)


def test_every_exit_code_has_a_meaning() -> None:
    assert set(MEANINGS) == set(ExitCode)


def test_the_page_about_the_commands_is_what_the_program_has() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run `make commands`"
