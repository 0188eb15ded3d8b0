"""The newest batches in memory: bounded over all logs, without gaps in each."""

from rustok_iggy_connector.local_server.recent import BATCH_OVERHEAD_BYTES, RecentBatches, Tail
from rustok_iggy_connector.local_server.storage import StoredBatch
from tests.local_server.storage_samples import make_batch, stored_batch

SIZE = 100


def room_for(batches: int) -> RecentBatches:
    return RecentBatches(limit=batches * (SIZE + BATCH_OVERHEAD_BYTES))


def kept(tail: Tail) -> list[int]:
    position, found = tail.find(10**9), []
    while position is not None and position >= 0 and (batch := tail.at(position)) is not None:
        if tail.find(batch.base_offset) != position:
            break
        found.insert(0, batch.base_offset)
        position -= 1
    return found


def test_the_oldest_of_all_logs_makes_room_for_the_newest() -> None:
    recent, one, two = room_for(3), Tail(), Tail()
    recent.add(one, stored_batch(0))
    recent.add(two, stored_batch(0))
    recent.add(two, stored_batch(1))
    assert (kept(one), kept(two)) == ([0], [0, 1])
    recent.add(one, stored_batch(1))
    assert (kept(one), kept(two)) == ([1], [0, 1])
    recent.add(one, stored_batch(2))
    assert (kept(one), kept(two)) == ([1, 2], [1])


def test_an_offset_older_than_what_is_kept_is_not_found() -> None:
    recent, tail = room_for(2), Tail()
    assert tail.find(0) is None
    for offset in (0, 5, 10):
        recent.add(tail, stored_batch(offset, 5))
    assert tail.find(4) is None
    position = tail.find(9)
    assert position is not None
    found = tail.at(position)
    assert found is not None
    assert found.base_offset == 5
    assert tail.first is found


def test_one_batch_larger_than_the_limit_is_kept_until_the_next() -> None:
    recent, tail = RecentBatches(limit=10), Tail()
    for offset in range(5000):  # beyond the places that are compacted away
        recent.add(tail, stored_batch(offset))
        assert tail.first is not None
        assert tail.first.base_offset == offset


def test_layouts_are_remembered_up_to_a_number_of_messages() -> None:
    recent = RecentBatches()
    data = make_batch(*[b"x"] * 10).stamped(partition_id=0, base_offset=0, base_timestamp=0)
    batch = StoredBatch(base_offset=0, count=10, timestamp=0, segment=0, bytes_before=0, data=data)
    assert recent.parsed(1, batch) is recent.parsed(1, batch)
    assert recent.parsed(2, batch) is not recent.parsed(1, batch)
    recent._parsed_messages = 10**9
    recent.parsed(3, batch)
    assert len(recent._parsed) == 1
