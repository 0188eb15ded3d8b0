"""Streams, topics and groups: create, describe, update, delete."""

import asyncio

import pytest

from rustok_iggy_connector import (
    MAX_PARTITIONS,
    AlreadyExistsError,
    Durability,
    IggyConnector,
    InvalidRequestError,
    LimitExceededError,
    NotFoundError,
    StreamInfo,
    TopicSpec,
)
from tests.conformance.backends import unique
from tests.conformance.conftest import PARTITIONS, TOPIC, batch_of, request_of

pytestmark = pytest.mark.anyio
MEBIBYTE = 1 << 20


async def test_what_does_not_exist_is_described_as_none(connector: IggyConnector, stream: str) -> None:
    admin = connector.admin
    assert await admin.describe_stream("nowhere") is None
    assert await admin.describe_topic(stream="nowhere", topic=TOPIC) is None
    assert await admin.describe_topic(stream=stream, topic="nothing") is None
    assert await admin.describe_group(stream=stream, topic=TOPIC, group="nobody") is None
    assert await admin.describe_group(stream=stream, topic="nothing", group="nobody") is None


async def test_a_stream_is_described_with_its_topics(connector: IggyConnector, stream: str) -> None:
    await connector.admin.create_topic(stream=stream, spec=TopicSpec(name="Mixed Case, späces", partitions=1))
    described = await connector.admin.describe_stream(stream)
    assert described == StreamInfo(id=described.id, name=stream, topics=(TOPIC, "Mixed Case, späces"))


async def test_a_new_topic_is_empty(connector: IggyConnector, stream: str) -> None:
    topic = await connector.admin.describe_topic(stream=stream, topic=TOPIC)
    assert topic is not None
    assert (topic.name, topic.partitions, topic.messages, topic.size_bytes) == (TOPIC, PARTITIONS, 0, 0)
    assert topic.current_offsets == {}
    assert topic.max_age is None
    assert topic.max_bytes is None
    assert topic.segment_bytes == 1024 * MEBIBYTE


async def test_a_topic_counts_what_it_holds(connector: IggyConnector, stream: str) -> None:
    await connector.publish_batch(batch_of(stream, [b"x" * 100] * 3, partition=1))
    await connector.publish(request_of(stream, partition=3))
    topic = await connector.admin.describe_topic(stream=stream, topic=TOPIC)
    assert topic is not None
    assert topic.messages == 4
    assert topic.size_bytes > 400
    assert topic.current_offsets == {1: 2, 3: 0}


@pytest.mark.parametrize("durability", list(Durability))
async def test_the_durability_asked_for_is_in_force(
    connector: IggyConnector, stream: str, durability: Durability
) -> None:
    spec = TopicSpec(name="durable", partitions=1, durability=durability)
    await connector.admin.create_topic(stream=stream, spec=spec)
    topic = await connector.admin.describe_topic(stream=stream, topic="durable")
    assert topic is not None
    assert topic.durability is durability


async def test_retention_is_set_at_creation_and_read_back(connector: IggyConnector, stream: str) -> None:
    spec = TopicSpec(name="kept", partitions=2, max_age=3600.5, max_bytes=64 * MEBIBYTE, segment_bytes=8 * MEBIBYTE)
    await connector.admin.create_topic(stream=stream, spec=spec)
    topic = await connector.admin.describe_topic(stream=stream, topic="kept")
    assert topic is not None
    assert (topic.max_age, topic.max_bytes, topic.segment_bytes) == (3600.5, 64 * MEBIBYTE, 8 * MEBIBYTE)


async def test_an_update_changes_retention_and_nothing_else(connector: IggyConnector, stream: str) -> None:
    admin = connector.admin
    spec = TopicSpec(name="kept", partitions=2, max_age=60, segment_bytes=8 * MEBIBYTE)
    await admin.create_topic(stream=stream, spec=spec)
    await connector.publish(request_of(stream, topic="kept"))
    before = await admin.describe_topic(stream=stream, topic="kept")
    other = TopicSpec(name="kept", partitions=99, max_age=7200, max_bytes=128 * MEBIBYTE, segment_bytes=MEBIBYTE)
    await admin.update_topic(stream=stream, spec=other)
    after = await admin.describe_topic(stream=stream, topic="kept")
    assert before is not None
    assert after is not None
    assert (after.max_age, after.max_bytes) == (7200, 128 * MEBIBYTE)
    assert (after.id, after.partitions, after.segment_bytes, after.durability, after.messages) == (
        before.id,
        2,
        8 * MEBIBYTE,
        before.durability,
        1,
    )
    await admin.update_topic(stream=stream, spec=TopicSpec(name="kept", partitions=2, max_age=1800))
    partly = await admin.describe_topic(stream=stream, topic="kept")
    assert partly is not None
    assert (partly.max_age, partly.max_bytes) == (1800, 128 * MEBIBYTE)


async def test_what_exists_cannot_be_created(connector: IggyConnector, stream: str, group: str) -> None:
    admin = connector.admin
    with pytest.raises(AlreadyExistsError):
        await admin.create_stream(stream)
    with pytest.raises(AlreadyExistsError):
        await admin.create_topic(stream=stream, spec=TopicSpec(name=TOPIC, partitions=1))
    with pytest.raises(AlreadyExistsError):
        await admin.create_group(stream=stream, topic=TOPIC, group=group)


async def test_what_does_not_exist_cannot_be_changed(connector: IggyConnector, stream: str) -> None:
    admin = connector.admin
    spec = TopicSpec(name="nothing", partitions=1, max_age=60)
    for call in (
        admin.create_topic(stream="nowhere", spec=spec),
        admin.update_topic(stream=stream, spec=spec),
        admin.create_group(stream=stream, topic="nothing", group="g"),
        admin.create_group(stream="nowhere", topic=TOPIC, group="g"),
        admin.delete_group(stream=stream, topic=TOPIC, group="nobody"),
        admin.delete_group(stream=stream, topic="nothing", group="nobody"),
        admin.delete_topic(stream=stream, topic="nothing"),
        admin.delete_topic(stream="nowhere", topic=TOPIC),
        admin.delete_stream("nowhere"),
        admin.committed_offsets(stream=stream, topic=TOPIC, group="nobody"),
        admin.committed_offsets(stream=stream, topic="nothing", group="nobody"),
    ):
        with pytest.raises(NotFoundError):
            await call


async def test_names_of_digits_only_are_refused(connector: IggyConnector, stream: str) -> None:
    admin = connector.admin
    for call in (
        admin.create_stream("2024"),
        admin.create_topic(stream=stream, spec=TopicSpec(name="2024", partitions=1)),
        admin.create_group(stream=stream, topic=TOPIC, group="7"),
        admin.describe_stream("0"),
        admin.delete_stream("0"),
        admin.create_stream("n" * 256),
    ):
        with pytest.raises(InvalidRequestError):
            await call


async def test_names_as_long_as_they_may_be_are_taken(connector: IggyConnector) -> None:
    name = unique("n").ljust(255, "x")
    await connector.admin.create_stream(name)
    described = await connector.admin.describe_stream(name)
    assert described is not None
    assert described.name == name
    await connector.admin.delete_stream(name)


async def test_the_number_of_partitions_has_bounds(connector: IggyConnector, stream: str) -> None:
    admin = connector.admin
    with pytest.raises(LimitExceededError):
        await admin.create_topic(stream=stream, spec=TopicSpec(name="wide", partitions=MAX_PARTITIONS + 1))
    with pytest.raises(InvalidRequestError):
        await admin.create_topic(stream=stream, spec=TopicSpec(name="wide", partitions=0))
    assert await admin.describe_topic(stream=stream, topic="wide") is None


async def test_impossible_sizes_are_refused(connector: IggyConnector, stream: str) -> None:
    admin = connector.admin
    with pytest.raises(InvalidRequestError):
        await admin.create_topic(stream=stream, spec=TopicSpec(name="odd", partitions=1, segment_bytes=5))
    with pytest.raises(InvalidRequestError):
        await admin.update_topic(stream=stream, spec=TopicSpec(name=TOPIC, partitions=1, max_bytes=5))
    assert await admin.describe_topic(stream=stream, topic="odd") is None


async def test_two_connectors_may_create_the_same_at_once(connector: IggyConnector, second: IggyConnector) -> None:
    stream = unique("race")

    async def create(opened: IggyConnector) -> list[bool]:
        admin = opened.admin
        spec = TopicSpec(name=TOPIC, partitions=2)
        made = []
        for call in (
            lambda: admin.create_stream(stream),
            lambda: admin.create_topic(stream=stream, spec=spec),
            lambda: admin.create_group(stream=stream, topic=TOPIC, group="g"),
        ):
            try:
                await call()
            except AlreadyExistsError:
                made.append(False)
            else:
                made.append(True)
        return made

    results = await asyncio.gather(*(create(opened) for opened in (connector, second, connector, second)))
    assert [sum(made) for made in zip(*results, strict=True)] == [1, 1, 1]
    described = await connector.admin.describe_stream(stream)
    assert described is not None
    assert described.topics == (TOPIC,)
    await connector.admin.delete_stream(stream)


async def test_what_is_deleted_is_gone_with_everything_in_it(
    connector: IggyConnector, second: IggyConnector, stream: str, group: str
) -> None:
    await connector.publish(request_of(stream))
    await connector.admin.delete_topic(stream=stream, topic=TOPIC)
    assert await second.admin.describe_topic(stream=stream, topic=TOPIC) is None
    assert await second.admin.describe_group(stream=stream, topic=TOPIC, group=group) is None
    with pytest.raises(NotFoundError):
        await connector.publish(request_of(stream))
    await connector.admin.create_topic(stream=stream, spec=TopicSpec(name=TOPIC, partitions=1))
    assert (await connector.publish(request_of(stream))).offset == 0
    await connector.admin.delete_stream(stream)
    assert await second.admin.describe_stream(stream) is None
