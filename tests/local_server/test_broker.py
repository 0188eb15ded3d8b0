"""What the broker decides itself: how much of a topic a partition may keep, and what a damaged catalog means."""

import pytest

from rustok_iggy_connector.local_server.broker import Broker, partition_budget
from rustok_iggy_connector.local_server.changes import Change
from rustok_iggy_connector.local_server.entries import Partition, Topic
from rustok_iggy_connector.local_server.options import NEVER
from rustok_iggy_connector.local_server.storage import MemoryStorage, StorageDamagedError, Stored
from rustok_iggy_connector.wire.connection import MAX_REQUEST_BYTES

MIB, GIB = 1 << 20, 1 << 30


def topic(max_topic_size: int, *, partitions: int, segment_size: int = MIB) -> Topic:
    return Topic(
        stream_id=0,
        id=0,
        name="t",
        created_at=0,
        partitions=tuple(Partition(id=n, created_at=0, incarnation=n) for n in range(partitions)),
        message_expiry=NEVER,
        max_topic_size=max_topic_size,
        segment_size=segment_size,
        compression="none",
        explicit=(),
        derived=(),
    )


@pytest.mark.parametrize("size", [0, NEVER])
def test_a_topic_without_a_limit_has_no_budget(size: int) -> None:
    assert partition_budget(topic(size, partitions=3)) is None


def test_partitions_share_a_limit_but_keep_a_whole_segment() -> None:
    assert partition_budget(topic(GIB, partitions=4)) == GIB // 4
    assert partition_budget(topic(2 * MIB, partitions=4)) == MIB + MAX_REQUEST_BYTES
    assert partition_budget(topic(GIB, partitions=0)) == GIB


class BrokenCatalog(MemoryStorage):
    def __init__(self, *rows: Change) -> None:
        super().__init__()
        self._rows = rows

    def load(self) -> Stored:
        return Stored(rows=self._rows)


@pytest.mark.parametrize(
    "change",
    [
        Change(table="streams", key="0", row={"id": "zero"}),
        Change(table="groups", key="0/0/0", row={"stream_id": 0, "topic_id": 0, "id": 0, "name": "g", "generation": 1}),
    ],
)
def test_rows_that_do_not_fit_together_are_damage(change: Change) -> None:
    with pytest.raises(StorageDamagedError, match="does not fit together"):
        Broker(BrokenCatalog(change))
