"""A server in this process, and clients of it."""

import pytest

from rustok_iggy_connector.local_server.broker import Surroundings
from rustok_iggy_connector.local_server.in_process import InProcessServer, InProcessSession
from rustok_iggy_connector.wire.commands import groups, streams, topics
from tests.local_server.clients import Clock, logged_in


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> InProcessServer:
    return InProcessServer(surroundings=Surroundings(now=clock.now, monotonic=clock.monotonic))


@pytest.fixture
def client(server: InProcessServer) -> InProcessSession:
    return logged_in(server)


@pytest.fixture
def topic(client: InProcessSession) -> InProcessSession:
    """A client on a server with topic t of 2 partitions and group g."""
    client.request(streams.CreateStream(name="s"))
    client.request(topics.CreateTopic(stream="s", name="t", partitions_count=2))
    client.request(groups.CreateGroup(stream="s", topic="t", name="g"))
    return client
