"""Poll, without and with a name."""

import asyncio
import time

import pytest

from rustok_iggy_connector import Assignment, CommittedOffset, IggyConnector, InvalidRequestError, NotFoundError
from tests.conformance.conftest import PARTITIONS, TOPIC, batch_of, request_of

pytestmark = pytest.mark.anyio


async def test_a_plain_reader_is_told_all_partitions(connector: IggyConnector, stream: str) -> None:
    reader = await connector.subscribe(stream=stream, topic=TOPIC)
    assigned = await reader.assignment()
    assert assigned == Assignment(generation=0, partitions=tuple(range(PARTITIONS)))
    assert not assigned.is_member
    await reader.leave()


async def test_polls_begin_at_the_offset_and_end_at_the_count(connector: IggyConnector, stream: str) -> None:
    for first in (0, 10, 20):
        await connector.publish_batch(batch_of(stream, [b"%d" % n for n in range(first, first + 10)]))
    reader = await connector.subscribe(stream=stream, topic=TOPIC)
    for offset in (0, 3, 9, 10, 17, 29):
        for count in (1, 5, 12, 1000):
            messages = await reader.poll(0, offset=offset, max_messages=count)
            expected = list(range(offset, min(offset + count, 30)))
            assert [message.offset for message in messages] == expected
            assert [int(message.payload) for message in messages] == expected
    await reader.leave()


async def test_a_poll_at_the_end_or_of_nothing_is_empty(connector: IggyConnector, stream: str) -> None:
    await connector.publish(request_of(stream))
    reader = await connector.subscribe(stream=stream, topic=TOPIC)
    assert list(await reader.poll(0, offset=1, max_messages=10)) == []
    assert list(await reader.poll(0, offset=1_000_000, max_messages=10)) == []
    assert list(await reader.poll(1, offset=0, max_messages=10)) == []
    await reader.leave()


async def test_nonsense_is_refused(connector: IggyConnector, stream: str) -> None:
    reader = await connector.subscribe(stream=stream, topic=TOPIC)
    with pytest.raises(InvalidRequestError):
        await reader.poll(0, offset=-1, max_messages=10)
    with pytest.raises(InvalidRequestError):
        await reader.poll(0, offset=0, max_messages=0)
    with pytest.raises(NotFoundError):
        await reader.poll(PARTITIONS, offset=0, max_messages=10)
    await reader.leave()


async def test_what_does_not_exist_cannot_be_subscribed_to(connector: IggyConnector, stream: str) -> None:
    for names in ({"stream": "nowhere", "topic": TOPIC}, {"stream": stream, "topic": "nothing"}):
        with pytest.raises(NotFoundError):
            await connector.subscribe(**names)
    with pytest.raises(InvalidRequestError):
        await connector.subscribe(stream=stream, topic="12")
    with pytest.raises(InvalidRequestError):
        await connector.subscribe(stream=stream, topic=TOPIC, group="a", consumer="b")


async def test_a_deleted_topic_is_not_found(connector: IggyConnector, stream: str) -> None:
    reader = await connector.subscribe(stream=stream, topic=TOPIC)
    await connector.admin.delete_topic(stream=stream, topic=TOPIC)
    with pytest.raises(NotFoundError):
        await reader.poll(0, offset=0, max_messages=1)
    with pytest.raises(NotFoundError):
        await reader.assignment()
    await reader.leave()


async def test_a_named_reader_commits_and_another_of_that_name_goes_on(connector: IggyConnector, stream: str) -> None:
    await connector.publish_batch(batch_of(stream, [b"0", b"1", b"2"]))
    reader = await connector.subscribe(stream=stream, topic=TOPIC, consumer="audit")
    assert await reader.committed(0) is None
    assert await reader.lag() == {0: 3, 1: 0, 2: 0, 3: 0}
    await reader.commit(0, offset=1)
    assert await reader.lag() == {0: 1, 1: 0, 2: 0, 3: 0}
    await reader.leave()

    again = await connector.subscribe(stream=stream, topic=TOPIC, consumer="audit")
    assert await again.committed(0) == CommittedOffset(committed=1, current=2)
    await again.commit(0, offset=0)
    assert await again.committed(0) == CommittedOffset(committed=0, current=2)
    await again.leave()


async def test_a_reader_without_a_name_cannot_commit(connector: IggyConnector, stream: str) -> None:
    await connector.publish(request_of(stream))
    reader = await connector.subscribe(stream=stream, topic=TOPIC)
    with pytest.raises(InvalidRequestError, match="name"):
        await reader.commit(0, offset=0)
    assert await reader.committed(0) is None
    assert (await reader.lag())[0] == 1
    await reader.leave()


async def test_a_commit_past_the_end_is_refused(connector: IggyConnector, stream: str) -> None:
    await connector.publish(request_of(stream))
    reader = await connector.subscribe(stream=stream, topic=TOPIC, consumer="audit")
    for partition, offset in ((0, 1), (0, 99), (1, 0), (0, -1)):
        with pytest.raises(InvalidRequestError):
            await reader.commit(partition, offset=offset)
    with pytest.raises(NotFoundError):
        await reader.commit(PARTITIONS, offset=0)
    await reader.leave()


async def test_the_first_offset_since_a_time(connector: IggyConnector, stream: str) -> None:
    before = time.time_ns() // 1000 - 1_000_000
    for number in range(4):
        await connector.publish_batch(batch_of(stream, [b"%d" % number] * 3))
        await asyncio.sleep(0.003)
    reader = await connector.subscribe(stream=stream, topic=TOPIC)
    times = [message.timestamp for message in await reader.poll(0, offset=0, max_messages=100)]
    assert len(times) == 12
    assert len(set(times)) == 4
    assert await reader.first_offset_since(0, timestamp=before) == 0
    for moment in (0, *times, *(moment + 1 for moment in times), *(moment - 1 for moment in times)):
        expected = next((offset for offset, stored in enumerate(times) if stored >= moment), None)
        assert await reader.first_offset_since(0, timestamp=moment) == expected
    assert await reader.first_offset_since(1, timestamp=0) is None
    await reader.leave()


async def test_several_tasks_may_use_one_reader(connector: IggyConnector, stream: str) -> None:
    await connector.publish_batch(batch_of(stream, [b"%d" % n for n in range(50)]))
    reader = await connector.subscribe(stream=stream, topic=TOPIC, consumer="shared")
    polls = await asyncio.gather(*(reader.poll(0, offset=n, max_messages=1) for n in range(50)))
    assert [message.offset for (message,) in polls] == list(range(50))
    await reader.leave()
