"""Publish, and read back what was published."""

import asyncio
import uuid

import pytest

from rustok_iggy_connector import (
    IggyConnector,
    InvalidRequestError,
    LimitExceededError,
    NotFoundError,
    OutgoingMessage,
    PublishBatch,
)
from tests.conformance.conftest import TOPIC, batch_of, request_of

pytestmark = pytest.mark.anyio


async def read(connector: IggyConnector, stream: str, partition: int = 0, count: int = 1000) -> list[bytes]:
    reader = await connector.subscribe(stream=stream, topic=TOPIC)
    try:
        return [message.payload for message in await reader.poll(partition, offset=0, max_messages=count)]
    finally:
        await reader.leave()


async def test_a_message_comes_back_as_it_was_sent(connector: IggyConnector, stream: str) -> None:
    request = request_of(stream, b"\x00\xff payload", partition=2, headers={"rk": b"\x01\x02", "näme": b"\x00" * 255})
    confirmation = await connector.publish(request)
    assert (confirmation.topic, confirmation.partition_id, confirmation.offset) == (TOPIC, 2, 0)
    assert confirmation.event_id == request.event_id

    reader = await connector.subscribe(stream=stream, topic=TOPIC)
    (message,) = await reader.poll(2, offset=0, max_messages=10)
    assert message.offset == 0
    assert message.id == request.event_id.int
    assert message.payload == request.payload
    assert dict(message.headers) == {"rk": b"\x01\x02", "näme": b"\x00" * 255}
    assert message.timestamp > 1_700_000_000_000_000
    await reader.leave()


async def test_a_message_without_headers_has_none(connector: IggyConnector, stream: str) -> None:
    await connector.publish(request_of(stream))
    await connector.publish(request_of(stream, headers={}))
    reader = await connector.subscribe(stream=stream, topic=TOPIC)
    assert [dict(message.headers) for message in await reader.poll(0, offset=0, max_messages=2)] == [{}, {}]
    await reader.leave()


async def test_offsets_count_up_in_each_partition_by_itself(connector: IggyConnector, stream: str) -> None:
    offsets = [
        (await connector.publish(request_of(stream, partition=partition))).offset for partition in (0, 0, 1, 0, 3, 1)
    ]
    assert offsets == [0, 1, 0, 2, 0, 1]


async def test_a_batch_is_stored_in_order_at_consecutive_offsets(connector: IggyConnector, stream: str) -> None:
    await connector.publish(request_of(stream, b"before"))
    payloads = [b"%d" % number for number in range(500)]
    confirmation = await connector.publish_batch(batch_of(stream, payloads))
    assert (confirmation.first_offset, confirmation.count) == (1, 500)
    assert (confirmation.topic, confirmation.partition_id) == (TOPIC, 0)
    assert await read(connector, stream) == [b"before", *payloads]


async def test_ids_and_headers_of_a_batch_stay_with_their_messages(connector: IggyConnector, stream: str) -> None:
    messages = [
        OutgoingMessage(id=uuid.uuid4(), payload=b"%d" % n, headers={"n": b"%d" % n} if n % 2 else None)
        for n in range(20)
    ]
    await connector.publish_batch(PublishBatch(stream=stream, topic=TOPIC, partition_id=1, messages=messages))
    reader = await connector.subscribe(stream=stream, topic=TOPIC)
    received = await reader.poll(1, offset=0, max_messages=20)
    assert [message.id for message in received] == [message.id.int for message in messages]
    assert [dict(message.headers) for message in received] == [dict(message.headers or {}) for message in messages]
    await reader.leave()


async def test_the_same_id_twice_is_stored_twice(connector: IggyConnector, stream: str) -> None:
    request = request_of(stream)
    await connector.publish(request)
    assert (await connector.publish(request)).offset == 1


async def test_sixty_four_tasks_at_once_each_get_a_place_of_their_own(connector: IggyConnector, stream: str) -> None:
    async def publish(number: int) -> tuple[int, int, bytes]:
        payload = b"%d" % number
        confirmation = await connector.publish(request_of(stream, payload, partition=number % 4))
        return confirmation.partition_id, confirmation.offset, payload

    places = await asyncio.gather(*(publish(number) for number in range(256)))
    for partition in range(4):
        expected = [payload for place, _, payload in sorted(places) if place == partition]
        assert await read(connector, stream, partition) == expected
        assert len(expected) == 64


async def test_messages_of_one_task_stay_in_order_beside_others(connector: IggyConnector, stream: str) -> None:
    async def publish(name: int) -> None:
        for number in range(20):
            await connector.publish(request_of(stream, b"%d %d" % (name, number)))

    await asyncio.gather(*(publish(name) for name in range(8)))
    stored = [tuple(map(int, payload.split())) for payload in await read(connector, stream)]
    for name in range(8):
        assert [number for other, number in stored if other == name] == list(range(20))


async def test_the_largest_payload_is_taken_and_one_byte_more_is_not(connector: IggyConnector, stream: str) -> None:
    with pytest.raises(LimitExceededError):
        await connector.publish(request_of(stream, bytes(64_000_001)))
    assert (await connector.publish(request_of(stream, bytes(64_000_000)))).offset == 0
    (payload,) = await read(connector, stream)
    assert len(payload) == 64_000_000


async def test_a_batch_that_is_too_large_is_refused_whole(connector: IggyConnector, stream: str) -> None:
    with pytest.raises(LimitExceededError):
        await connector.publish_batch(batch_of(stream, [bytes(40_000_000), bytes(40_000_000)]))
    assert await read(connector, stream) == []


@pytest.mark.parametrize(
    "headers",
    [
        {"k" * 256: b"x"},
        {"k": b"x" * 256},
        {"": b"x"},
        {"k": b""},
    ],
    ids=["key of 256 bytes", "value of 256 bytes", "no key", "no value"],
)
async def test_headers_out_of_bounds_are_refused(
    connector: IggyConnector, stream: str, headers: dict[str, bytes]
) -> None:
    with pytest.raises(InvalidRequestError):
        await connector.publish(request_of(stream, headers=headers))
    assert await read(connector, stream) == []


async def test_huge_headers_are_taken_up_to_the_limit(connector: IggyConnector, stream: str) -> None:
    fits = {f"key-{number:04}": bytes(245) for number in range(380)}
    await connector.publish(request_of(stream, headers=fits))
    with pytest.raises(LimitExceededError):
        await connector.publish(request_of(stream, headers={**fits, **{f"more-{n}": bytes(245) for n in range(20)}}))
    reader = await connector.subscribe(stream=stream, topic=TOPIC)
    (message,) = await reader.poll(0, offset=0, max_messages=10)
    assert dict(message.headers) == fits
    await reader.leave()


async def test_an_empty_payload_is_refused_and_nothing_of_its_batch_stored(
    connector: IggyConnector, stream: str
) -> None:
    with pytest.raises(InvalidRequestError):
        await connector.publish(request_of(stream, b""))
    with pytest.raises(InvalidRequestError):
        await connector.publish_batch(batch_of(stream, [b"one", b"", b"three"]))
    assert await read(connector, stream) == []


async def test_an_empty_batch_and_a_nil_id_are_refused(connector: IggyConnector, stream: str) -> None:
    with pytest.raises(InvalidRequestError):
        await connector.publish_batch(batch_of(stream, []))
    with pytest.raises(InvalidRequestError, match="id 0"):
        await connector.publish(request_of(stream, event_id=uuid.UUID(int=0)))


async def test_what_does_not_exist_is_not_found(connector: IggyConnector, stream: str) -> None:
    for request in (
        request_of("no-such-stream"),
        request_of(stream, topic="no-such-topic"),
        request_of(stream, partition=4),
    ):
        with pytest.raises(NotFoundError) as caught:
            await connector.publish(request)
        assert caught.value.command == "send_messages"
        assert repr(request.stream) in str(caught.value)
        assert not caught.value.retryable


@pytest.mark.parametrize("name", ["0", "123", "+7", ""])
async def test_a_name_that_is_a_number_or_nothing_is_refused(connector: IggyConnector, stream: str, name: str) -> None:
    with pytest.raises(InvalidRequestError):
        await connector.publish(request_of(name))
    with pytest.raises(InvalidRequestError):
        await connector.publish(request_of(stream, topic=name))


async def test_a_negative_partition_is_refused(connector: IggyConnector, stream: str) -> None:
    with pytest.raises(InvalidRequestError):
        await connector.publish(request_of(stream, partition=-1))


async def test_a_publish_goes_on_after_a_refusal(connector: IggyConnector, stream: str) -> None:
    with pytest.raises(NotFoundError):
        await connector.publish(request_of(stream, topic="no-such-topic"))
    assert (await connector.publish(request_of(stream))).offset == 0


async def test_cancelling_a_publish_harms_nobody_else(connector: IggyConnector, stream: str) -> None:
    for _ in range(20):
        doomed = asyncio.ensure_future(connector.publish(request_of(stream, b"doomed")))
        await asyncio.sleep(0)
        doomed.cancel()
        await asyncio.gather(doomed, return_exceptions=True)
        await connector.publish(request_of(stream, b"kept"))
    stored = await read(connector, stream)
    assert stored.count(b"kept") == 20
    assert stored.count(b"doomed") <= 20


async def test_statistics_count_what_was_published(connector: IggyConnector, stream: str) -> None:
    before = connector.statistics()
    await connector.publish(request_of(stream, b"12345"))
    await connector.publish_batch(batch_of(stream, [b"1", b"22"]))
    after = connector.statistics()
    assert after.connected
    assert after.clients >= 1
    assert after.messages_published - before.messages_published == 3
    assert after.bytes_published - before.bytes_published == 8
    assert after.requests - before.requests == 2
