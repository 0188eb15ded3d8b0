"""A feature that a backend does not claim is really absent: otherwise tests are skipped that could run."""

from pathlib import Path

import pytest

from rustok_iggy_connector import CommittedOffset, IggyConnector, TopicSpec
from tests.conformance.backends import Backend, Feature
from tests.conformance.conftest import TOPIC, batch_of, request_of

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


async def test_only_with_a_disk_everything_is_there_after_a_restart(backend: Backend, tmp_path: Path) -> None:
    if backend.name == "remote":
        pytest.skip("its server is not ours to stop")
    async with backend.start_in(tmp_path) as connector:
        await connector.admin.create_stream("kept")
        await connector.admin.create_topic(stream="kept", spec=TopicSpec(name=TOPIC, partitions=2, max_age=3600))
        await connector.admin.create_group(stream="kept", topic=TOPIC, group="g")
        await connector.publish_batch(batch_of("kept", [b"0", b"1", b"2"], partition=1))
        member = await connector.subscribe(stream="kept", topic=TOPIC, group="g")
        await member.commit(1, offset=1)
        before = await connector.admin.describe_topic(stream="kept", topic=TOPIC)
        generation = (await member.assignment()).generation

    async with backend.start_in(tmp_path) as connector:
        after = await connector.admin.describe_topic(stream="kept", topic=TOPIC)
        if Feature.DISK not in backend.features:
            assert after is None
            return
        assert after == before
        member = await connector.subscribe(stream="kept", topic=TOPIC, group="g")
        assert (await member.assignment()).generation > generation
        assert await member.committed(1) == CommittedOffset(committed=1, current=2)
        assert [message.payload for message in await member.poll(1, offset=0, max_messages=10)] == [b"0", b"1", b"2"]
        assert (await connector.publish(request_of("kept", partition=1))).offset == 3
