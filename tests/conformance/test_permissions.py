"""Least privilege: what users with the permissions of docs/how-to/production.md can do, and what they cannot."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import msgspec
import pytest

from rustok_iggy import IggyConfig, IggyTransport, RetentionConfig, TopologyConfig, TopologyManager
from rustok_iggy.topology import desired_topology
from rustok_iggy_connector import (
    IggyConnector,
    PermissionDeniedError,
    PublishRequest,
    RemoteConnector,
    RemoteConnectorConfig,
    TopicSpec,
)
from rustok_iggy_connector.wire.commands.users import CreateUser, Permissions, StreamPermissions, TopicPermissions
from tests.conformance.backends import Backend, Feature, unique
from tests.conformance.conftest import roll_of_topic

pytestmark = [pytest.mark.anyio, pytest.mark.needs(Feature.LOGIN)]

PASSWORD = "correct-horse-battery"
READ = {"read_topic": True}
READ_AND_SEND = {"read_topic": True, "send_messages": True}
SEND = {"send_messages": True}
# Rights on the stream, and on its topics; docs/how-to/production.md says the same.
RIGHTS: dict[str, tuple[dict[str, bool], dict[str, dict[str, bool]]]] = {
    "sender": ({}, {"domain": SEND}),
    "publisher": ({}, {"domain": READ_AND_SEND, "system": READ_AND_SEND, "dlq": READ}),
    "consumer": ({}, {"domain": READ, "system": READ, "dlq": READ_AND_SEND}),
    "operator": ({}, {"domain": READ, "system": READ, "dlq": READ_AND_SEND}),
    "owner": ({"manage_stream": True}, {}),
    "nobody": ({}, {}),
}
MAY = {
    "sender": {"send domain"},
    "publisher": {"start", "send domain", "poll domain", "poll dlq", "join domain", "store dlq"},
    "consumer": {"start", "poll domain", "join domain", "send dlq", "poll dlq", "store dlq"},
    "operator": {"start", "poll domain", "join domain", "send dlq", "poll dlq", "store dlq"},
    "owner": {
        *("start", "send domain", "poll domain", "join domain", "send dlq", "poll dlq", "store dlq"),
        *("create topic", "change retention"),
    },
    "nobody": set(),
}


class World:
    """A stream with everything in it, and users of it."""

    def __init__(self, backend: Backend, root: RemoteConnector, closing: AsyncExitStack) -> None:
        self._backend = backend
        self._root = root
        self._closing = closing
        self.stream = unique("rights")
        self.config = IggyConfig(topology=TopologyConfig(stream_name=self.stream))
        self.desired = desired_topology(self.config)

    async def prepare(self) -> None:
        topics = await TopologyManager(self._root.admin, self.desired).apply()
        assert len(topics.topics) == 3
        await self._root.admin.create_group(stream=self.stream, topic="domain", group="billing")
        for topic in ("domain", "dlq"):
            await self._root.publish(self.message(topic))

    def message(self, topic: str) -> PublishRequest:
        return PublishRequest(
            stream=self.stream, topic=topic, partition_id=0, payload=b"x", event_id=uuid.uuid4(), headers={"a": b"b"}
        )

    async def user(self, role: str) -> RemoteConnectorConfig:
        """Make a user with a role's permissions, which name streams and topics by id."""
        on_stream, on_topics = RIGHTS[role]
        stream = await self._root.admin.describe_stream(self.stream)
        assert stream is not None
        topics = []
        for name, flags in on_topics.items():
            topic = await self._root.admin.describe_topic(stream=self.stream, topic=name)
            assert topic is not None
            topics.append(TopicPermissions(topic_id=topic.id, **flags))
        rights = StreamPermissions(stream_id=stream.id, topics=tuple(topics), **on_stream)
        permissions = Permissions(streams=(rights,)) if on_stream or on_topics else None
        request = CreateUser(username=unique(role), password=PASSWORD, permissions=permissions)
        session = self._root._admin_session  # the connector itself makes no users
        assert session is not None
        await session.run(lambda client: client.request(request, subject=request.username))
        return msgspec.structs.replace(self._backend.remote_config(), username=request.username, password=PASSWORD)

    async def roll(self) -> list[str]:
        return await roll_of_topic(self._root, stream=self.stream, topic="domain")

    async def login(self, role: str) -> IggyConnector:
        return await self._closing.enter_async_context(RemoteConnector(await self.user(role)))


@pytest.fixture
async def world(backend: Backend) -> AsyncIterator[World]:
    async with AsyncExitStack() as closing:
        root = await closing.enter_async_context(RemoteConnector(backend.remote_config()))
        made = World(backend, root, closing)
        await made.prepare()
        yield made
        await root.admin.delete_stream(made.stream)


async def poll(world: World, connector: IggyConnector, topic: str) -> None:
    reader = await connector.subscribe(stream=world.stream, topic=topic)
    try:
        assert len(await reader.poll(0, offset=0, max_messages=10)) >= 1
    finally:
        await reader.leave()


async def join(world: World, connector: IggyConnector) -> None:
    member = await connector.subscribe(stream=world.stream, topic="domain", group="billing")
    try:
        await member.commit((await member.assignment()).partitions[0], offset=0)
    finally:
        await member.leave()


Deed = Callable[[World, IggyConnector], Awaitable[object]]
DEEDS: dict[str, Deed] = {
    "start": lambda world, user: TopologyManager(user.admin, world.desired).apply(),
    "send domain": lambda world, user: user.publish(world.message("domain")),
    "poll domain": lambda world, user: poll(world, user, "domain"),
    "join domain": join,
    "send dlq": lambda world, user: user.publish(world.message("dlq")),
    "poll dlq": lambda world, user: poll(world, user, "dlq"),
    "store dlq": lambda world, user: user.admin.store_reader_offset(
        stream=world.stream, topic="dlq", partition_id=0, consumer="pin", offset=0
    ),
    "change retention": lambda world, user: user.admin.update_topic(stream=world.stream, spec=world.desired.topics[0]),
    "create topic": lambda world, user: user.admin.create_topic(
        stream=world.stream, spec=TopicSpec(name="another", partitions=1)
    ),
}


@pytest.mark.parametrize("role", RIGHTS)
async def test_a_role_may_do_this_and_nothing_else(world: World, role: str) -> None:
    user = await world.login(role)
    done = set()
    for name, deed in DEEDS.items():
        try:
            await deed(world, user)
        except PermissionDeniedError:
            continue
        done.add(name)
    assert done == MAY[role]


@pytest.mark.parametrize("role", ["publisher", "consumer", "operator"])
async def test_a_transport_starts_without_the_right_to_create_when_all_is_there(world: World, role: str) -> None:
    config = msgspec.structs.replace(world.config, mode="remote", remote=await world.user(role))
    async with IggyTransport(config) as transport:
        assert (await transport.topology.drift()).exit_code == 0


async def test_a_refused_step_says_what_was_to_be_done_and_what_is_missing(world: World) -> None:
    user = await world.login("consumer")
    other = desired_topology(
        IggyConfig(topology=TopologyConfig(stream_name=world.stream), retention=RetentionConfig(domain_max_age_days=1))
    )
    with pytest.raises(PermissionDeniedError, match=r"topic domain should keep .* manage_topic on the topic"):
        await TopologyManager(user.admin, other).apply()


async def test_a_consumer_enters_the_roll_and_leaves_it_without_further_rights(world: World) -> None:
    user = await world.login("consumer")
    member = await user.subscribe(stream=world.stream, topic="domain", group="billing")
    assert len(await world.roll()) == 1
    await member.leave()
    assert await world.roll() == []
