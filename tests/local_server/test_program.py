"""The program: how it starts, announces itself, stops, and what it says when it cannot start."""

import os
import signal
import socket
import stat
import threading
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from rustok_iggy_connector.local_server.__main__ import main
from rustok_iggy_connector.wire.codes import PROTOCOL_VERSION
from rustok_iggy_connector.wire.commands import streams
from rustok_iggy_connector.wire.commands.session import Login
from tests.local_server.program import Program, running
from tests.local_server.socket_client import SocketClient
from tests.waiting import wait_until


def test_it_announces_its_address_in_one_line_and_in_a_private_file(tmp_path: Path) -> None:
    with running(tmp_path / "new" / "data") as (program, port):
        config = tmp_path / "new" / "data" / "runtime" / "current_config.toml"
        assert tomllib.loads(config.read_text())["tcp"]["address"] == f"127.0.0.1:{port}"
        for path in (config, *(tmp_path / "new" / "data").glob("local-server*")):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
        socket.create_connection(("127.0.0.1", port)).close()
        assert program.end() == 0
        assert not config.exists()
        assert program.errors == ""


def test_a_second_server_on_the_directory_says_so_and_the_first_goes_on(tmp_path: Path) -> None:
    with running(tmp_path) as (_, port):
        code, errors = Program(data_dir=tmp_path).wait()
        assert code == 3
        assert errors.count("\n") == 1
        assert "in use by another process" in errors
        assert "connect to the server that runs there" in errors
        with SocketClient(port) as client:
            client.log_in()


def test_the_lock_of_a_killed_server_means_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as (program, _):
        program.end(signal.SIGKILL)
    with running(tmp_path) as (program, _):
        assert program.end() == 0


def occupied(folder: Path) -> list[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    _keep.append(listener)
    return ["--address", f"127.0.0.1:{listener.getsockname()[1]}"]


_keep: list[socket.socket] = []


def a_file(folder: Path) -> list[str]:
    folder.write_text("")
    return []


def damaged(folder: Path) -> list[str]:
    folder.mkdir()
    (folder / "local-server.sqlite3").write_bytes(b"no database " * 1000)
    return []


def no_certificate(folder: Path) -> list[str]:
    return ["--tls-cert", str(folder / "none.pem"), "--tls-key", str(folder / "none.key")]


def short_password(folder: Path) -> list[str]:
    return ["--password", "x"]


def a_child_of_a_file(folder: Path) -> list[str]:
    folder.write_text("")
    return ["--data-dir", str(folder / "below")]


@pytest.mark.parametrize(
    ("prepare", "text"),
    [
        (a_file, "is a file"),
        (a_child_of_a_file, "is a file"),
        (damaged, "damaged"),
        (occupied, "cannot listen on 127.0.0.1:"),
        (no_certificate, "none.pem"),
        (short_password, "root password"),
    ],
)
def test_what_cannot_start_says_why_in_one_line(
    tmp_path: Path, prepare: Callable[[Path], list[str]], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "data"
    arguments = prepare(folder)
    before = os.umask(0o022)
    try:
        assert main(["--data-dir", str(folder), *arguments]) == 3
    finally:
        os.umask(before)
        while _keep:
            _keep.pop().close()
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1, errors
    assert text in errors
    assert "Traceback" not in errors


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tmp_path.chmod(0o500)
    assert main(["--data-dir", str(tmp_path)]) == 3
    assert "cannot be written" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["--data-dir", "d", "--address", "nowhere"], ["--data-dir", "d", "--tls-cert", "c"]]
)
def test_wrong_arguments_exit_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage" in capsys.readouterr().err


def test_credentials_come_from_the_environment_and_hold_from_the_first_start_on(tmp_path: Path) -> None:
    program = Program(data_dir=tmp_path, environment={"IGGY_ROOT_USERNAME": "admin", "IGGY_ROOT_PASSWORD": "s3cret"})
    program.wait_until_ready()
    assert program.end() == 0
    with running(tmp_path) as (_, port), SocketClient(port) as client:
        client.log_in("admin", "s3cret")
    assert program.errors == ""


def test_it_ends_when_its_standard_input_does(tmp_path: Path) -> None:
    program = Program("--exit-with-stdin", data_dir=tmp_path, stdin=True)
    program.wait_until_ready()
    assert program.process.stdin is not None
    program.process.stdin.close()
    program.process.stdin = None
    assert program.wait()[0] == 0


def test_stopping_answers_what_is_under_way(tmp_path: Path) -> None:
    """Every send that was acknowledged while SIGTERM came is there afterwards; the client sees a clean end."""
    acknowledged: list[int] = []
    with running(tmp_path) as (program, port), SocketClient(port) as client:
        client.log_in()
        client.make_topic()

        def publish() -> None:
            try:
                while True:
                    acknowledged.append(client.send(b"x" * 100))
            except ConnectionError:
                pass

        publisher = threading.Thread(target=publish)
        publisher.start()
        wait_until(lambda: len(acknowledged) > 20)
        assert program.end() == 0
        publisher.join()
    with running(tmp_path) as (_, port), SocketClient(port) as client:
        client.log_in()
        assert client.send(b"y") >= len(acknowledged)
    assert acknowledged == list(range(len(acknowledged)))


def test_streams_are_there_after_kill_9(tmp_path: Path) -> None:
    with running(tmp_path) as (program, port), SocketClient(port) as client:
        client.log_in()
        client.request(streams.CreateStream(name="kept"))
        program.end(signal.SIGKILL)
    with running(tmp_path) as (_, port), SocketClient(port) as client:
        client.request(
            Login(protocol_version=PROTOCOL_VERSION, sdk_name="x", sdk_version="1", username="iggy", password="iggy")
        )
        found = client.request(streams.GetStream(stream="kept"))
        assert isinstance(found, streams.StreamDetails)
