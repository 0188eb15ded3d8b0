"""Small files that are whole or not there: written beside, synced, then put in place."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, data: bytes) -> None:
    """Replace the file by `data`; after a crash it holds the old bytes or the new ones. One writer at a time.

    Raises OSError.
    """
    beside = path.with_name(f".{path.name}.new")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make names in a directory as durable as what they name. Raises OSError."""
    if os.name == "nt":
        return  # a directory cannot be opened there, and renaming is durable by itself
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
