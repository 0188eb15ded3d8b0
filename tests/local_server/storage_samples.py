"""Batches and commits for tests of the storage, the log and the server."""

from collections.abc import Callable, Sequence
from queue import SimpleQueue

from rustok_iggy_connector.local_server.storage import Append, Storage, StorageError, StoredBatch, Write
from rustok_iggy_connector.wire.batch import Batch, NewMessage, build_batch


def make_batch(*payloads: bytes) -> Batch:
    """A batch as a producer sends it."""
    return Batch.parse(build_batch([NewMessage(id=n + 1, payload=payload) for n, payload in enumerate(payloads)]))


def stored_batch(
    base_offset: int, count: int = 1, *, timestamp: int = 0, segment: int = 0, size: int = 100
) -> StoredBatch:
    """A batch of bytes that tell it apart; only the storage is indifferent to what they are."""
    return StoredBatch(
        base_offset=base_offset,
        count=count,
        timestamp=timestamp,
        segment=segment,
        bytes_before=base_offset * size,
        data=base_offset.to_bytes(8, "little") * (size // 8) + bytes(size % 8),
    )


class Deliveries:
    """What a storage's thread hands over, run by the test's thread when it waits for it."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def __call__(self, call: Callable[[], None]) -> None:
        self._calls.put(call)

    def run_one(self, timeout: float = 10.0) -> None:
        self._calls.get(timeout=timeout)()


def commit(storage: Storage, deliveries: Deliveries, *writes: Write) -> StorageError | None:
    """Commit and wait for the outcome."""
    outcomes: list[StorageError | None] = []
    storage.commit(writes, outcomes.append)
    if not outcomes:
        deliveries.run_one()
    return outcomes[0]


def append(log_id: int, *batches: StoredBatch) -> Sequence[Append]:
    return [Append(log_id=log_id, batch=batch) for batch in batches]
