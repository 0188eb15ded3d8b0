"""Members of a server that was killed or stopped, and started again, do not keep their partitions from the living."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from rustok_iggy_connector import (
    CommittedOffset,
    ConnectorError,
    EmbeddedConnector,
    IggyConnector,
    MessageSubscriber,
    RemoteConnector,
    RemoteConnectorConfig,
    TopicSpec,
)
from rustok_iggy_connector._sdk import Login
from rustok_iggy_connector.data_directory import DataDirectory
from rustok_iggy_connector.embedded import MEMBERS
from rustok_iggy_connector.member_identity import MemberDirectory
from rustok_iggy_connector.member_roll import RollTiming
from rustok_iggy_connector.subscriber import GroupMember
from rustok_iggy_connector.wire.commands.groups import JoinGroup
from rustok_iggy_connector.wire_client import WireClient
from rustok_iggy_connector.wire_login import open_wire_client
from tests.conformance.backends import Backend, Feature
from tests.conformance.conftest import PARTITIONS, TOPIC, batch_of, roll_of_topic
from tests.waiting import until

pytestmark = [pytest.mark.anyio, pytest.mark.needs(Feature.RESTART)]
STREAM, GROUP = "restarts", "readers"
ALL = list(range(PARTITIONS))
TIMING = RollTiming(look_interval=0.1, call_delay=0.2, answer_timeout=1.0)
"""A roll call in seconds; who lives has ten looks to answer, also on a machine with much else to do."""
TWO_MEMBERS = f"""
import asyncio, sys
from rustok_iggy_connector import RemoteConnector, RemoteConnectorConfig
async def main():
    config = RemoteConnectorConfig(addresses=(sys.argv[1],), username=sys.argv[2], password=sys.argv[3])
    async with RemoteConnector(config) as connector:
        members = [await connector.subscribe(stream="{STREAM}", topic="{TOPIC}", group="{GROUP}") for _ in range(2)]
        print("joined", flush=True)
        await asyncio.sleep(600)
asyncio.run(main())
"""


@pytest.fixture(params=[signal.SIGKILL, signal.SIGTERM], ids=["killed", "stopped"])
async def how(request: pytest.FixtureRequest) -> signal.Signals:
    value: signal.Signals = request.param
    return value


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "server"


@pytest.fixture
async def owner(backend: Backend, directory: Path) -> AsyncIterator[EmbeddedConnector]:
    """Runs a server of its own, which has a topic, a group, and two messages in each partition."""
    async with backend.start_in(directory) as opened:
        assert isinstance(opened, EmbeddedConnector)
        await opened.admin.create_stream(STREAM)
        await opened.admin.create_topic(stream=STREAM, spec=TopicSpec(name=TOPIC, partitions=PARTITIONS))
        await opened.admin.create_group(stream=STREAM, topic=TOPIC, group=GROUP)
        for partition in ALL:
            await opened.publish_batch(batch_of(STREAM, [b"0", b"1"], partition=partition))
        yield opened


async def join(connector: IggyConnector) -> MessageSubscriber:
    return await connector.subscribe(stream=STREAM, topic=TOPIC, group=GROUP)


async def join_and_die(directory: Path, connector: IggyConnector) -> WireClient:
    """A member of a process that is gone: nobody holds the lock of its record, nobody will reopen its session."""
    who = MemberDirectory(directory / MEMBERS).enter()
    credentials = DataDirectory(str(directory)).credentials()
    assert credentials is not None
    assert who.record is not None
    client = await open_wire_client(
        address=connector.server.address,
        login=Login(username=credentials.username, password=credentials.password),
        tls=None,
        open_timeout=5.0,
        timeout=5.0,
        who=who,
    )
    await client.request(JoinGroup(stream=STREAM, topic=TOPIC, group=GROUP), subject="the group")
    who.release()
    return client


async def restart(owner: EmbeddedConnector, how: signal.Signals) -> None:
    """End the server; return when the next one answers."""
    assert owner._server is not None
    pid = owner._server.pid
    assert pid is not None
    os.kill(pid, how)

    async def answers() -> bool:
        try:
            await owner.admin.describe_stream(STREAM)
        except ConnectorError:
            return False
        assert owner._server is not None
        return owner._server.pid not in (None, pid)

    await until(answers)


async def owned_by(members: Sequence[MessageSubscriber]) -> list[tuple[int, ...]]:
    try:
        return [(await member.assignment()).partitions for member in members]
    except ConnectorError:
        return []


async def all_is_owned(members: Sequence[MessageSubscriber]) -> float:
    """Seconds until the members own all partitions, each one once."""

    async def dealt() -> bool:
        return sorted(partition for owned in await owned_by(members) for partition in owned) == ALL

    start = time.monotonic()
    await until(dealt)
    return time.monotonic() - start


async def test_members_that_live_on_have_what_they_had(owner: EmbeddedConnector, how: signal.Signals) -> None:
    members = [await join(owner), await join(owner)]
    await all_is_owned(members)
    for member in members:
        for partition in (await member.assignment()).partitions:
            await member.commit(partition, offset=0)
    await restart(owner, how)
    await all_is_owned(members)
    described = await owner.admin.describe_group(stream=STREAM, topic=TOPIC, group=GROUP)
    assert described is not None
    assert len(described.members) == len(members)
    for member in members:
        for partition in (await member.assignment()).partitions:
            assert await member.committed(partition) == CommittedOffset(committed=0, current=1)
            await member.commit(partition, offset=1)


async def test_a_new_member_gets_what_the_dead_had(
    owner: EmbeddedConnector, directory: Path, how: signal.Signals
) -> None:
    for _ in range(2):
        await join_and_die(directory, owner)
    await restart(owner, how)
    member = await join(owner)
    await all_is_owned([member])
    assert len(list((directory / MEMBERS).iterdir())) == 1
    await member.leave()
    assert list((directory / MEMBERS).iterdir()) == []


async def test_those_that_live_on_get_what_the_dead_had(
    owner: EmbeddedConnector, directory: Path, how: signal.Signals
) -> None:
    alive = await join(owner)
    await join_and_die(directory, owner)
    await restart(owner, how)
    await all_is_owned([alive])
    await alive.commit(3, offset=1)


async def test_nobody_alive_is_logged_out(backend: Backend, owner: EmbeddedConnector, directory: Path) -> None:
    async with backend.start_in(directory) as other:
        first, second = await join(owner), await join(other)
        await all_is_owned([first, second])
        generation = (await first.assignment()).generation
        third = await join(other)
        await third.leave()
        await all_is_owned([first, second])
        assert (await first.assignment()).generation - generation <= 2


def remote_config(owner: EmbeddedConnector, directory: Path) -> RemoteConnectorConfig:
    credentials = DataDirectory(str(directory)).credentials()
    assert credentials is not None
    return RemoteConnectorConfig(
        addresses=(owner.server.address,), username=credentials.username, password=credentials.password
    )


@pytest.fixture
async def remote(owner: EmbeddedConnector, directory: Path) -> AsyncIterator[RemoteConnector]:
    """Reaches the owner's server by its address alone, wherever it is after a restart."""

    async def locate() -> str:
        assert owner._server is not None
        return (await owner._server.reach()).address

    async with RemoteConnector(remote_config(owner, directory), locate=locate, roll_timing=TIMING) as opened:
        yield opened


@pytest.fixture
def two_members(owner: EmbeddedConnector, directory: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process on another host, so to speak, with two members of the group."""
    config = remote_config(owner, directory)
    arguments = [config.addresses[0], config.username, config.password or ""]
    process = subprocess.Popen(
        [sys.executable, "-c", TWO_MEMBERS, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "joined\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


async def die_while_down(process: "subprocess.Popen[str]", owner: EmbeddedConnector, how: signal.Signals) -> None:
    process.send_signal(signal.SIGSTOP)
    await restart(owner, how)
    process.kill()


async def roll(owner: EmbeddedConnector) -> list[str]:
    assert owner._remote is not None
    return await roll_of_topic(owner._remote, stream=STREAM, topic=TOPIC)


async def roll_is_called(member: MessageSubscriber) -> None:
    """Return when a member knows who is dead."""
    assert isinstance(member, GroupMember)
    call = member._roll
    assert call is not None

    await until(lambda: not call._attendance._is_unsure)


async def test_over_the_network_a_new_member_gets_what_the_dead_had(
    owner: EmbeddedConnector,
    two_members: "subprocess.Popen[str]",
    remote: RemoteConnector,
    how: signal.Signals,
) -> None:
    await die_while_down(two_members, owner, how)
    member = await join(remote)
    await all_is_owned([member])
    await roll_is_called(member)
    assert len(await roll(owner)) == 1
    assert await owner.admin.list_groups(stream=STREAM, topic=TOPIC) == (GROUP,)
    await member.leave()
    assert await roll(owner) == []


async def test_over_the_network_those_that_live_on_get_what_the_dead_had(
    owner: EmbeddedConnector,
    two_members: "subprocess.Popen[str]",
    remote: RemoteConnector,
) -> None:
    living = [await join(remote), await join(remote)]
    await die_while_down(two_members, owner, signal.SIGKILL)
    await all_is_owned(living)
    for member in living:
        for partition in (await member.assignment()).partitions:
            await member.commit(partition, offset=1)


async def test_over_the_network_nobody_alive_is_logged_out(remote: RemoteConnector, owner: EmbeddedConnector) -> None:
    members = [await join(remote), await join(remote)]
    await all_is_owned(members)
    for member in members:
        await roll_is_called(member)
    generation = (await members[0].assignment()).generation
    members.append(await join(remote))
    await roll_is_called(members[-1])
    await all_is_owned(members)
    assert (await members[0].assignment()).generation == generation + 1
    assert len(await roll(owner)) == len(members)


async def test_over_the_network_who_lives_and_does_not_answer_only_joins_again(
    remote: RemoteConnector, owner: EmbeddedConnector
) -> None:
    mute = await join(remote)
    assert isinstance(mute, GroupMember)
    assert mute._roll is not None
    mute._roll.stop()
    other = await join(remote)
    await roll_is_called(other)
    assert len(await roll(owner)) == 1
    await all_is_owned([mute, other])


async def test_a_group_that_is_deleted_takes_the_entries_of_its_dead_with_it(
    remote: RemoteConnector, two_members: "subprocess.Popen[str]", owner: EmbeddedConnector
) -> None:
    two_members.kill()
    two_members.wait()

    async def nobody_is_left() -> bool:
        described = await owner.admin.describe_group(stream=STREAM, topic=TOPIC, group=GROUP)
        return described is not None and not described.members

    await until(nobody_is_left)
    assert len(await roll(owner)) == 2
    await remote.admin.delete_group(stream=STREAM, topic=TOPIC, group=GROUP)
    assert await roll(owner) == []
