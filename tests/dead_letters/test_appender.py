"""One append in flight per dlq partition, gathered, repeated, bounded."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Sequence

import pytest

from rustok_iggy.dead_letters.append_queue import MAX_BATCH_BYTES, MAX_BATCH_RECORDS, AppendQueue, Part, Pen, parts_of
from rustok_iggy.dead_letters.appender import LONGEST_RETRY_DELAY, JournalAppender
from rustok_iggy.dead_letters.overtaken import OvertakenError
from rustok_iggy.errors import DeadLetterError, TransportClosedError
from rustok_iggy_connector import InvalidRequestError, NotFoundError, OutgoingMessage, TransientServerError
from tests.cancelling import at_each_wait
from tests.dead_letters.owned import DLQ, PARTITION, STREAM, Place, dlq
from tests.waiting import WITHIN, until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async with dlq() as opened:
        yield opened


def messages(*payloads: bytes) -> list[OutgoingMessage]:
    return [OutgoingMessage(id=uuid.uuid4(), payload=payload) for payload in payloads]


async def submit(
    place: Place, *payloads: bytes, pen: Pen | None = None, partition: int = PARTITION
) -> asyncio.Future[int]:
    return await place.access.appender.submit(partition, messages(*payloads), pen=pen or Pen())


def under_way(place: Place) -> bool:
    return place.connector.under_way > 0


async def stored(place: Place, partition: int = PARTITION) -> list[bytes]:
    reader = await place.connector.subscribe(stream=STREAM, topic=DLQ)
    return [message.payload for message in await reader.poll(partition, offset=0, max_messages=1000)]


async def test_what_gathers_goes_as_one_batch_in_call_order(place: Place) -> None:
    place.connector.gate.clear()
    first = await submit(place, b"0")
    await until(lambda: under_way(place))
    rest = [await submit(place, b"%d" % number, b"%d+" % number) for number in range(1, 6)]
    place.connector.gate.set()
    assert [await first, *[await one for one in rest]] == [0, 2, 4, 6, 8, 10]
    assert [len(batch.messages) for batch in place.connector.sent] == [1, 10]
    assert place.connector.most_under_way == 1
    assert await stored(place) == [b"0", b"1", b"1+", b"2", b"2+", b"3", b"3+", b"4", b"4+", b"5", b"5+"]


async def test_partitions_do_not_wait_for_each_other(place: Place) -> None:
    place.connector.gate.clear()
    appended = [await submit(place, b"x", partition=partition) for partition in (0, 1)]
    await until(lambda: both(place))
    place.connector.gate.set()
    assert [await one for one in appended] == [0, 0]


def both(place: Place) -> bool:
    return place.connector.under_way == 2


async def test_a_batch_is_repeated_with_pauses_that_grow(place: Place) -> None:
    missing = NotFoundError("no such topic", command="send_messages")
    place.connector.faults = ["fail", missing, TransientServerError("not now"), *["fail"] * 5]
    assert await (await submit(place, b"x")) == 0
    assert place.naps == [0.05, 0.1, 0.2, 0.4, 0.8, LONGEST_RETRY_DELAY, LONGEST_RETRY_DELAY, LONGEST_RETRY_DELAY]
    assert len({batch.messages[0].id for batch in place.connector.sent}) == 1
    assert place.access.appender.trouble is None


async def test_what_is_refused_for_good_is_its_callers_matter_only(place: Place) -> None:
    place.connector.gate.clear()
    before = await submit(place, b"0")
    await until(lambda: under_way(place))
    appended = [await submit(place, payload) for payload in (b"1", b"", b"3")]  # the server takes no empty payload
    place.connector.gate.set()
    await asyncio.wait([before, *appended])
    refused = appended[1].exception()
    assert isinstance(refused, DeadLetterError)
    assert isinstance(refused.__cause__, InvalidRequestError)
    assert [appended[0].result(), appended[2].result()] == [1, 2]
    assert await stored(place) == [b"0", b"1", b"3"]
    assert await (await submit(place, b"4", b"5")) == 4
    assert len(place.connector.sent[-1].messages) == 2


async def test_what_is_full_waits_until_there_is_room(place: Place) -> None:
    async with JournalAppender(place.connector, stream=STREAM, topic=DLQ, max_records=3, max_bytes=10) as appender:
        place.connector.gate.clear()
        pen = Pen()
        too_large_for_any_room = await appender.submit(PARTITION, messages(bytes(100)), pen=pen)
        for payloads in ((b"x",), (b"x", b"x", b"x", b"x")):
            waiting = asyncio.create_task(appender.submit(PARTITION, messages(*payloads), pen=pen))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert not waiting.done()
            place.connector.gate.set()
            await (await waiting)
            place.connector.gate.clear()
            full = await appender.submit(PARTITION, messages(b"x", b"x", b"x"), pen=pen)
        place.connector.gate.set()
        assert await too_large_for_any_room == 0
        assert await full == 11


async def test_an_owner_that_waits_for_room_hears_that_it_lost(place: Place) -> None:
    async with JournalAppender(place.connector, stream=STREAM, topic=DLQ, max_records=1) as appender:
        place.connector.gate.clear()
        pen, other = Pen(), Pen()
        kept = await appender.submit(PARTITION, messages(b"kept"), pen=other)
        waiting = asyncio.create_task(appender.submit(PARTITION, messages(b"lost"), pen=pen))
        await asyncio.sleep(0)
        appender.put_down(pen)
        with pytest.raises(OvertakenError):
            await waiting
        place.connector.gate.set()
        assert await kept == 0


async def test_nothing_more_of_an_owner_that_lost_is_sent(place: Place) -> None:
    lost, kept = Pen(), Pen()
    place.connector.gate.clear()
    under = await submit(place, b"under way", pen=kept)
    await until(lambda: under_way(place))
    queued = [await submit(place, b"lost", pen=lost), await submit(place, b"kept", pen=kept)]
    place.access.appender.put_down(lost)
    place.connector.gate.set()
    assert [await under, await queued[1]] == [0, 1]
    with pytest.raises(OvertakenError):
        await queued[0]
    with pytest.raises(OvertakenError):
        await submit(place, b"later", pen=lost)
    assert await stored(place) == [b"under way", b"kept"]


async def test_who_loses_while_its_batch_is_repeated_holds_nobody_up(place: Place) -> None:
    lost, kept = Pen(), Pen()
    place.connector.faults = ["fail"] * 100_000
    queued = [await submit(place, b"lost", pen=lost), await submit(place, b"kept", pen=kept)]
    await until(lambda: napped(place))
    place.access.appender.put_down(lost)
    place.connector.faults = []
    assert await queued[1] == 0
    with pytest.raises(OvertakenError):
        await queued[0]
    assert await stored(place) == [b"kept"]


def napped(place: Place) -> bool:
    return len(place.naps) > 2


async def test_a_cancelled_append_that_was_not_sent_is_taken_back(place: Place) -> None:
    place.connector.gate.clear()
    under = await submit(place, b"under way")
    await until(lambda: under_way(place))
    cancelled, kept = await submit(place, b"cancelled"), await submit(place, b"kept")
    cancelled.cancel()
    await asyncio.sleep(0)
    place.connector.gate.set()
    assert [await under, await kept] == [0, 1]
    assert await stored(place) == [b"under way", b"kept"]


async def test_closing_fails_what_waits(place: Place) -> None:
    place.connector.gate.clear()
    appended = [await submit(place, b"x") for _ in range(2)]
    await until(lambda: under_way(place))
    await place.access.appender.aclose()
    await place.access.appender.aclose()
    for one in appended:
        with pytest.raises(TransportClosedError):
            await one
    with pytest.raises(TransportClosedError):
        await submit(place, b"x")


async def test_a_connector_that_was_shut_down_ends_it(place: Place) -> None:
    await place.connector.shutdown()
    with pytest.raises(TransportClosedError):
        await (await submit(place, b"x"))


async def test_an_append_larger_than_a_batch_goes_in_parts(place: Place) -> None:
    appended = await submit(place, *[b"%d" % number for number in range(MAX_BATCH_RECORDS + 5)])
    assert await appended == MAX_BATCH_RECORDS + 4
    assert [len(batch.messages) for batch in place.connector.sent] == [MAX_BATCH_RECORDS, 5]


def part(pen: Pen, *payloads: bytes) -> Part:
    (only,) = parts_of(messages(*payloads), pen=pen)
    return only


def taken(queue: AppendQueue) -> list[list[int]]:
    """Sizes of the records of each batch, until the queue is empty."""
    found: list[list[int]] = []
    while queue:
        found.append([len(message.payload) for part in queue.take() for message in part.messages])
    return found


def queue_of(*sizes: Sequence[int], pen: Pen) -> AppendQueue:
    queue = AppendQueue()
    for each in sizes:
        queue.add(part(pen, *[bytes(size) for size in each]))
    return queue


def test_a_batch_ends_before_a_part_that_does_not_fit() -> None:
    big = MAX_BATCH_BYTES
    assert taken(queue_of([1], [big], [1, 2], [big - 3], [9], pen=Pen())) == [[1], [big], [1, 2, big - 3], [9]]


def test_parts_are_cut_by_count_and_bytes() -> None:
    cut = list(parts_of(messages(bytes(MAX_BATCH_BYTES), b"12", b"3", bytes(MAX_BATCH_BYTES + 1)), pen=Pen()))
    assert [[len(message.payload) for message in part.messages] for part in cut] == [
        [MAX_BATCH_BYTES],
        [2, 1],
        [MAX_BATCH_BYTES + 1],
    ]
    assert [part.size for part in cut] == [MAX_BATCH_BYTES, 3, MAX_BATCH_BYTES + 1]
    assert [len(part.messages) for part in parts_of(messages(*[b"x"] * 2001), pen=Pen())] == [1000, 1000, 1]


def test_a_batch_taken_apart_goes_part_by_part_then_batches_again() -> None:
    queue = queue_of([1], [2], pen=Pen())
    batch = queue.take()
    for size in (3, 4):
        queue.add(part(Pen(), bytes(size)))
    queue.take_apart(batch)
    assert taken(queue) == [[1], [2], [3, 4]]


def test_dropping_takes_one_owners_parts() -> None:
    lost = Pen()
    queue = queue_of([1], [2], pen=lost)
    queue.add(part(Pen(), bytes(3)))
    assert [part.size for part in queue.drop(lost)] == [1, 2]
    assert taken(queue) == [[3]]


async def test_wherever_its_closing_is_cancelled_nobody_waits_for_ever(place: Place) -> None:
    for cancellation in at_each_wait():
        place.connector.gate.clear()
        appender = JournalAppender(place.connector, stream=STREAM, topic=DLQ, max_records=2)
        appended = [await appender.submit(partition, messages(b"x"), pen=Pen()) for partition in (0, 1)]
        for_room = asyncio.create_task(appender.submit(0, messages(b"x"), pen=Pen()))
        await until(lambda: both(place))
        await cancellation(appender.aclose())
        ends = await asyncio.wait_for(asyncio.gather(*appended, for_room, return_exceptions=True), WITHIN)
        assert [type(end) for end in ends] == [TransportClosedError] * 3, cancellation.place
        assert place.connector.under_way == 0
