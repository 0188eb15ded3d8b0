"""A server process never outlives its parent, is never held up by its log, and is always stopped."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from rustok_iggy_connector import process as process_module
from rustok_iggy_connector.config import Engine
from rustok_iggy_connector.data_directory import Credentials, DataDirectory
from rustok_iggy_connector.engines import Launch, ServerProgram, launch
from rustok_iggy_connector.errors import ServerStartupError
from rustok_iggy_connector.process import ServerProcess, trim_log
from tests.embedded.conftest import REPOSITORY, MakeFake, is_alive
from tests.waiting import until

pytestmark = pytest.mark.anyio

CREDENTIALS = Credentials(username="rustok", password="correct horse")
Start = Callable[[Launch], ServerProcess]

# A parent that starts a server, says its process id, and waits; with `fork`, a child of its own waits with it.
PARENT = """
import asyncio, os, sys
from pathlib import Path
from rustok_iggy_connector.config import Engine
from rustok_iggy_connector.data_directory import Credentials, DataDirectory
from rustok_iggy_connector.engines import Launch, ServerProgram, launch
from rustok_iggy_connector.process import ServerProcess

async def main():
    directory = DataDirectory(sys.argv[1])
    directory.prepare()
    how = launch(
        ServerProgram(engine=Engine.IGGY_SERVER, version="0.9.0", path=Path(sys.argv[2])),
        data_dir=directory.path, port=0, credentials=Credentials(username="rustok", password="correct horse"),
    )
    if sys.argv[3] == "stdin":
        code = "import sys; sys.stdin.read()"
        how = Launch(arguments=(sys.executable, "-c", code), environment={}, follows_stdin=True)
    server = ServerProcess(how, directory=directory, secret="correct horse")
    lock = directory.try_lock()
    server.start(lock)
    if sys.argv[3] == "launcher":
        await server.listening()
    child = os.fork()
    if child == 0:
        os.read(0, 1)
        os._exit(0)
    print(server.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
def directory(data_dir: Path) -> DataDirectory:
    directory = DataDirectory(str(data_dir))
    directory.prepare()
    return directory


@pytest.fixture
async def start(directory: DataDirectory) -> AsyncIterator[Start]:
    started: list[ServerProcess] = []
    lock = directory.try_lock()
    assert lock

    def start(how: Launch) -> ServerProcess:
        server = ServerProcess(how, directory=directory, secret=CREDENTIALS.password)
        server.start(lock)
        started.append(server)
        return server

    yield start
    for server in started:
        await server.stop(0.1)
    lock.release()


def script(code: str) -> Launch:
    return Launch(arguments=(sys.executable, "-S", "-c", code), environment={}, follows_stdin=True)


def fake(path: Path, directory: DataDirectory) -> Launch:
    program = ServerProgram(engine=Engine.IGGY_SERVER, version="0.9.0", path=path)
    return launch(program, data_dir=directory.path, port=0, credentials=CREDENTIALS)


async def test_it_tells_the_address_and_the_exit_code(
    start: Start, fake_server: MakeFake, directory: DataDirectory
) -> None:
    server = start(fake(fake_server(), directory))
    assert await server.listening() == directory.address()
    assert server.exit_code is None
    await server.stop(5)
    assert server.exit_code == 0
    assert await server.wait() == 0


async def test_no_address_comes_from_one_that_has_ended(start: Start) -> None:
    server = start(script("raise SystemExit(4)"))
    assert await server.listening() is None
    assert server.exit_code == 4


async def test_a_program_that_cannot_be_started_is_a_typed_error(start: Start) -> None:
    with pytest.raises(ServerStartupError, match=r"/no/program cannot be started: No such file"):
        start(Launch(arguments=("/no/program",), environment={}, follows_stdin=True))


async def test_cancelling_a_stop_kills(start: Start, fake_server: MakeFake, directory: DataDirectory) -> None:
    server = start(fake(fake_server("ignores-sigterm"), directory))
    await server.listening()
    stopping = asyncio.ensure_future(server.stop(60))
    await asyncio.sleep(0.05)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert await asyncio.wait_for(server.wait(), 20) == -signal.SIGKILL


async def test_the_end_of_its_input_is_the_end_of_its_parent(start: Start) -> None:
    server = start(script("import sys, signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); sys.stdin.read()"))
    server._cut_lifeline()
    assert await asyncio.wait_for(server.wait(), 20) == 0


async def test_the_log_tail_is_recent_plain_and_without_the_secret(start: Start, directory: DataDirectory) -> None:
    directory.log.write_text("an earlier server said this\n")
    server = start(script("print('\\x1b[31mred\\x1b[0m', 'correct horse', flush=True); print(); print('x' * 100)"))
    await server.wait()
    assert server.log_tail() == ("red ***", "x" * 100)
    assert directory.log.read_text().startswith("an earlier server")


async def test_the_log_tail_is_bounded(start: Start) -> None:
    server = start(script("[print(number) for number in range(100_000)]"))
    await server.wait()
    assert server.log_tail()[-1] == "99999"
    assert len(server.log_tail()) == process_module.TAIL_LINES


async def test_what_it_said_last_is_kept_however_long_its_log(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "LOG_LIMIT_BYTES", 100)
    server = start(script("[print(number) for number in range(1000)]"))
    await server.wait()
    assert server.log_tail()[-1] == "999"


# Twice the limit below, the last quarter of it only when its log was cut.
WRITES_ON = """
import os, time
for n in range(200):
    print(f"{n:>99}", flush=True)
    while n == 150 and not os.path.exists("server.log.1"):
        time.sleep(0.002)
"""


async def test_the_log_file_is_bounded_while_the_server_writes_on(
    start: Start, directory: DataDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_module, "LOG_LIMIT_BYTES", 10_000)
    monkeypatch.setattr(process_module, "LOG_CHECK_INTERVAL", 0.02)
    server = start(script(WRITES_ON))
    await asyncio.wait_for(server.wait(), 20)
    assert (directory.path / "server.log.1").exists()
    assert directory.log.stat().st_size < 20_000
    tail = server.log_tail()  # nothing, when it was emptied as the last line had come
    assert not tail or tail[-1].strip() == "199"


def test_a_short_log_is_left_alone(directory: DataDirectory) -> None:
    assert trim_log(directory.log) is False
    directory.log.write_text("short")
    assert trim_log(directory.log) is False
    assert directory.log.read_text() == "short"


@pytest.mark.parametrize("how", ["launcher", "stdin"])
async def test_a_killed_parent_takes_its_server_along(
    how: str, fake_server: MakeFake, directory: DataDirectory
) -> None:
    if how == "launcher" and sys.platform != "linux":
        pytest.skip("only Linux tells a process that its parent has ended")
    with subprocess.Popen(  # noqa: ASYNC220 -- asyncio's would complain about the pipes that the fork holds open
        [sys.executable, "-c", PARENT, str(directory.path), str(fake_server()), how],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout
        server = int(await asyncio.wait_for(asyncio.to_thread(parent.stdout.readline), 20))
        assert is_alive(server)
        assert directory.try_lock() is None
        parent.kill()
        # A fork of the parent lives on and must hold neither the server nor the directory. The parent itself may hold
        # the lock a moment longer: its first thread to end takes the server along, its last one gives up the files.
        await until(lambda: not is_alive(server))
        await until(lambda: (lock := directory.try_lock()) is not None and lock.release() is None)


async def test_the_lock_is_held_while_the_server_lives_though_its_starter_gave_it_up(
    fake_server: MakeFake, directory: DataDirectory
) -> None:
    lock = directory.try_lock()
    assert lock
    server = ServerProcess(fake(fake_server(), directory), directory=directory, secret=CREDENTIALS.password)
    server.start(lock)
    await server.listening()
    lock.release()
    assert directory.try_lock() is None
    await server.stop(5)
    again = directory.try_lock()
    assert again
    again.release()


def test_the_launcher_refuses_to_run_for_a_parent_that_is_gone(tmp_path: Path) -> None:
    launcher = REPOSITORY / "rustok_iggy_connector" / "launcher.py"
    if sys.platform != "linux":
        pytest.skip("only Linux tells a process that its parent has ended")
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(launcher), "1", "/bin/true"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "the process that started this server is gone" in done.stderr
    assert os.getpid() != 1
