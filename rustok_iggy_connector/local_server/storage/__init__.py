"""What the local server keeps, and where: on disk in SQLite, or in memory. No other room touches disk."""

from rustok_iggy_connector.local_server.storage.contract import (
    Append,
    ConsumerKey,
    DropLog,
    NewLog,
    SetOffset,
    Storage,
    StorageDamagedError,
    StorageError,
    Stored,
    StoredBatch,
    StoredLog,
    StoredSegment,
    TrimLog,
    Write,
)
from rustok_iggy_connector.local_server.storage.data_directory import (
    DataDirectory,
    DataDirectoryError,
    DataDirectoryInUseError,
)
from rustok_iggy_connector.local_server.storage.memory import MemoryStorage
from rustok_iggy_connector.local_server.storage.sqlite import SqliteStorage

__all__ = [
    "Append",
    "ConsumerKey",
    "DataDirectory",
    "DataDirectoryError",
    "DataDirectoryInUseError",
    "DropLog",
    "MemoryStorage",
    "NewLog",
    "SetOffset",
    "SqliteStorage",
    "Storage",
    "StorageDamagedError",
    "StorageError",
    "Stored",
    "StoredBatch",
    "StoredLog",
    "StoredSegment",
    "TrimLog",
    "Write",
]
