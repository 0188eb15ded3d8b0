"""Offsets of named readers, stored and read without a session of theirs."""

import pytest

from rustok_iggy_connector import CommittedOffset, IggyConnector, InvalidRequestError, NotFoundError
from tests.conformance.conftest import PARTITIONS, TOPIC, batch_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def place(connector: IggyConnector, stream: str) -> dict[str, object]:
    """A named reader of partition 1, which holds the offsets 0 to 4."""
    await connector.publish_batch(batch_of(stream, [b"x"] * 5, partition=1))
    return {"stream": stream, "topic": TOPIC, "partition_id": 1, "consumer": "pin-a"}


async def test_nothing_is_stored_at_first(connector: IggyConnector, place: dict[str, object]) -> None:
    assert await connector.admin.reader_offset(**place) is None
    assert await connector.admin.reader_offset(**{**place, "partition_id": 0}) is None


async def test_what_was_stored_is_read_also_by_others(
    connector: IggyConnector, second: IggyConnector, place: dict[str, object]
) -> None:
    await connector.admin.store_reader_offset(**place, offset=3)
    assert await second.admin.reader_offset(**place) == CommittedOffset(committed=3, current=4)
    assert await second.admin.reader_offset(**{**place, "consumer": "pin-b"}) is None
    assert await second.admin.reader_offset(**{**place, "partition_id": 2}) is None


async def test_it_is_the_offset_that_a_reader_of_that_name_commits(
    connector: IggyConnector, stream: str, place: dict[str, object]
) -> None:
    reader = await connector.subscribe(stream=stream, topic=TOPIC, consumer="pin-a")
    await connector.admin.store_reader_offset(**place, offset=2)
    assert await reader.committed(1) == CommittedOffset(committed=2, current=4)
    await reader.commit(1, offset=4)
    assert await connector.admin.reader_offset(**place) == CommittedOffset(committed=4, current=4)
    await reader.leave()


async def test_it_may_go_back(connector: IggyConnector, place: dict[str, object]) -> None:
    for offset in (4, 0, 0):
        await connector.admin.store_reader_offset(**place, offset=offset)
    assert await connector.admin.reader_offset(**place) == CommittedOffset(committed=0, current=4)


async def test_a_deleted_one_is_gone(connector: IggyConnector, place: dict[str, object]) -> None:
    await connector.admin.store_reader_offset(**place, offset=3)
    await connector.admin.delete_reader_offset(**place)
    assert await connector.admin.reader_offset(**place) is None
    with pytest.raises(NotFoundError):
        await connector.admin.delete_reader_offset(**place)


async def test_what_cannot_be_stored_is_refused(connector: IggyConnector, place: dict[str, object]) -> None:
    admin = connector.admin
    for offset in (-1, 5):
        with pytest.raises(InvalidRequestError):
            await admin.store_reader_offset(**place, offset=offset)
    with pytest.raises(InvalidRequestError):
        await admin.store_reader_offset(**{**place, "partition_id": 0}, offset=0)
    with pytest.raises(InvalidRequestError):
        await admin.store_reader_offset(**{**place, "consumer": "12"}, offset=0)


async def test_where_nothing_exists_nothing_is_stored(connector: IggyConnector, place: dict[str, object]) -> None:
    admin = connector.admin
    elsewhere = [{**place, **wrong} for wrong in ({"stream": "nowhere"}, {"topic": "nothing"})]
    beyond = {**place, "partition_id": PARTITIONS}
    for wrong in (*elsewhere, beyond):
        with pytest.raises(NotFoundError):
            await admin.store_reader_offset(**wrong, offset=0)
        with pytest.raises(NotFoundError):
            await admin.delete_reader_offset(**wrong)
    for wrong in elsewhere:
        assert await admin.reader_offset(**wrong) is None
    with pytest.raises(NotFoundError):
        await admin.reader_offset(**beyond)
