"""`rustok-iggy health`: the exit code of a HEALTHCHECK, and how little it costs."""

import asyncio
import inspect
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rustok_iggy import health_check
from rustok_iggy.cli.exits import ExitCode
from rustok_iggy.cli.program import app
from rustok_iggy.health_check import Verdict, ask, health, judge, parser
from rustok_iggy.health_server import serve_health
from rustok_iggy_connector import MemoryServer
from tests.consumer.hosts import Recorder, transport
from tests.health.test_server import until_status
from tests.waiting import until

PATIENCE = "20"
"""Seconds: on a busy machine, too, somebody who is there answers."""


async def asked(address: str, path: str = "/readyz") -> Verdict:
    host, port = address.split(":")
    return await asyncio.to_thread(ask, host, int(port), path, timeout=float(PATIENCE))


@pytest.mark.anyio
async def test_the_exit_code_says_whether_a_service_is_ready() -> None:
    async with transport(MemoryServer()) as host, serve_health(host, port=0) as address:
        host.subscribe(group="g")(Recorder())
        not_ready = await asked(address)
        assert (not_ready.code, not_ready.why.startswith("/readyz: unhealthy; consuming: ")) == (1, True), not_ready
        assert (await asked(address, "/livez")).code == 0
        async with host.consuming():
            await until(lambda: host.health().is_ready)
            await until_status(address, "/readyz", 200)  # a report is answered again for a second
            ready = await asked(address)
            assert (ready.why, ready.answer and ready.answer["ready"]) == ("/readyz: healthy", True)
            assert (await asked(address, "/healthz")).why == "/healthz: healthy"


@asynccontextmanager
async def listening(piece: bytes) -> AsyncIterator[int]:
    """Yield the port of a server that sends this again and again, and answers nothing."""
    ended = asyncio.Event()

    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while not reader.at_eof() or piece:
                writer.write(piece)
                await writer.drain()
                await (asyncio.sleep(0.01) if piece else reader.read())
        writer.close()
        ended.set()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
        await asyncio.wait_for(ended.wait(), 20)


@pytest.mark.anyio
@pytest.mark.parametrize("piece", [b"", b"H"], ids=["hangs", "byte by byte"])
async def test_who_does_not_answer_in_time_has_not_answered(piece: bytes) -> None:
    async with listening(piece) as port:
        verdict = await asyncio.to_thread(ask, "127.0.0.1", port, "/readyz", timeout=0.2)
        assert (verdict.code, verdict.why) == (5, f"127.0.0.1:{port} did not answer within 0.2 s")


def response(status: str, body: str) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


@pytest.mark.parametrize(
    ("raw", "code", "why"),
    [
        (response("200 OK", '{"status": "degraded", "reasons": ["server: slow"]}'), 0, "/x: degraded; server: slow"),
        (response("200 OK", "fine"), 0, "/x: yes"),
        (response("503 Service Unavailable", "too many connections\n"), 1, "/x: no"),
        (response("503 X", '{"reasons": ["group a\\u001b[31m"]}'), 1, "group a\N{REPLACEMENT CHARACTER}[31m"),
        (response("503 X", '{"stalled": ["hangs"], "components": {"a": {"reasons": ["b"]}}}'), 1, "no; hangs; a: b"),
        (response("503 X", '{"reasons": 3, "components": []}'), 1, "/x: no"),
        (response("404 Not Found", "{}"), 5, "h:1 answered 404 to /x"),
        (b"", 5, "no HTTP server"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", 5, "no HTTP server"),
        (b"HTTP/1.1 abc\r\n\r\n", 5, "no HTTP server"),
    ],
)
def test_every_answer_is_judged(raw: bytes, code: int, why: str) -> None:
    found = judge(raw, path="/x", where="h:1")
    assert (found.code, why in found.why) == (code, True), found


def test_nobody_there_is_told_in_one_line_or_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert health(["--port", "1"]) == 5
    assert capsys.readouterr().out == "127.0.0.1:1 cannot be asked: Connection refused. Does serve_health() run?\n"
    assert health(["--port", "1", "--json"]) == 5
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["host"], told["port"], told["path"], told["answer"]) == (
        False,
        "127.0.0.1",
        1,
        "/readyz",
        None,
    )


@pytest.mark.parametrize("wrong", [("--host", "ä.example"), ("--path", "/ä")])
def test_what_cannot_be_sent_is_told(wrong: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert health(["--port", "1", *wrong]) == 5
    assert "write them in ASCII" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [("--port", "0"), ("--port", "x"), ("--timeout", "0"), ("--nothing",)])
def test_a_wrong_option_is_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        health(arguments)
    assert ended.value.code == ExitCode.USAGE


def test_the_environment_says_where_the_service_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUSTOK_IGGY_HEALTH_HOST", "10.0.0.7")
    monkeypatch.setenv("RUSTOK_IGGY_HEALTH_PORT", "8080")
    options = parser().parse_args([])
    assert (options.host, options.port) == ("10.0.0.7", 8080)
    assert parser().parse_args(["--port", "1"]).port == 1


def test_it_agrees_with_the_rest_of_the_program() -> None:
    codes = (health_check.YES, health_check.NO, health_check.UNREACHABLE)
    assert codes == (ExitCode.DONE, ExitCode.FOUND, ExitCode.UNREACHABLE)
    assert inspect.signature(serve_health).parameters["port"].default == health_check.PORT


def test_it_is_a_command_of_the_whole_program_as_well() -> None:
    result = CliRunner().invoke(app, ["health", "--port", "1", "--json"])
    assert (result.exit_code, json.loads(result.stdout)["ok"]) == (5, False)
    assert "--timeout" in CliRunner().invoke(app, ["health", "--help"]).stdout


def test_a_check_imports_nothing_but_the_standard_library() -> None:
    """It runs every few seconds beside the service: 30 ms of a core, where the library takes 300."""
    code = (
        "import atexit, sys; sys.argv = ['rustok-iggy', 'health', '--port', '1']\n"
        "heavy = {'rustok_iggy.exports', 'apache_iggy', 'typer', 'asyncio'}\n"
        "atexit.register(lambda: print(sorted(heavy & {*sys.modules})))\n"
        "from rustok_iggy.cli import main; main()"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1], done.stderr) == (5, "[]", "")
