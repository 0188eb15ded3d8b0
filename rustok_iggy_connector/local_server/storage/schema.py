"""The database of the local server: its tables, its settings, and what makes a file one of ours.

A batch is one row. Its key is the log's number and the batch's base offset in one integer, so a log is one run of the
table's tree: appends go to its end, a poll is one seek, dropping is one range. The columns before the blob are those
that are read without it; SQLite then leaves the blob's pages alone.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from rustok_iggy_connector.local_server.storage.contract import StorageDamagedError, StorageError

OFFSET_BITS: Final = 40
"""An offset fits 40 bits: a million messages a second for twelve days short of 35 years would fill one log. That
leaves 23 bits of a signed 64-bit key for the logs' numbers: eight million purges and deletes."""

MAX_OFFSET: Final = (1 << OFFSET_BITS) - 1
MAX_LOG_ID: Final = (1 << 63 - OFFSET_BITS) - 1

APPLICATION_ID: Final = 0x52_49_47_59
"""`RIGY`: tells our files from other SQLite files."""

SCHEMA_VERSION: Final = 1

CHECKED_BYTES: Final = 64 << 20
"""A database up to this size is checked through at the start, at about 1 ms a MB; a larger one is checked as its pages
are read."""

_TABLES: Final = f"""
CREATE TABLE catalog (tab TEXT NOT NULL, id TEXT NOT NULL, row TEXT NOT NULL, PRIMARY KEY (tab, id)) WITHOUT ROWID;
CREATE TABLE logs (id INTEGER PRIMARY KEY, first_offset INTEGER NOT NULL DEFAULT 0);
CREATE TABLE offsets (
    log_id INTEGER NOT NULL, kind INTEGER NOT NULL, consumer INTEGER NOT NULL, stored INTEGER NOT NULL,
    PRIMARY KEY (log_id, kind, consumer)) WITHOUT ROWID;
CREATE TABLE batches (
    id INTEGER PRIMARY KEY, count INTEGER NOT NULL, timestamp INTEGER NOT NULL, segment INTEGER NOT NULL,
    bytes_before INTEGER NOT NULL, data BLOB NOT NULL);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""

PAGE_BYTES: Final = 4096
"""SQLite's default, of which one commit of a small message writes one to three."""

LOG_PAGES: Final = 1000
"""The write-ahead log is copied into the database after so many pages, and begins again at its front: less often costs
longer pauses, more often syncs."""

# synchronous=FULL syncs the write-ahead log at each commit, before it is acknowledged; fullfsync makes that reach the
# platter on macOS. The log is cut back to 64 MiB after a burst.
_CACHE: Final = "PRAGMA cache_size=-16384"
_SETTINGS: Final = (
    f"PRAGMA page_size={PAGE_BYTES}",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA fullfsync=1",
    "PRAGMA checkpoint_fullfsync=1",
    f"PRAGMA wal_autocheckpoint={LOG_PAGES}",
    "PRAGMA journal_size_limit=67108864",
    _CACHE,
    "PRAGMA temp_store=MEMORY",
)


def batch_key(log_id: int, offset: int) -> int:
    """The key of a log's batch that starts at `offset`."""
    return log_id << OFFSET_BITS | min(offset, MAX_OFFSET)


def connect(path: Path) -> sqlite3.Connection:
    """A connection in autocommit mode with the settings that durability needs.

    It may be used by another thread than the one that opened it, by one at a time. Raises StorageError.
    """
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=1.0)
        for setting in _SETTINGS:
            connection.execute(setting)
    except sqlite3.Error as error:
        raise translated(error, path) from error
    return connection


# A transaction that outgrows its cache writes to the log before it commits; rolled back, what it wrote means nothing,
# and the file keeps its length. The 32 pages more are for the 16 that stay in the cache and for a last commit that
# passes the mark. Setting the version again is the smallest commit there is: it syncs all of that.
_LENGTHENING: Final = (
    "PRAGMA cache_size=-64",
    "BEGIN IMMEDIATE",
    f"CREATE TABLE filler AS SELECT zeroblob({(LOG_PAGES + 32) * PAGE_BYTES})",
    "ROLLBACK",
    f"PRAGMA user_version={SCHEMA_VERSION}",
)


def lengthen_log(connection: sqlite3.Connection) -> None:
    """Give the write-ahead log the length at which it begins again; it takes about 10 ms.

    A sync of a file that grows writes the file system's journal too and takes twice as long as one of a file that is
    overwritten in place: without this, the first 500 commits after each start. It only makes commits faster, so where
    it fails (a full disk) nothing is said; that shows at the first commit.
    """
    try:
        for step in _LENGTHENING:
            connection.execute(step)
    except sqlite3.Error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    finally:
        connection.execute(_CACHE)


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make a new file ours, or make sure that an existing one is ours, of this version, and sound.

    Raises StorageDamagedError, or StorageError when it cannot be read or written.
    """
    try:
        if connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (0,):
            connection.executescript(f"BEGIN; {_TABLES} COMMIT;")
            return
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            raise StorageDamagedError(f"{path} is not a database of the local server; choose another data directory")
        if version != SCHEMA_VERSION:
            raise StorageDamagedError(
                f"{path} has schema version {version}, this program knows {SCHEMA_VERSION}; "
                "use the version of rustok-iggy that wrote it"
            )
        _check(connection, path)
    except sqlite3.Error as error:
        raise translated(error, path) from error


def _check(connection: sqlite3.Connection, path: Path) -> None:
    if path.stat().st_size > CHECKED_BYTES:
        return
    (result,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if result != "ok":
        raise StorageDamagedError(damage(path, str(result)))


def damage(path: Path, detail: str) -> str:
    """What to say, and to do, about a database that cannot be read."""
    one_line = " ".join(detail.split())  # logs and errors are read, and cut, by the line
    return f"{path} is damaged ({one_line}); restore it from a backup, or move it away to start empty"


# Primary result codes that mean "these bytes are no database any more"; sqlite.org/rescode.html
_DAMAGE_CODES: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


def translated(error: sqlite3.Error, path: Path) -> StorageError:
    """SQLite's error as ours."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _DAMAGE_CODES:
        return StorageDamagedError(damage(path, str(error)))
    if code == sqlite3.SQLITE_FULL:
        return StorageError(f"no room left for {path}", full=True)
    return StorageError(f"{path}: {error}")
