"""The connector over real servers: what was acknowledged survives, whoever is killed and whoever started the server."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from rustok_iggy_connector.config import EmbeddedConnectorConfig
from rustok_iggy_connector.data_directory import DataDirectory
from rustok_iggy_connector.embedded import EmbeddedConnector
from rustok_iggy_connector.errors import ConfigError, ConnectorClosedError, ServerNotFoundError
from rustok_iggy_connector.models import PublishConfirmation
from tests.embedded import sharing
from tests.embedded.conftest import is_alive
from tests.waiting import until

pytestmark = pytest.mark.anyio

ENGINES = ["local", pytest.param("iggy-server", marks=pytest.mark.server)]
START_LIMIT = 10.0
"""Seconds; one of them here. Who waits for anything but the server itself waits for longer."""


@pytest.fixture(params=ENGINES)
def config(request: pytest.FixtureRequest, data_dir: Path) -> EmbeddedConnectorConfig:
    server_path = os.environ.get("RUSTOK_IGGY_SERVER") if request.param == "iggy-server" else None
    if request.param == "iggy-server" and server_path is None:
        pytest.skip("needs RUSTOK_IGGY_SERVER")
    return EmbeddedConnectorConfig(data_dir=str(data_dir), engine=request.param, server_path=server_path)


def server_pid(connector: EmbeddedConnector) -> int:
    assert connector._server is not None
    assert connector._server.pid is not None
    return connector._server.pid


@asynccontextmanager
async def publishing(connector: EmbeddedConnector) -> AsyncIterator[list[PublishConfirmation]]:
    """Publishes on every partition for as long as the block runs; yields what is confirmed so far."""
    confirmed: list[PublishConfirmation] = []
    going = True

    async def publish(partition: int) -> None:
        while going:
            confirmed.append(await sharing.publish(connector, partition, "x"))

    async with asyncio.TaskGroup() as tasks:
        for partition in range(sharing.PARTITIONS):
            tasks.create_task(publish(partition))
        try:
            yield confirmed
        finally:
            going = False


async def test_it_starts_quickly_and_keeps_messages(config: EmbeddedConnectorConfig) -> None:
    before = time.monotonic()
    async with EmbeddedConnector(config) as connector:
        assert time.monotonic() - before < START_LIMIT
        assert connector.is_owner
        assert connector.server.engine == config.engine
        await sharing.ensure_topic(connector)
        confirmed = [await sharing.publish(connector, number % 4, "kept") for number in range(20)]
        assert connector.statistics().messages_published == 20
        pid = server_pid(connector)
    assert not is_alive(pid)
    assert not connector.statistics().connected
    async with EmbeddedConnector(config) as again:
        assert not sharing.missing(confirmed, await sharing.stored(again))


@pytest.mark.parametrize(
    "rounds",
    [
        pytest.param(20, marks=pytest.mark.timeout(300)),
        pytest.param(50, marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
    ],
)
async def test_no_acknowledged_message_is_lost_when_the_server_is_killed(
    config: EmbeddedConnectorConfig, rounds: int
) -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    confirmed: list[PublishConfirmation] = []
    for _ in range(rounds):
        async with EmbeddedConnector(config) as connector:
            await sharing.ensure_topic(connector)
            async with publishing(connector) as acknowledged:
                target = chance.randrange(1, 60)
                await until(lambda: len(acknowledged) >= target)  # noqa: B023 -- awaited within the round
                os.kill(server_pid(connector), signal.SIGKILL)
                await until(lambda: connector.statistics().server_restarts == 1)
                so_far = len(acknowledged)
                await until(lambda: len(acknowledged) > so_far)  # noqa: B023
            confirmed += acknowledged
            found = await sharing.stored(connector)
            assert not sharing.missing(confirmed, found)
            for partition in range(sharing.PARTITIONS):
                offsets = sorted(offset for owner, offset in found if owner == partition)
                assert offsets == list(range(len(offsets)))


class Sharer:
    """A process running sharing.py."""

    def __init__(self, config: EmbeddedConnectorConfig, name: str) -> None:
        environment = {**os.environ, "IGGY_SERVER_PATH": config.server_path or ""}
        self.process = subprocess.Popen(
            [sys.executable, sharing.__file__, config.data_dir, config.engine.value, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    async def ready(self) -> str:
        assert self.process.stdout
        words = (await asyncio.to_thread(self.process.stdout.readline)).split()
        assert words[:1] == ["ready"], words
        return words[1]

    async def confirmed(self) -> list[PublishConfirmation]:
        """Stop it, and read what it was confirmed."""
        output, _ = await asyncio.to_thread(self.process.communicate, "")
        assert self.process.returncode == 0
        lines = [line.split() for line in output.splitlines()]
        return [
            PublishConfirmation(sharing.TOPIC, int(line[0]), int(line[1]), UUID(line[2]))
            for line in lines
            if len(line) == 3
        ]

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@asynccontextmanager
async def sharers(config: EmbeddedConnectorConfig, count: int) -> AsyncIterator[dict[str, list[Sharer]]]:
    """That many processes on one data directory, all publishing: one `owner`, the rest `attached`."""
    async with AsyncExitStack() as stack:
        processes = [Sharer(config, f"process {number}") for number in range(count)]
        for process in processes:
            stack.callback(process.end)
        roles: dict[str, list[Sharer]] = {"owner": [], "attached": []}
        for process, role in zip(processes, await asyncio.gather(*[p.ready() for p in processes]), strict=True):
            roles[role].append(process)
        assert len(roles["owner"]) == 1
        yield roles


async def everything_is_stored(config: EmbeddedConnectorConfig, confirmed: list[PublishConfirmation]) -> None:
    async with EmbeddedConnector(config) as connector:
        assert not sharing.missing(confirmed, await sharing.stored(connector))


async def test_four_processes_share_one_server(config: EmbeddedConnectorConfig) -> None:
    async with sharers(config, 4) as roles:
        # The attached first: their server must not go away under them here.
        confirmed = [one for process in roles["attached"] + roles["owner"] for one in await process.confirmed()]
    await everything_is_stored(config, confirmed)


@pytest.mark.parametrize("end", ["killed", "ends"])
async def test_the_attached_go_on_when_the_owner_is_gone(config: EmbeddedConnectorConfig, end: str) -> None:
    async with sharers(config, 3) as roles:
        [owner] = roles["owner"]
        confirmed = []
        before = DataDirectory(config.data_dir).holder()
        if end == "killed":
            owner.process.kill()
        else:
            confirmed += await owner.confirmed()
        await until(lambda: DataDirectory(config.data_dir).holder() != before)
        after = DataDirectory(config.data_dir).holder()
        assert after
        assert after.process_id in {process.process.pid for process in roles["attached"]}
        for process in sorted(roles["attached"], key=lambda one: one.process.pid == after.process_id):
            confirmed += await process.confirmed()
    assert len(confirmed) > 10
    await everything_is_stored(config, confirmed)


async def test_a_reader_gets_over_a_restart(config: EmbeddedConnectorConfig) -> None:
    async with EmbeddedConnector(config) as connector:
        await sharing.ensure_topic(connector)
        await connector.admin.create_group(stream=sharing.STREAM, topic=sharing.TOPIC, group="readers")
        member = await connector.subscribe(stream=sharing.STREAM, topic=sharing.TOPIC, group="readers")
        first = await sharing.publish(connector, 1, "before")
        await member.poll(1, offset=0, max_messages=10)
        await member.commit(1, offset=first.offset)
        os.kill(server_pid(connector), signal.SIGKILL)
        await until(lambda: connector.statistics().server_restarts == 1)
        second = await sharing.publish(connector, 1, "after")
        assert (await member.assignment()).is_member
        committed = await member.committed(1)
        assert committed
        assert committed.committed == first.offset
        messages = await member.poll(1, offset=committed.committed + 1, max_messages=10)
        assert UUID(int=messages[-1].id) == second.event_id


async def test_connecting_and_shutting_down_twice_is_harmless(config: EmbeddedConnectorConfig) -> None:
    connector = EmbeddedConnector(config)
    await connector.shutdown()
    await connector.connect()
    pid = server_pid(connector)
    await connector.connect()
    assert server_pid(connector) == pid
    await connector.shutdown()
    await connector.shutdown()
    assert not is_alive(pid)
    with pytest.raises(ConnectorClosedError):
        await connector.admin.describe_stream("any")
    await connector.connect()
    await connector.shutdown()


async def test_who_connects_twice_at_the_same_time_starts_one_server_and_stops_it(
    config: EmbeddedConnectorConfig,
) -> None:
    connector = EmbeddedConnector(config)
    await asyncio.gather(connector.connect(), connector.connect())
    assert connector.is_owner
    await connector.shutdown()
    lock = DataDirectory(config.data_dir).try_lock()
    assert lock
    lock.release()


async def test_a_forked_child_leaves_the_server_alone(config: EmbeddedConnectorConfig) -> None:
    async with EmbeddedConnector(config) as connector:
        assert connector._server is not None
        child = os.fork()
        if child == 0:
            try:
                closing = connector._server.close()
                closing.send(None)
            except StopIteration:
                os._exit(0)
            os._exit(1)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        assert os.waitstatus_to_exitcode(status) == 0
        assert is_alive(server_pid(connector))
        await sharing.ensure_topic(connector)
        await sharing.publish(connector, 0, str(uuid4()))


def test_a_wrong_configuration_is_refused_before_anything_starts(data_dir: Path) -> None:
    with pytest.raises(ConfigError, match=r"embedded\.tcp_port"):
        EmbeddedConnector(EmbeddedConnectorConfig(data_dir=str(data_dir), tcp_port=70_000))
    assert not data_dir.exists()


async def test_a_connect_that_fails_leaves_nothing(data_dir: Path) -> None:
    connector = EmbeddedConnector(EmbeddedConnectorConfig(data_dir=str(data_dir), server_path="/no/such/server"))
    with pytest.raises(ServerNotFoundError):
        await connector.connect()
    lock = DataDirectory(str(data_dir)).try_lock()
    assert lock
    lock.release()


async def test_a_damaged_database_is_reported_with_what_the_server_says(data_dir: Path) -> None:
    from rustok_iggy_connector.errors import ServerStartupError

    directory = DataDirectory(str(data_dir))
    directory.prepare()
    (data_dir / "local-server.sqlite3").write_bytes(b"not a database" * 1000)
    connector = EmbeddedConnector(EmbeddedConnectorConfig(data_dir=str(data_dir), engine="local"))  # type: ignore[arg-type]
    with pytest.raises(ServerStartupError, match="before it was ready") as raised:
        await connector.connect()
    assert "atabase" in str(raised.value)
