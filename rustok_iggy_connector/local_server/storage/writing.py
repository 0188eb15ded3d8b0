"""How each kind of write becomes rows, and how rows that no log holds any more are cleared away."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from rustok_iggy_connector.local_server.changes import Change
from rustok_iggy_connector.local_server.storage.contract import (
    Append,
    DropLog,
    NewLog,
    SetOffset,
    StorageError,
    TrimLog,
    Write,
)
from rustok_iggy_connector.local_server.storage.schema import (
    MAX_LOG_ID,
    MAX_OFFSET,
    OFFSET_BITS,
    batch_key,
    connect,
    lengthen_log,
    translated,
)

SWEEP_ROWS, SWEEP_BYTES = 64, 8 << 20
"""How much is cleared away in one go while nothing else is to do: a commit that arrives meanwhile waits for it."""


class Writer:
    """The writing connection; used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = connect(path)
        self._swept_to = 0
        self.has_garbage = True
        """Whether `sweep` may find something: at the start nobody knows."""
        lengthen_log(self._connection)

    def close(self) -> None:
        self._connection.close()

    def write(self, writes: Sequence[Write]) -> StorageError | None:
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            for write in writes:
                _WRITERS[type(write)](connection, write)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            return translated(error, self._path)
        except BaseException:
            self._roll_back()
            raise
        if any(isinstance(write, DropLog | TrimLog) for write in writes):
            self._swept_to = 0
            self.has_garbage = True
        return None

    def sweep(self) -> None:
        """Clear away a few batches that no log holds any more."""
        try:
            garbage = self._next_garbage()
            if garbage is None:
                self.has_garbage = False
            else:
                self._connection.execute("DELETE FROM batches WHERE id BETWEEN ? AND ?", self._first_of(*garbage))
        except sqlite3.Error:
            # Garbage costs room, nothing else; it is tried again after the next drop and at the next start.
            self._roll_back()
            self.has_garbage = False

    def _first_of(self, low: int, high: int) -> tuple[int, int]:
        """As much of the range as is cleared in one go, at least one batch."""
        size, last = 0, low
        rows = self._connection.execute(
            "SELECT id, length(data) FROM batches WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?", (low, high, SWEEP_ROWS)
        )
        for key, length in rows.fetchall():
            size += length
            if size > SWEEP_BYTES and key != low:
                break
            last = key
        return low, last

    def _next_garbage(self) -> tuple[int, int] | None:
        """A range of keys with batches below their log's first offset, or of a log that is gone.

        `_swept_to` remembers how far there are none, so that a sweep over many logs is not quadratic.
        """
        while True:
            row = self._connection.execute(
                "SELECT id FROM batches WHERE id >= ? ORDER BY id LIMIT 1", (self._swept_to,)
            ).fetchone()
            if row is None:
                return None
            log_id = row[0] >> OFFSET_BITS
            live = self._connection.execute("SELECT first_offset FROM logs WHERE id = ?", (log_id,)).fetchone()
            if live is None:
                return row[0], batch_key(log_id, MAX_OFFSET)
            if row[0] < batch_key(log_id, live[0]):
                return row[0], batch_key(log_id, live[0]) - 1
            self._swept_to = batch_key(log_id + 1, 0)

    def _roll_back(self) -> None:
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            # SQLite has rolled back by itself, as it does on a full disk.
            pass


def _put_row(connection: sqlite3.Connection, change: Change) -> None:
    if change.row is None:
        connection.execute("DELETE FROM catalog WHERE tab = ? AND id = ?", (change.table, change.key))
    else:
        text = json.dumps(change.row, separators=(",", ":"))
        connection.execute("INSERT OR REPLACE INTO catalog VALUES (?, ?, ?)", (change.table, change.key, text))


def _new_log(connection: sqlite3.Connection, new: NewLog) -> None:
    if new.log_id > MAX_LOG_ID:
        raise sqlite3.DataError("out of log numbers")
    connection.execute("INSERT INTO logs (id) VALUES (?)", (new.log_id,))


def _drop_log(connection: sqlite3.Connection, drop: DropLog) -> None:
    connection.execute("DELETE FROM logs WHERE id = ?", (drop.log_id,))
    connection.execute("DELETE FROM offsets WHERE log_id = ?", (drop.log_id,))


def _append(connection: sqlite3.Connection, append: Append) -> None:
    batch = append.batch
    connection.execute(
        "INSERT INTO batches VALUES (?, ?, ?, ?, ?, ?)",
        (
            batch_key(append.log_id, batch.base_offset),
            batch.count,
            batch.timestamp,
            batch.segment,
            batch.bytes_before,
            batch.data,
        ),
    )


def _trim_log(connection: sqlite3.Connection, trim: TrimLog) -> None:
    connection.execute("UPDATE logs SET first_offset = ? WHERE id = ?", (trim.first_offset, trim.log_id))


def _set_offset(connection: sqlite3.Connection, stored: SetOffset) -> None:
    key = (stored.log_id, *stored.consumer)
    if stored.offset is None:
        connection.execute("DELETE FROM offsets WHERE log_id = ? AND kind = ? AND consumer = ?", key)
    else:
        connection.execute("INSERT OR REPLACE INTO offsets VALUES (?, ?, ?, ?)", (*key, stored.offset))


_WRITERS: Final[dict[type, Callable[..., None]]] = {
    Change: _put_row,
    NewLog: _new_log,
    DropLog: _drop_log,
    Append: _append,
    TrimLog: _trim_log,
    SetOffset: _set_offset,
}
