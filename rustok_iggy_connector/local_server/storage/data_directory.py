"""The data directory: who holds it, where its database is, and the file that tells others the server's address."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

DATABASE_NAME: Final = "local-server.sqlite3"
LOCK_NAME: Final = "local-server.lock"
RUNTIME_NAME: Final = "runtime"
CURRENT_CONFIG_NAME: Final = "current_config.toml"


class DataDirectoryError(Exception):
    """The directory cannot be used; the text says why."""


class DataDirectoryInUseError(DataDirectoryError):
    """Another process holds the directory."""


class DataDirectory:
    """Exclusive hold of a directory, made when missing, for as long as the `with` block runs.

    The lock belongs to the process: it goes when the process goes, however that ends, so a stale lock file means
    nothing. Raises DataDirectoryError on entry.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: int | None = None

    @property
    def database(self) -> Path:
        """Where the storage keeps everything."""
        return self.path / DATABASE_NAME

    @property
    def current_config(self) -> Path:
        """The file that holds the address of the running server, at the place where iggy-server has it too."""
        return self.path / RUNTIME_NAME / CURRENT_CONFIG_NAME

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.path / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except (FileExistsError, NotADirectoryError) as error:
            raise DataDirectoryError(f"data directory {self.path} is a file; name a directory") from error
        except OSError as error:
            raise DataDirectoryError(
                f"data directory {self.path} cannot be written ({error.strerror}); "
                "check its owner and rights, or name another"
            ) from error
        self._take_lock(self._lock)
        self.current_config.unlink(missing_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._lock is not None:
            self.current_config.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def announce(self, address: str) -> None:
        """Write the address for others to find, whole or not at all, readable by the owner only. Raises OSError."""
        folder = self.current_config.parent
        folder.mkdir(mode=0o700, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=folder, delete=False) as file:
            file.write(f'[tcp]\nenabled = true\naddress = "{address}"\n')
        Path(file.name).replace(self.current_config)

    def _take_lock(self, lock: int) -> None:
        try:
            if sys.platform == "win32":
                msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            self._lock = None
            raise DataDirectoryInUseError(
                f"data directory {self.path} is in use by another process; connect to the server that runs there, "
                "stop it, or name another directory"
            ) from error
