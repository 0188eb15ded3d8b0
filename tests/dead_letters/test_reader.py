from __future__ import annotations

import uuid
from collections.abc import AsyncIterator

import pytest

from rustok_iggy.dead_letters.layout import encode_record
from rustok_iggy.dead_letters.reader import JournalReader
from rustok_iggy_connector import InMemoryConnector, OutgoingMessage, PublishBatch, TopicSpec
from tests.dead_letters.journal_records import claim, epoch, letter

pytestmark = pytest.mark.anyio


@pytest.fixture
async def connector() -> AsyncIterator[InMemoryConnector]:
    async with InMemoryConnector() as opened:
        await opened.admin.create_stream("rustok")
        await opened.admin.create_topic(stream="rustok", spec=TopicSpec(name="dlq", partitions=2))
        yield opened


async def append(connector: InMemoryConnector, *payloads: bytes) -> None:
    messages = [OutgoingMessage(id=uuid.uuid4(), payload=payload) for payload in payloads]
    await connector.publish_batch(PublishBatch(stream="rustok", topic="dlq", partition_id=1, messages=messages))


def record(offset: int, *, body_bytes: int = 0) -> bytes:
    return encode_record(letter(epoch(1), offset), body=bytes(body_bytes)).payload


async def reader_of(connector: InMemoryConnector) -> JournalReader:
    return JournalReader(await connector.subscribe(stream="rustok", topic="dlq"))


async def test_records_come_in_order_with_their_positions(connector: InMemoryConnector) -> None:
    await append(connector, encode_record(claim(epoch(1))).payload, *[record(offset) for offset in range(3)])
    found = await (await reader_of(connector)).read(1, position=1)
    assert [(position, opened and opened.record) for position, opened in found] == [
        (1 + offset, letter(epoch(1), offset)) for offset in range(3)
    ]


async def test_what_is_no_record_keeps_its_place(connector: InMemoryConnector) -> None:
    await append(connector, record(0), b"made by hand", record(1))
    found = await (await reader_of(connector)).read(1, position=0)
    assert [(position, opened is None) for position, opened in found] == [(0, False), (1, True), (2, False)]


async def test_the_end_is_nothing(connector: InMemoryConnector) -> None:
    reader = await reader_of(connector)
    assert list(await reader.read(1, position=0)) == []
    await append(connector, record(0))
    assert list(await reader.read(1, position=1)) == []


async def test_large_records_come_few_at_a_time(connector: InMemoryConnector) -> None:
    for first in (0, 15):
        await append(connector, *[record(first + n, body_bytes=1_500_000) for n in range(15)])
    reader = await reader_of(connector)
    first_poll = await reader.read(1, position=0)
    second_poll = await reader.read(1, position=len(first_poll))
    assert (len(first_poll), len(second_poll)) == (16, 2)
    assert len(await reader.read(0, position=0)) == 0
    assert len(await reader.read(1, position=0, max_messages=1)) == 1


async def test_one_record_is_read_where_it_stands(connector: InMemoryConnector) -> None:
    await append(connector, record(7, body_bytes=3), b"made by hand")
    reader = await reader_of(connector)
    found = await reader.read_at(1, position=0)
    assert found is not None
    assert (found.record, found.body) == (letter(epoch(1), 7), bytes(3))
    assert await reader.read_at(1, position=1) is None
    assert await reader.read_at(1, position=2) is None


async def test_an_empty_partition_begins_at_nought(connector: InMemoryConnector) -> None:
    reader = await reader_of(connector)
    assert await reader.first_position(1) == 0
    await append(connector, record(0))
    assert await reader.first_position(1) == 0
