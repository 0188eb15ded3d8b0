"""The embedded server's data directory, as the processes that share it see it.

embedded.lock                 held (flock) by the process that started the server *and* by the server, which inherits
                              it: a free lock means that no server runs here, also while an old one still drains
embedded.json                 user and password, made once, mode 0600
server.log, server.log.1      what the server printed
runtime/current_config.toml   written by the server when it listens; `[tcp] address`
everything else               the server's own
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import tomllib
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self

import msgspec

from rustok_iggy_connector.config import Engine
from rustok_iggy_connector.errors import ServerStartupError

USERNAME = "rustok"
PASSWORD_BYTES = 24
"""192 random bits, 32 characters; Iggy takes passwords of 3 to 100."""

# What only that engine writes, once it holds data. iggy-server's journal is created empty.
DATA_OF = {Engine.IGGY_SERVER: "metadata/journal.wal", Engine.LOCAL: "local-server.sqlite3"}

LOCAL_SERVER_LOCK = "local-server.lock"
"""The local server's own lock, held by one that was started by hand too; iggy-server has none."""

NOTE_BYTES = 64
"""What is left in the lock file: a process id and an engine's name, padded to one length, so that it is overwritten
whole."""


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """The server's root user, made for this data directory."""

    username: str
    password: str

    def __repr__(self) -> str:
        return f"Credentials(username={self.username!r}, password=***)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Holder:
    """The process that has the lock, and the engine of the server it started."""

    process_id: int
    engine: Engine


class DataDirectoryLock:
    """The right to run a server here. Released when the last process that has it closes it or ends.

    A child made by fork (not exec) would keep it alive without knowing: there it is closed at once.
    """

    _held: ClassVar[weakref.WeakSet[DataDirectoryLock]] = weakref.WeakSet()

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._held.add(self)

    @classmethod
    def try_acquire(cls, path: Path) -> Self | None:
        """The lock, or None when another process, or another connector of this process, has it."""
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def note(self, engine: Engine) -> None:
        """Leave word of who holds it and for which server; others read it in one piece."""
        os.pwrite(self._descriptor, f"{os.getpid()} {engine.value}".ljust(NOTE_BYTES).encode("ascii"), 0)

    def fileno(self) -> int:
        return self._descriptor

    def release(self) -> None:
        """Give it up; a server that inherited it keeps it until it ends. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    @classmethod
    def release_all(cls) -> None:
        for lock in list(cls._held):
            lock.release()


os.register_at_fork(after_in_child=DataDirectoryLock.release_all)


class DataDirectory:
    """Paths and small files of one data directory."""

    def __init__(self, path: str) -> None:
        self.path = Path(path).absolute()
        self.log = self.path / "server.log"
        self._lock = self.path / "embedded.lock"
        self._credentials = self.path / "embedded.json"
        self._server_configuration = self.path / "runtime" / "current_config.toml"

    def prepare(self) -> None:
        """Make the directory. Raises ServerStartupError when it cannot be one, or cannot be written to."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            raise ServerStartupError(
                f"embedded.data_dir: {self.path} links to nothing, or is (or lies under) a file; name a directory"
            ) from None
        except OSError as error:
            raise self._unusable(error) from error
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise ServerStartupError(
                f"embedded.data_dir: {self.path} is not writable for this user; change its owner "
                "or mode, or name another directory"
            )

    def try_lock(self) -> DataDirectoryLock | None:
        try:
            return DataDirectoryLock.try_acquire(self._lock)
        except OSError as error:
            raise self._unusable(error) from error

    def is_served_by_hand(self) -> bool:
        """A local server that nobody embedded runs here. Only for the holder of the lock."""
        try:
            with (self.path / LOCAL_SERVER_LOCK).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise self._unusable(error) from error
        return False

    def holder(self) -> Holder | None:
        """Who noted down last that it runs the server here."""
        try:
            process_id, engine = self._lock.read_text(encoding="ascii").split()
            return Holder(process_id=int(process_id), engine=Engine(engine))
        except (OSError, ValueError):
            return None

    def engine(self) -> Engine | None:
        """The engine whose data is here, None in a directory without data."""
        for engine, name in DATA_OF.items():
            try:
                if (self.path / name).stat().st_size:
                    return engine
            except OSError:
                continue  # not there
        return None

    def credentials(self) -> Credentials | None:
        """As the first process made them; None before that. Raises ServerStartupError for a damaged file."""
        try:
            return msgspec.json.decode(self._credentials.read_bytes(), type=Credentials)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from error
        except msgspec.DecodeError:
            raise ServerStartupError(
                f"{self._credentials} is damaged; restore it, or name another embedded.data_dir: without it nobody can "
                "log in to this one's server"
            ) from None

    def make_credentials(self) -> Credentials:
        """Those that exist, or new ones. Only for the holder of the lock."""
        existing = self.credentials()
        if existing is not None:
            return existing
        made = Credentials(username=USERNAME, password=secrets.token_urlsafe(PASSWORD_BYTES))
        try:
            self._write_credentials(msgspec.json.encode(made))
        except OSError as error:
            raise self._unusable(error) from error
        return made

    def address(self) -> str | None:
        """`host:port` of the server that wrote the file last; it may be gone. None when there is none to read."""
        try:
            settings = tomllib.loads(self._server_configuration.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
            return None  # not there, or half written
        match settings:
            case {"tcp": {"address": str(address)}} if not address.endswith(":0"):
                return address
        return None

    def forget_address(self) -> None:
        """Remove what an earlier server left, so that the file's presence means something."""
        try:
            self._server_configuration.unlink(missing_ok=True)
        except OSError as error:
            raise self._unusable(error) from error

    def _write_credentials(self, content: bytes) -> None:
        # Complete or absent: a reader never sees half a password, and a power cut does not lose the only copy.
        temporary = self._credentials.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, content)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(self._credentials)
        _sync_directory(self.path)

    def _unusable(self, error: OSError) -> ServerStartupError:
        return ServerStartupError(
            f"embedded.data_dir: {self.path} cannot be used: {error.strerror or error}; make it "
            "readable and writable for this user, or name another directory"
        )


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
