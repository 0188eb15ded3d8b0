"""A feature that a backend does not claim is really absent: otherwise tests are skipped that could run."""

import pytest

from rustok_iggy_connector import IggyConnector, InMemoryConnector, TopicSpec
from tests.conformance.backends import Backend, Feature, unique

pytestmark = pytest.mark.anyio


async def test_without_network_there_is_no_address_to_connect_to(backend: Backend, connector: IggyConnector) -> None:
    host, colon, port = connector.server.address.rpartition(":")
    has_address = bool(host and colon and port.isdecimal())
    assert has_address == (Feature.NETWORK in backend.features)


async def test_without_login_nobody_is_asked_who_it_is(backend: Backend) -> None:
    if Feature.LOGIN in backend.features:
        assert backend.remote_config().password
    else:
        async with backend.connector() as connector:
            assert not [name for name in vars(connector) if "password" in name or "token" in name or "login" in name]


async def test_without_disk_nothing_outlives_the_server(backend: Backend) -> None:
    if Feature.DISK in backend.features or backend.name == "remote":
        pytest.skip("it has a disk, or its server is not ours to stop")
    stream = unique("forgotten")
    async with InMemoryConnector() as connector:
        await connector.admin.create_stream(stream)
        await connector.admin.create_topic(stream=stream, spec=TopicSpec(name="t", partitions=1))
    async with InMemoryConnector() as connector:
        assert await connector.admin.describe_stream(stream) is None
