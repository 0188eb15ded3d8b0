"""The storage contract on both storages, and on disk: what is there again after a restart, damage, full disks."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from rustok_iggy_connector.local_server.changes import Change
from rustok_iggy_connector.local_server.storage import (
    ConsumerKey,
    DropLog,
    MemoryStorage,
    NewLog,
    SetOffset,
    SqliteStorage,
    Storage,
    StorageDamagedError,
    StorageError,
    TrimLog,
)
from rustok_iggy_connector.local_server.storage.schema import LOG_PAGES, PAGE_BYTES, connect
from rustok_iggy_connector.local_server.storage.sqlite import INLINE_BYTES
from tests.local_server.storage_samples import Deliveries, append, commit, stored_batch
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def deliveries() -> Deliveries:
    return Deliveries()


@pytest.fixture(params=["memory", "sqlite"])
def storage(request: pytest.FixtureRequest, tmp_path: Path, deliveries: Deliveries) -> Iterator[Storage]:
    made = MemoryStorage() if request.param == "memory" else open_sqlite(tmp_path, deliveries)
    made.load()
    yield made
    made.close()


def open_sqlite(folder: Path, deliveries: Deliveries) -> SqliteStorage:
    return SqliteStorage(folder / "db", deliver=deliveries)


def offsets_from(storage: Storage, log_id: int, offset: int) -> list[int]:
    return [batch.base_offset for batch in storage.read(log_id, offset)]


def test_reads_begin_with_the_batch_that_holds_the_offset(storage: Storage, deliveries: Deliveries) -> None:
    batches = [stored_batch(0, 3), stored_batch(3, 2), stored_batch(5, 10)]
    assert commit(storage, deliveries, NewLog(log_id=1), *append(1, *batches)) is None
    assert list(storage.read(1, 0)) == batches
    assert [offsets_from(storage, 1, offset) for offset in (2, 3, 4, 5, 14)] == [[0, 3, 5], [3, 5], [3, 5], [5], [5]]


def test_logs_do_not_see_each_other(storage: Storage, deliveries: Deliveries) -> None:
    commit(storage, deliveries, NewLog(log_id=1), NewLog(log_id=2), *append(1, stored_batch(0)))
    commit(storage, deliveries, *append(2, stored_batch(0, 5), stored_batch(5)))
    assert (offsets_from(storage, 1, 0), offsets_from(storage, 2, 0)) == ([0], [0, 5])
    assert offsets_from(storage, 3, 0) == []


def test_reading_can_stop_early_while_writing_goes_on(storage: Storage, deliveries: Deliveries) -> None:
    commit(storage, deliveries, NewLog(log_id=1), *append(1, stored_batch(0), stored_batch(1)))
    reading = storage.read(1, 0)
    next(reading)
    assert commit(storage, deliveries, *append(1, stored_batch(2))) is None
    reading.close()  # type: ignore[attr-defined]  # iterators of both are generators
    assert offsets_from(storage, 1, 0) == [0, 1, 2]


def test_a_timestamp_finds_the_first_batch_not_older(storage: Storage, deliveries: Deliveries) -> None:
    times = [10, 20, 20, 30, 50]
    batches = [stored_batch(2 * place, 2, timestamp=time) for place, time in enumerate(times)]
    commit(storage, deliveries, NewLog(log_id=7), *append(7, *batches))
    found = [storage.first_offset_since(7, time, first=0, last=9) for time in (0, 10, 11, 20, 21, 50, 51)]
    assert found == [0, 0, 2, 2, 6, 8, None]
    assert storage.first_offset_since(7, 0, first=4, last=9) == 4
    assert storage.first_offset_since(7, 25, first=0, last=5) is None


def test_dropped_and_trimmed_batches_are_gone(storage: Storage, deliveries: Deliveries) -> None:
    batches = [stored_batch(offset, segment=offset // 2 * 2) for offset in range(6)]
    commit(storage, deliveries, NewLog(log_id=1), NewLog(log_id=2), *append(1, *batches), *append(2, *batches))
    commit(storage, deliveries, DropLog(log_id=1), TrimLog(log_id=2, first_offset=4))
    wait_until(lambda: (offsets_from(storage, 1, 0), offsets_from(storage, 2, 0)) == ([], [4, 5]))
    assert commit(storage, deliveries, *append(2, stored_batch(6, segment=6))) is None


def test_everything_is_there_after_a_restart(tmp_path: Path, deliveries: Deliveries) -> None:
    storage = open_sqlite(tmp_path, deliveries)
    row = Change(table="streams", key="0", row={"name": "ä", "big": 2**64 - 1, "list": [1, None]})
    commit(storage, deliveries, row, Change(table="streams", key="1", row={"a": 1}), NewLog(log_id=3), NewLog(log_id=9))
    group, single = ConsumerKey(2, 0), ConsumerKey(1, 2**32 - 1)
    batches = [stored_batch(offset, segment=offset // 4 * 4, timestamp=100 + offset) for offset in range(10)]
    commit(storage, deliveries, *append(3, *batches))
    commit(
        storage,
        deliveries,
        SetOffset(log_id=3, consumer=group, offset=5),
        SetOffset(log_id=3, consumer=single, offset=1),
    )
    commit(
        storage,
        deliveries,
        SetOffset(log_id=3, consumer=single, offset=None),
        Change(table="streams", key="1", row=None),
    )
    storage.close()

    again = open_sqlite(tmp_path, deliveries)
    stored = again.load()
    assert stored.rows == (row,)
    first, empty = stored.logs
    assert (first.id, first.next_offset, first.offsets) == (3, 10, {group: 5})
    assert [(s.first_offset, s.last_offset, s.bytes_before, s.bytes_after) for s in first.segments] == [
        (0, 3, 0, 400),
        (4, 7, 400, 800),
        (8, 9, 800, 1000),
    ]
    assert first.segments[0].last_timestamp == 103
    assert (empty.id, empty.next_offset, empty.segments) == (9, 0, ())
    assert list(again.read(3, 0)) == batches
    again.close()


def test_trimming_survives_a_restart_also_when_nothing_is_left(tmp_path: Path, deliveries: Deliveries) -> None:
    storage = open_sqlite(tmp_path, deliveries)
    batches = [stored_batch(offset, segment=offset) for offset in range(3)]
    commit(storage, deliveries, NewLog(log_id=1), NewLog(log_id=2), *append(1, *batches), *append(2, *batches))
    commit(storage, deliveries, TrimLog(log_id=1, first_offset=2), TrimLog(log_id=2, first_offset=3))
    storage.close()
    again = open_sqlite(tmp_path, deliveries)
    partly, wholly = again.load().logs
    again.close()
    assert ([s.first_offset for s in partly.segments], partly.next_offset) == ([2], 3)
    assert (wholly.segments, wholly.next_offset) == ((), 3)


def test_a_dropped_log_is_cleared_away_after_a_restart_too(tmp_path: Path, deliveries: Deliveries) -> None:
    storage = open_sqlite(tmp_path, deliveries)
    commit(storage, deliveries, NewLog(log_id=1), *append(1, *(stored_batch(offset) for offset in range(500))))
    storage.close()
    with sqlite3.connect(tmp_path / "db") as connection:  # as if it had been killed before the sweep
        connection.execute("DELETE FROM logs")
    connection.close()
    again = open_sqlite(tmp_path, deliveries)
    wait_until(lambda: not offsets_from(again, 1, 0))
    again.close()


def test_a_large_commit_is_written_by_the_thread_and_a_small_one_here(tmp_path: Path, deliveries: Deliveries) -> None:
    storage = open_sqlite(tmp_path, deliveries)
    outcomes: list[StorageError | None] = []
    storage.commit([NewLog(log_id=1)], outcomes.append)
    large = stored_batch(0, size=INLINE_BYTES)
    if outcomes:  # else the disk is slow just now, and both went to the thread
        storage.commit(append(1, large), outcomes.append)
        assert len(outcomes) == 1
        deliveries.run_one()
        assert list(storage.read(1, 0)) == [large]
    storage.close()
    assert outcomes in ([None], [None, None], [])


def test_closing_finishes_what_was_given_and_may_be_repeated(tmp_path: Path, deliveries: Deliveries) -> None:
    storage = open_sqlite(tmp_path, deliveries)
    storage.commit([NewLog(log_id=1), *append(1, stored_batch(0, size=INLINE_BYTES))], lambda error: None)
    storage.close()
    storage.close()
    again = open_sqlite(tmp_path, deliveries)
    assert again.load().logs[0].next_offset == 1
    again.close()


def test_closing_finishes_what_was_given_behind_a_wake_up(tmp_path: Path) -> None:
    """The thread is woken to clear away when it is free; it was closed before it came to what was given since."""
    is_free, given = threading.Event(), list[Callable[[], None]]()

    def deliver(call: Callable[[], None]) -> None:
        given.append(call)
        is_free.wait(20)

    def ignore(error: StorageError | None) -> None:
        assert error is None

    storage = SqliteStorage(tmp_path / "db", deliver=deliver, clock=lambda: 0.0)  # every commit is quick
    large = [stored_batch(offset, size=INLINE_BYTES) for offset in range(2)]
    storage.commit([NewLog(log_id=1), NewLog(log_id=2), *append(1, large[0])], ignore)
    wait_until(lambda: len(given) == 1)
    storage.commit([DropLog(log_id=2)], ignore)  # written here, and the thread is woken
    storage.commit(append(1, large[1]), ignore)
    closing = threading.Thread(target=storage.close)
    closing.start()
    wait_until(lambda: storage._closed)
    is_free.set()
    closing.join(20)
    again = SqliteStorage(tmp_path / "db", deliver=deliver)
    assert again.load().logs[0].next_offset == 2
    again.close()


def test_a_commit_is_all_or_nothing(tmp_path: Path, deliveries: Deliveries) -> None:
    storage = open_sqlite(tmp_path, deliveries)
    commit(storage, deliveries, NewLog(log_id=1), *append(1, stored_batch(0)))
    error = commit(storage, deliveries, NewLog(log_id=2), *append(1, stored_batch(1), stored_batch(0)))
    assert isinstance(error, StorageError)
    assert offsets_from(storage, 1, 0) == [0]
    assert commit(storage, deliveries, NewLog(log_id=2), *append(1, stored_batch(1))) is None
    storage.close()


FILLER = """
import resource, sys
from pathlib import Path
from rustok_iggy_connector.local_server.storage import *
from tests.local_server.storage_samples import *

deliveries = Deliveries()
storage = SqliteStorage(Path(sys.argv[1]), deliver=deliveries)
commit(storage, deliveries, NewLog(log_id=1))
_, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (2 << 20, hard))
offset, error = 0, None
while error is None:
    error = commit(storage, deliveries, *append(1, stored_batch(offset, size=100_000)))
    offset += error is None
assert 3 < offset < 30, offset
assert [batch.base_offset for batch in storage.read(1, 0)] == list(range(offset))
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
assert commit(storage, deliveries, *append(1, stored_batch(offset, size=100_000))) is None
storage.close()
print(offset + 1)
"""


def test_a_full_disk_refuses_commits_until_there_is_room(tmp_path: Path, deliveries: Deliveries) -> None:
    """A limit on the size of files stands for the full disk: SQLite gets the error from the same call."""
    command = [sys.executable, "-c", FILLER, str(tmp_path / "db")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert ran.returncode == 0, ran.stderr
    storage = open_sqlite(tmp_path, deliveries)
    assert storage.load().logs[0].next_offset == int(ran.stdout)
    storage.close()


def test_the_log_of_small_commits_has_its_full_length_from_the_start(tmp_path: Path, deliveries: Deliveries) -> None:
    """A sync of a file that grows takes twice as long."""
    storage = open_sqlite(tmp_path, deliveries)
    size = (tmp_path / "db-wal").stat().st_size
    assert size >= LOG_PAGES * PAGE_BYTES
    commit(storage, deliveries, NewLog(log_id=1))
    for offset in range(100):
        assert commit(storage, deliveries, *append(1, stored_batch(offset))) is None
    assert (tmp_path / "db-wal").stat().st_size == size
    storage.close()
    assert (tmp_path / "db").stat().st_size < size


CRAMPED = """
import resource, sys
from pathlib import Path
from rustok_iggy_connector.local_server.storage import *
from tests.local_server.storage_samples import *
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, most))
deliveries = Deliveries()
storage = SqliteStorage(Path(sys.argv[1]), deliver=deliveries)
assert commit(storage, deliveries, NewLog(log_id=1), *append(1, stored_batch(0))) is None
assert storage._writer._connection.execute("PRAGMA cache_size").fetchone() == (-16384,)
"""


def test_a_disk_without_room_for_the_whole_log_is_opened_and_written(tmp_path: Path, deliveries: Deliveries) -> None:
    command = [sys.executable, "-c", CRAMPED, str(tmp_path / "db")]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert ran.returncode == 0, ran.stderr
    storage = open_sqlite(tmp_path, deliveries)
    assert storage.load().logs[0].next_offset == stored_batch(0).count
    storage.close()


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"not a database at all, but long enough to have a header " * 40, "damaged"),
        (b"SQLite format 3\0" + bytes(4080), "damaged"),
    ],
)
def test_a_file_that_is_no_database_is_said_to_be_damaged(
    tmp_path: Path, deliveries: Deliveries, content: bytes, text: str
) -> None:
    (tmp_path / "db").write_bytes(content)
    with pytest.raises(StorageDamagedError, match=text):
        open_sqlite(tmp_path, deliveries)


def test_a_broken_page_is_found_at_the_start(tmp_path: Path, deliveries: Deliveries) -> None:
    storage = open_sqlite(tmp_path, deliveries)
    commit(
        storage, deliveries, NewLog(log_id=1), *append(1, *(stored_batch(offset, size=2000) for offset in range(200)))
    )
    storage.close()
    with (tmp_path / "db").open("r+b") as file:
        file.seek(10 * 4096)
        file.write(random.Random(1).randbytes(40 * 4096))
    with pytest.raises(StorageDamagedError, match="damaged"):
        open_sqlite(tmp_path, deliveries)


def test_databases_of_others_and_of_other_versions_are_left_alone(tmp_path: Path, deliveries: Deliveries) -> None:
    with sqlite3.connect(tmp_path / "db") as connection:
        connection.execute("CREATE TABLE somebody (elses)")
    connection.close()
    with pytest.raises(StorageDamagedError, match="not a database of the local server"):
        open_sqlite(tmp_path, deliveries)
    (tmp_path / "db").unlink()
    open_sqlite(tmp_path, deliveries).close()
    with sqlite3.connect(tmp_path / "db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StorageDamagedError, match="schema version 99"):
        open_sqlite(tmp_path, deliveries)


def test_a_row_that_is_not_json_is_damage(tmp_path: Path, deliveries: Deliveries) -> None:
    open_sqlite(tmp_path, deliveries).close()
    with sqlite3.connect(tmp_path / "db") as connection:
        connection.execute("INSERT INTO catalog VALUES ('streams', '0', '{')")
    connection.close()
    storage = open_sqlite(tmp_path, deliveries)
    with pytest.raises(StorageDamagedError, match="JSON"):
        storage.load()
    storage.close()


def test_every_commit_is_synced_before_it_counts(tmp_path: Path) -> None:
    """Killing a process proves nothing about power: what remains is to see that SQLite was told."""
    connection = connect(tmp_path / "db")
    asked = {name: connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("synchronous", "fullfsync")}
    assert (connection.execute("PRAGMA journal_mode").fetchone()[0], asked) == (
        "wal",
        {"synchronous": 2, "fullfsync": 1},
    )
    connection.close()


WRITER = """
import sys
from pathlib import Path
from rustok_iggy_connector.local_server.storage import *
from tests.local_server.storage_samples import *

deliveries = Deliveries()
storage = SqliteStorage(Path(sys.argv[1]), deliver=deliveries)
logs = storage.load().logs
offset = logs[0].next_offset if logs else 0
if not logs:
    commit(storage, deliveries, NewLog(log_id=1))
print("ready", flush=True)
while True:
    size = 80_000 if offset % 7 == 0 else 300
    key = ConsumerKey(1, 1)
    stored = SetOffset(log_id=1, consumer=key, offset=offset)
    assert commit(storage, deliveries, *append(1, stored_batch(offset, size=size)), stored) is None
    print(offset, flush=True)
    offset += 1
"""


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path, deliveries: Deliveries) -> None:
    """Ten rounds on one database, each killed at a random moment behind so many acknowledgements, then read back."""
    seed = int(os.environ.get("KILL_SEED", "0")) or random.randrange(1 << 30)
    chance = random.Random(seed)
    acknowledged = -1
    for round_number in range(10):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "db")], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        told = "".join(writer.stdout.readline() for _ in range(round_number % 5))
        time.sleep(chance.random() * 0.02)
        writer.send_signal(signal.SIGKILL)
        told += writer.stdout.read()
        writer.stdout.close()
        writer.wait()
        lines = [int(line) for line in told.splitlines(keepends=True) if line.endswith("\n")]
        acknowledged = max([acknowledged, *lines])
        if round_number % 5 == 4:
            check_contiguous(tmp_path, deliveries, acknowledged, f"seed {seed}, round {round_number}")


def check_contiguous(folder: Path, deliveries: Deliveries, acknowledged: int, note: str) -> None:
    storage = open_sqlite(folder, deliveries)
    (log,) = storage.load().logs
    assert log.next_offset > acknowledged, note
    assert log.offsets == {ConsumerKey(1, 1): log.next_offset - 1}, note
    for expected, batch in enumerate(storage.read(1, 0)):
        assert batch.base_offset == expected, note
        assert batch.data[:8] == expected.to_bytes(8, "little"), note
    storage.close()
