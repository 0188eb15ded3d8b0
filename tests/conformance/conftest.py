"""One server and two connectors a backend for the whole session; a fresh stream for each test."""

import uuid
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from rustok_iggy_connector import (
    IggyConnector,
    OutgoingMessage,
    PublishBatch,
    PublishRequest,
    RemoteConnector,
    TopicSpec,
)
from rustok_iggy_connector.member_roll import ROLL_PREFIX
from rustok_iggy_connector.wire.commands.groups import GetGroups, GroupList
from tests.conformance.backends import Backend, backend_names, open_backend, unique

TOPIC = "events"
PARTITIONS = 4

Publish = Callable[..., object]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "needs(feature): runs on backends that have this feature")


@pytest.fixture(scope="session", params=backend_names())
async def backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, anyio_backend: str
) -> AsyncIterator[Backend]:
    async with open_backend(request.param, tmp_path_factory.mktemp("conformance")) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _skip_what_it_cannot(request: pytest.FixtureRequest, backend: Backend) -> None:
    for marker in request.node.iter_markers("needs"):
        if marker.args[0] not in backend.features:
            pytest.skip(f"{backend.name} has no {marker.args[0]}")


@pytest.fixture(scope="session")
async def connector(backend: Backend) -> AsyncIterator[IggyConnector]:
    async with backend.connector() as opened:
        yield opened


@pytest.fixture(scope="session")
async def second(backend: Backend) -> AsyncIterator[IggyConnector]:
    """Another connector to the same server, as another process has it."""
    async with backend.connector() as opened:
        yield opened


@pytest.fixture
async def stream(connector: IggyConnector) -> AsyncIterator[str]:
    """A stream with one topic, TOPIC, of PARTITIONS partitions."""
    name = unique("stream")
    await connector.admin.create_stream(name)
    await connector.admin.create_topic(stream=name, spec=TopicSpec(name=TOPIC, partitions=PARTITIONS))
    yield name
    if await connector.admin.describe_stream(name) is not None:
        await connector.admin.delete_stream(name)


@pytest.fixture
async def group(connector: IggyConnector, stream: str) -> str:
    await connector.admin.create_group(stream=stream, topic=TOPIC, group="readers")
    return "readers"


def request_of(stream: str, payload: bytes = b"x", *, partition: int = 0, **fields: object) -> PublishRequest:
    values = {"topic": TOPIC, "event_id": uuid.uuid4(), **fields}
    return PublishRequest(stream=stream, partition_id=partition, payload=payload, **values)


def batch_of(stream: str, payloads: Sequence[bytes], *, partition: int = 0) -> PublishBatch:
    messages = [OutgoingMessage(id=uuid.uuid4(), payload=payload) for payload in payloads]
    return PublishBatch(stream=stream, topic=TOPIC, partition_id=partition, messages=messages)


async def roll_of_topic(connector: RemoteConnector, *, stream: str, topic: str) -> list[str]:
    """The entries that members made (member_roll.py), which no list of groups shows."""
    session = connector._admin_session
    assert session is not None
    found = await session.run(
        lambda client: client.ask(GetGroups(stream=stream, topic=topic), GroupList, subject="the topic")
    )
    assert found is not None
    return [each.name for each in found.groups if each.name.startswith(ROLL_PREFIX)]
