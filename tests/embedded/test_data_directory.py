"""The lock, the credentials and the address, as several processes meet them."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from rustok_iggy_connector.config import Engine
from rustok_iggy_connector.data_directory import DataDirectory
from rustok_iggy_connector.errors import ServerStartupError
from tests.embedded.conftest import REPOSITORY

HOLD = """
import sys
from rustok_iggy_connector.data_directory import DataDirectory
lock = DataDirectory(sys.argv[1]).try_lock()
print("held" if lock else "refused", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def directory(data_dir: Path) -> DataDirectory:
    directory = DataDirectory(str(data_dir))
    directory.prepare()
    return directory


def test_the_directory_is_made_for_its_user_alone(directory: DataDirectory) -> None:
    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700


def test_one_holder_also_within_one_process(directory: DataDirectory) -> None:
    lock = directory.try_lock()
    assert lock
    assert DataDirectory(str(directory.path)).try_lock() is None
    lock.release()
    lock.release()
    again = directory.try_lock()
    assert again
    again.release()


def test_a_killed_holder_holds_nothing(directory: DataDirectory) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(directory.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=REPOSITORY,
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"held\n"
        assert directory.try_lock() is None
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    lock = directory.try_lock()
    assert lock
    lock.release()


def test_a_forked_child_does_not_hold_the_lock_for_its_parent(directory: DataDirectory) -> None:
    lock = directory.try_lock()
    assert lock
    waiting, wake = os.pipe()
    forked, ready = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(ready, b"!")
        os.close(wake)
        os.read(waiting, 1)
        os._exit(0)
    assert os.read(forked, 1) == b"!"
    lock.release()
    again = directory.try_lock()
    os.close(wake)
    os.waitpid(child, 0)
    for descriptor in (waiting, forked, ready):
        os.close(descriptor)
    assert again is not None
    again.release()


def test_the_holder_leaves_word(directory: DataDirectory) -> None:
    assert directory.holder() is None
    lock = directory.try_lock()
    assert lock
    lock.note(Engine.IGGY_SERVER)
    lock.note(Engine.LOCAL)
    holder = directory.holder()
    assert holder
    assert (holder.process_id, holder.engine) == (os.getpid(), Engine.LOCAL)
    lock.release()


def test_credentials_are_made_once_and_are_private(directory: DataDirectory) -> None:
    assert directory.credentials() is None
    made = directory.make_credentials()
    assert directory.make_credentials() == made == DataDirectory(str(directory.path)).credentials()
    assert len(made.password) >= 32
    assert stat.S_IMODE((directory.path / "embedded.json").stat().st_mode) == 0o600
    assert made.password not in repr(made)


def test_half_written_credentials_of_a_killed_process_are_made_anew(directory: DataDirectory) -> None:
    (directory.path / "embedded.new").write_text('{"user')
    made = directory.make_credentials()
    assert directory.credentials() == made


def test_each_directory_has_a_password_of_its_own(tmp_path: Path) -> None:
    made = set()
    for name in "abc":
        directory = DataDirectory(str(tmp_path / name))
        directory.prepare()
        made.add(directory.make_credentials().password)
    assert len(made) == 3


@pytest.mark.parametrize("content", ["", "{", "[]", '{"username": 1, "password": "x"}', '{"username": "x"}', "\xff"])
def test_damaged_credentials_are_reported_without_their_content(directory: DataDirectory, content: str) -> None:
    (directory.path / "embedded.json").write_text(content, encoding="latin-1")
    with pytest.raises(ServerStartupError, match="is damaged; restore it"):
        directory.make_credentials()


@pytest.mark.parametrize(
    ("content", "address"),
    [
        ('[tcp]\nenabled = true\naddress = "127.0.0.1:5001"\n', "127.0.0.1:5001"),
        ('[http]\naddress = "127.0.0.1:3000"\n', None),
        ('[tcp]\naddress = "127.0.0.1:0"\n', None),
        ("[tcp]\naddress = 7\n", None),
        ("tcp = 3\n", None),
        ("[tcp]\naddr", None),
        ("", None),
        ("\xff\xfe", None),
    ],
)
def test_the_address_is_read_when_it_is_whole(directory: DataDirectory, content: str, address: str | None) -> None:
    (directory.path / "runtime").mkdir()
    (directory.path / "runtime" / "current_config.toml").write_text(content, encoding="latin-1")
    assert directory.address() == address
    directory.forget_address()
    directory.forget_address()
    assert directory.address() is None


def test_the_engine_is_told_by_what_only_it_writes(directory: DataDirectory) -> None:
    assert directory.engine() is None
    (directory.path / "metadata").mkdir()
    (directory.path / "metadata" / "journal.wal").touch()
    assert directory.engine() is None  # created at every start, also at one that fails
    (directory.path / "metadata" / "journal.wal").write_bytes(b"x")
    assert directory.engine() is Engine.IGGY_SERVER


def test_the_local_servers_names_are_the_ones_it_uses() -> None:
    from rustok_iggy_connector import data_directory
    from rustok_iggy_connector.local_server.storage import data_directory as local

    assert data_directory.DATA_OF[Engine.LOCAL] == local.DATABASE_NAME
    assert data_directory.LOCAL_SERVER_LOCK == local.LOCK_NAME
