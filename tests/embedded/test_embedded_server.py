"""Starting, attaching, taking over, restarting, and every way in which that can fail: nothing is left behind."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from rustok_iggy_connector.config import EmbeddedConnectorConfig, Engine
from rustok_iggy_connector.data_directory import DataDirectory
from rustok_iggy_connector.embedded_server import EmbeddedServer
from rustok_iggy_connector.errors import (
    AuthenticationError,
    ConnectorClosedError,
    DataDirInUseError,
    ServerExitedError,
    ServerProcessError,
    ServerStartupError,
)
from tests.cancelling import at_each_wait
from tests.embedded.conftest import MakeConfig, is_alive
from tests.waiting import until, wait_until

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def opened(*configs: EmbeddedConnectorConfig) -> AsyncIterator[list[EmbeddedServer]]:
    servers = [EmbeddedServer(config) for config in configs]
    try:
        yield servers
    finally:
        for server in servers:
            await server.close()


@pytest.fixture(autouse=True)
def nothing_left_behind(data_dir: Path) -> Iterator[None]:
    """Whatever happened in a test: no server runs afterwards, and the directory is free."""
    yield
    started = data_dir / "pid"
    if started.exists():
        wait_until(lambda: not is_alive(int(started.read_text())))
    if data_dir.is_dir():
        assert is_free(data_dir), "the data directory is still held"


async def test_it_starts_the_server_and_stops_it(config: MakeConfig) -> None:
    async with opened(config()) as [server]:
        endpoint = await server.reach()
        assert endpoint.engine is Engine.IGGY_SERVER
        assert server.is_owner
        assert server.pid is not None
        assert is_alive(server.pid)
        assert await server.reach() == endpoint


async def test_the_second_one_attaches_and_leaves_the_server_alone(config: MakeConfig) -> None:
    async with opened(config(), config()) as [first, second]:
        started = await first.reach()
        assert await second.reach() == started
        assert not second.is_owner
        await second.close()
        assert is_alive(first.pid or 0)


async def test_of_many_at_once_one_starts_the_server(config: MakeConfig) -> None:
    async with opened(*[config() for _ in range(6)]) as servers:
        endpoints = await asyncio.gather(*[server.reach() for server in servers])
        assert len(set(endpoints)) == 1
        assert [server.is_owner for server in servers].count(True) == 1


async def test_callers_at_the_same_time_share_one_attempt(config: MakeConfig) -> None:
    async with opened(config()) as [server]:
        endpoints = await asyncio.gather(*[server.reach() for _ in range(5)])
        assert len(set(endpoints)) == 1


async def test_when_the_owner_leaves_an_attached_one_starts_the_next_server(config: MakeConfig) -> None:
    async with opened(config(), config(), config()) as [owner, second, third]:
        before = await owner.reach()
        await second.reach()
        await third.reach()
        await owner.close()
        after = await asyncio.gather(second.reach(), third.reach())
        assert after[0] == after[1]
        assert after[0].credentials == before.credentials
        assert [second.is_owner, third.is_owner].count(True) == 1


async def test_a_killed_server_is_restarted_and_counted(config: MakeConfig) -> None:
    async with opened(config(), config()) as [owner, attached]:
        await owner.reach()
        await attached.reach()
        os.kill(owner.pid or 0, signal.SIGKILL)
        await until(lambda: owner.restarts == 1)
        assert await attached.reach() == await owner.reach()
        assert not attached.is_owner


async def test_who_asks_during_a_restart_waits_for_it(config: MakeConfig) -> None:
    async with opened(config()) as [server]:
        before, killed = await server.reach(), server.pid
        os.kill(killed or 0, signal.SIGKILL)
        await until(lambda: server._endpoint is None)
        after = await server.reach()
        assert after.address
        assert server.pid not in (None, killed)
        assert after.credentials == before.credentials


async def test_ctrl_c_does_not_reach_the_server(config: MakeConfig) -> None:
    async with opened(config()) as [server]:
        await server.reach()
        assert os.getpgid(server.pid or 0) != os.getpgid(0)


async def test_the_address_of_an_earlier_server_is_not_taken_for_this_ones(
    config: MakeConfig, data_dir: Path, tmp_path: Path
) -> None:
    async with opened(config(data_dir=str(tmp_path / "other"))) as [other]:
        await other.reach()
        DataDirectory(str(data_dir)).prepare()
        for name in ("embedded.json", "runtime"):
            source, target = tmp_path / "other" / name, data_dir / name
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        async with opened(config("never-ready", startup_timeout=0.5)) as [server]:
            with pytest.raises(ServerStartupError, match="did not become ready"):
                await server.reach()


async def test_a_server_that_keeps_dying_is_given_up_with_its_last_words(config: MakeConfig) -> None:
    async with opened(config("dies-after-login", max_restarts=2)) as [server]:
        await server.reach()
        await until(lambda: not server.is_owner)
        with pytest.raises(ServerExitedError, match=r"code 7, more than 2 times") as raised:
            await server.reach()
        assert raised.value.log_tail[-1] == "I had enough"
        assert server.restarts == 2


async def test_exits_long_ago_do_not_count_against_the_limit(config: MakeConfig) -> None:
    moments = iter(range(0, 10_000, 61))
    server = EmbeddedServer(config(max_restarts=1), clock=lambda: float(next(moments)))
    try:
        await server.reach()
        for round_ in range(1, 4):
            os.kill(server.pid or 0, signal.SIGKILL)
            await until(lambda expected=round_: server.restarts == expected)  # type: ignore[misc]
    finally:
        await server.close()


async def test_a_server_that_ends_before_it_is_ready_is_reported_with_its_log(config: MakeConfig) -> None:
    async with opened(config("exits")) as [server]:
        with pytest.raises(
            ServerStartupError, match=r"code 3 before it was ready: the disk is on fire; its log is"
        ) as raised:
            await server.reach()
        assert raised.value.log_tail == ("starting with ***", "the disk is on fire")


@pytest.mark.parametrize("behaviour", ["never-ready", "mute"])
async def test_a_server_that_never_answers_is_given_up_at_the_deadline(config: MakeConfig, behaviour: str) -> None:
    async with opened(config(behaviour, startup_timeout=0.7)) as [server]:
        with pytest.raises(ServerStartupError, match=r"did not become ready within 0\.7 s; its log is"):
            await server.reach()


async def test_a_server_that_refuses_our_password_says_where_the_right_one_was(config: MakeConfig) -> None:
    async with opened(config("refuses-login")) as [server]:
        with pytest.raises(AuthenticationError, match=r"embedded\.json.*restore that file, or name another"):
            await server.reach()


async def test_a_server_that_ignores_sigterm_is_killed(config: MakeConfig) -> None:
    async with opened(config("ignores-sigterm", stop_timeout=0.3)) as [server]:
        await server.reach()
        started = time.monotonic()
        await server.close()
        assert 0.3 <= time.monotonic() - started < 15


async def test_a_held_directory_without_a_server_is_reported_with_its_holder(
    config: MakeConfig, data_dir: Path
) -> None:
    directory = DataDirectory(str(data_dir))
    directory.prepare()
    lock = directory.try_lock()
    assert lock
    lock.note(Engine.IGGY_SERVER)
    async with opened(config(startup_timeout=0.4)) as [server]:
        with pytest.raises(DataDirInUseError, match=rf"held by process {os.getpid()}.*within 0\.4 s"):
            await server.reach()
    lock.release()


async def test_a_held_directory_whose_server_is_stopped_is_reported_within_the_deadline(config: MakeConfig) -> None:
    async with opened(config(), config(startup_timeout=1.0, request_timeout=0.2)) as [owner, second]:
        await owner.reach()
        os.kill(owner.pid or 0, signal.SIGSTOP)
        try:
            started = time.monotonic()
            with pytest.raises(DataDirInUseError, match="does not answer"):
                await second.reach()
            assert time.monotonic() - started < 15
        finally:
            os.kill(owner.pid or 0, signal.SIGCONT)


async def test_a_local_server_started_by_hand_is_not_disturbed(config: MakeConfig, data_dir: Path) -> None:
    DataDirectory(str(data_dir)).prepare()
    locked = (
        "import fcntl, sys; f = open(sys.argv[1], 'wb'); fcntl.flock(f, fcntl.LOCK_EX); print('held', flush=True); "
        "sys.stdin.read()"
    )
    with subprocess.Popen(  # noqa: ASYNC220 -- it starts and answers at once
        [sys.executable, "-c", locked, str(data_dir / "local-server.lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        async with opened(config()) as [server]:
            with pytest.raises(DataDirInUseError, match="started by hand"):
                await server.reach()
        holder.communicate()


async def test_a_port_in_use_is_named(config: MakeConfig) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with opened(config(tcp_port=port)) as [server]:
            with pytest.raises(ServerStartupError, match=rf"port {port} is in use: set embedded\.tcp_port: 0"):
                await server.reach()


async def test_a_data_directory_that_is_a_file_is_refused(config: MakeConfig, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for path in (file, file / "below"):
        async with opened(config(data_dir=str(path))) as [server]:
            with pytest.raises(ServerStartupError, match=r"embedded\.data_dir: .* a file; name a directory"):
                await server.reach()


async def test_an_unwritable_data_directory_is_refused(config: MakeConfig) -> None:
    # /proc refuses new entries to root too, which tests may run as.
    async with opened(config(data_dir="/proc/rustok")) as [server]:
        with pytest.raises(ServerStartupError, match=r"embedded\.data_dir: /proc/rustok cannot be used.*another"):
            await server.reach()


async def test_a_damaged_password_file_is_refused(config: MakeConfig, data_dir: Path) -> None:
    DataDirectory(str(data_dir)).prepare()
    (data_dir / "embedded.json").write_text("{")
    async with opened(config()) as [server]:
        with pytest.raises(ServerStartupError, match=r"embedded\.json is damaged; restore it"):
            await server.reach()


async def test_the_second_one_refuses_a_server_of_another_engine_than_it_asks_for(config: MakeConfig) -> None:
    async with opened(config(), config(engine="local")) as [owner, second]:
        await owner.reach()
        with pytest.raises(ServerProcessError, match=r"holds data of engine iggy-server.*Set embedded\.engine"):
            await second.reach()


async def test_closing_while_it_starts_stops_the_start(config: MakeConfig, data_dir: Path) -> None:
    async with opened(config("never-ready")) as [server]:
        waiting = asyncio.ensure_future(server.reach())
        await until((data_dir / "pid").exists)
        await server.close()
        with pytest.raises(ConnectorClosedError):
            await waiting
        with pytest.raises(ConnectorClosedError):
            await server.reach()


@pytest.mark.parametrize("behaviour", ["well", "never-ready"])
async def test_closing_gives_everything_up_wherever_it_is_cancelled(
    behaviour: str, config: MakeConfig, data_dir: Path
) -> None:
    for cancellation in at_each_wait():
        server = EmbeddedServer(config(behaviour))
        reaching = asyncio.ensure_future(server.reach())
        await (asyncio.wait([reaching]) if behaviour == "well" else until((data_dir / "pid").exists))
        await cancellation(server.close())
        process = int((data_dir / "pid").read_text())
        await until(lambda pid=process: not is_alive(pid))  # type: ignore[misc]
        await until(partial(is_free, data_dir))
        await asyncio.gather(reaching, return_exceptions=True)
        (data_dir / "pid").unlink()


def is_free(data_dir: Path) -> bool:
    lock = DataDirectory(str(data_dir)).try_lock()
    if lock is not None:
        lock.release()
    return lock is not None


async def test_a_cancelled_caller_does_not_end_the_start_for_others(config: MakeConfig) -> None:
    async with opened(config()) as [server]:
        impatient = asyncio.ensure_future(server.reach())
        patient = asyncio.ensure_future(server.reach())
        await asyncio.sleep(0)
        impatient.cancel()
        assert (await patient).address
        with pytest.raises(asyncio.CancelledError):
            await impatient


async def test_closing_twice_and_unopened_is_harmless(config: MakeConfig) -> None:
    async with opened(config()) as [server]:
        await server.close()
        await server.close()


async def test_the_server_sees_none_of_our_secrets(
    config: MakeConfig, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "hunter2")
    async with opened(config()) as [server]:
        await server.reach()
        names = (data_dir / "environment").read_text().split()
        assert [
            name
            for name in names
            if not name.startswith(("IGGY_", "LC_", "LANG", "TZ", "TMPDIR", "PWD", "SHLVL", "_", "OLDPWD", "LD_"))
        ] == []
