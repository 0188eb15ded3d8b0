"""What the database holds at the start: the catalog, the offsets, and of the batches only a few rows a segment."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rustok_iggy_connector.local_server.changes import Change, Row
from rustok_iggy_connector.local_server.storage.contract import (
    ConsumerKey,
    StorageDamagedError,
    Stored,
    StoredLog,
    StoredSegment,
)
from rustok_iggy_connector.local_server.storage.schema import MAX_OFFSET, batch_key, damage

_BATCH_OUTLINE: Final = "SELECT id, count, timestamp, segment, bytes_before, length(data) FROM batches"


class Loader:
    """Reads the state at the start."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self._path = path

    def load(self) -> Stored:
        execute = self._connection.execute
        rows = tuple(
            Change(table=table, key=key, row=self._row(text))
            for table, key, text in execute("SELECT tab, id, row FROM catalog ORDER BY tab, id")
        )
        offsets: dict[int, dict[ConsumerKey, int]] = {}
        for log_id, kind, consumer, stored in execute("SELECT log_id, kind, consumer, stored FROM offsets"):
            offsets.setdefault(log_id, {})[ConsumerKey(kind, consumer)] = stored
        logs = execute("SELECT id, first_offset FROM logs ORDER BY id").fetchall()
        return Stored(
            rows=rows,
            logs=tuple(self._log(log_id, first_offset, offsets.get(log_id, {})) for log_id, first_offset in logs),
        )

    def _log(self, log_id: int, first_offset: int, offsets: dict[ConsumerKey, int]) -> StoredLog:
        segments = tuple(reversed([*self._segments(log_id, first_offset)]))
        next_offset = segments[-1].last_offset + 1 if segments else first_offset
        return StoredLog(id=log_id, next_offset=next_offset, segments=segments, offsets=offsets)

    def _row(self, text: str) -> Row:
        try:
            row = json.loads(text)
        except ValueError as error:
            raise StorageDamagedError(damage(self._path, "a catalog row is not JSON")) from error
        if not isinstance(row, dict):
            raise StorageDamagedError(damage(self._path, "a catalog row is not an object"))
        return row

    def _segments(self, log_id: int, first_offset: int) -> Iterator[StoredSegment]:
        """Newest first: the last batch before a segment's start ends the segment before."""
        end = batch_key(log_id + 1, 0)
        while True:
            last = self._outline("id < ? AND id >= ? ORDER BY id DESC", end, batch_key(log_id, first_offset))
            if last is None:
                return
            last_id, count, timestamp, segment, bytes_before, size = last
            first = self._outline("id >= ? AND id <= ? ORDER BY id", batch_key(log_id, segment), last_id)
            if first is None or first[0] != batch_key(log_id, segment):
                raise StorageDamagedError(damage(self._path, "a segment has lost its first batch"))
            yield StoredSegment(
                first_offset=segment,
                last_offset=(last_id & MAX_OFFSET) + count - 1,
                bytes_before=first[4],
                bytes_after=bytes_before + size,
                last_timestamp=timestamp,
            )
            end = batch_key(log_id, segment)

    def _outline(self, condition: str, *bounds: int) -> tuple[int, int, int, int, int, int] | None:
        row: tuple[int, int, int, int, int, int] | None = self._connection.execute(
            f"{_BATCH_OUTLINE} WHERE {condition} LIMIT 1", bounds
        ).fetchone()
        return row
