"""The storage on disk: one SQLite database, one writing connection, one commit under way while the next one gathers.

A small commit on a quick disk is written by the calling thread: the sync takes 0.1 ms there, and waking another thread
and being woken by it costs as much again. Everything else is the writing thread's.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from time import perf_counter
from typing import Final, TypeAlias

from rustok_iggy_connector.local_server.storage.contract import (
    Append,
    Done,
    Storage,
    StorageError,
    Stored,
    StoredBatch,
    Write,
)
from rustok_iggy_connector.local_server.storage.loading import Loader
from rustok_iggy_connector.local_server.storage.schema import MAX_OFFSET, batch_key, connect, prepare, translated
from rustok_iggy_connector.local_server.storage.writing import Writer

INLINE_BYTES: Final = 64 << 10
"""Commits with less than this in batches may be written by the calling thread; larger ones are worth a second core."""

INLINE_SECONDS: Final = 0.002
"""How long the last commit may have taken for the next one to hold the calling thread up: ten times a usual sync of an
SSD. On a slower disk (and on macOS, whose full sync takes 5 to 20 ms) every commit goes to the writing thread."""

CLOSE_TIMEOUT: Final = 30.0
"""Seconds that `close` waits for the commit under way; the disk that needs longer is broken."""

Deliver: TypeAlias = Callable[[Callable[[], None]], object]
Group: TypeAlias = tuple[tuple[Write, ...], Done]

_BATCH: Final = "SELECT id, count, timestamp, segment, bytes_before, data FROM batches"


class SqliteStorage(Storage):
    """Keeps everything in the database `path`, which the caller has locked for itself.

    `deliver` hands a call to the thread that uses the storage (`loop.call_soon_threadsafe`). Raises StorageError when
    the database cannot be opened, StorageDamagedError when it is not sound.
    """

    def __init__(self, path: Path, *, deliver: Deliver, clock: Callable[[], float] = perf_counter) -> None:
        self._path = path
        self._deliver = deliver
        self._clock = clock
        self._reader = connect(path)
        try:
            prepare(self._reader, path)
            self._writer = Writer(path)
        except BaseException:
            self._reader.close()
            raise
        self._writing = Lock()
        self._last_commit_seconds = 0.0
        self._groups: SimpleQueue[Group | None] = SimpleQueue()
        self._thread = Thread(target=self._write_until_closed, name="local-server-storage", daemon=True)
        self._closed = False
        self._thread.start()

    def load(self) -> Stored:
        """What is there; reads the tables but of the batches only a few rows a segment."""
        try:
            return Loader(self._reader, self._path).load()
        except sqlite3.Error as error:
            raise translated(error, self._path) from error

    def commit(self, writes: Sequence[Write], done: Done) -> None:
        """Write now, and call `done` before returning, when that is quick; else hand over to the writing thread."""
        if self._is_quick(writes) and self._writing.acquire(blocking=False):
            try:
                error = self._timed_write(writes)
            finally:
                self._writing.release()
            if self._writer.has_garbage:
                self._groups.put(None)
            done(error)
        else:
            self._groups.put((tuple(writes), done))

    def read(self, log_id: int, offset: int) -> Iterator[StoredBatch]:
        """One seek, then the tree in order."""
        low, high = batch_key(log_id, 0), batch_key(log_id, MAX_OFFSET)
        try:
            (start,) = self._reader.execute(
                "SELECT max(id) FROM batches WHERE id BETWEEN ? AND ?", (low, batch_key(log_id, offset))
            ).fetchone()
            rows = self._reader.execute(f"{_BATCH} WHERE id BETWEEN ? AND ? ORDER BY id", (start or low, high))
            try:
                for row in rows:
                    yield _batch(row)
            finally:
                rows.close()
        except sqlite3.Error as error:
            raise translated(error, self._path) from error

    def first_offset_since(self, log_id: int, timestamp: int, *, first: int, last: int) -> int | None:
        """A binary search over the keys: timestamps never fall along a log."""
        low, high = batch_key(log_id, first), batch_key(log_id, last)
        found = None
        try:
            while low <= high:
                middle = (low + high) // 2
                row = self._reader.execute(
                    "SELECT id, timestamp FROM batches WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1", (middle, high)
                ).fetchone()
                if row is None:
                    high = middle - 1
                elif row[1] >= timestamp:
                    found, high = row[0] & MAX_OFFSET, middle - 1
                else:
                    low = row[0] + 1
        except sqlite3.Error as error:
            raise translated(error, self._path) from error
        return found

    def room(self) -> tuple[int, int]:
        """Of the file system that holds the database."""
        usage = shutil.disk_usage(self._path.parent)
        return usage.free, usage.total

    def close(self) -> None:
        """Finish the commits given so far, then close both connections."""
        if self._closed:
            return
        self._closed = True
        self._groups.put(None)
        self._thread.join(CLOSE_TIMEOUT)
        self._reader.close()

    def _is_quick(self, writes: Sequence[Write]) -> bool:
        if self._last_commit_seconds > INLINE_SECONDS:
            return False
        return sum(len(write.batch.data) for write in writes if isinstance(write, Append)) < INLINE_BYTES

    def _timed_write(self, writes: Sequence[Write]) -> StorageError | None:
        start = self._clock()
        error = self._writer.write(writes)
        self._last_commit_seconds = self._clock() - start
        return error

    def _write_in_thread(self, writes: Sequence[Write]) -> StorageError | None:
        """The thread's outermost frame: whatever happens, somebody waits for an answer."""
        try:
            with self._writing:
                return self._timed_write(writes)
        except Exception as error:  # noqa: BLE001 - see above
            return StorageError(f"{self._path}: {type(error).__name__}: {error}")

    def _write_until_closed(self) -> None:
        """The writing thread. None in the queue only wakes it up: to sweep, or to find that it is over."""
        while True:
            try:
                group = self._groups.get(block=not self._writer.has_garbage)
            except Empty:
                with self._writing:
                    self._writer.sweep()
                continue
            if group is not None:
                writes, done = group
                self._deliver(partial(done, self._write_in_thread(writes)))
            elif self._closed and self._groups.empty():  # behind a wake-up there may be more
                self._writer.close()
                return


def _batch(row: tuple[int, int, int, int, int, bytes]) -> StoredBatch:
    key, count, timestamp, segment, bytes_before, data = row
    return StoredBatch(
        base_offset=key & MAX_OFFSET,
        count=count,
        timestamp=timestamp,
        segment=segment,
        bytes_before=bytes_before,
        data=data,
    )
