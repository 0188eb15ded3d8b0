"""Fake servers and real ones."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rustok_iggy_connector.config import EmbeddedConnectorConfig

REPOSITORY = Path(__file__).parents[2]
FAKE = Path(__file__).with_name("fake_server.py")

MakeFake = Callable[..., Path]
MakeConfig = Callable[..., EmbeddedConnectorConfig]


def is_alive(pid: int) -> bool:
    """Runs, and is not a zombie that its parent has not looked at."""
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except ProcessLookupError:
        return False
    except FileNotFoundError:  # it ended between the two, or this system has no /proc
        return not Path("/proc/self").exists()
    return state not in {"Z", "X"}


def write_program(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path


@pytest.fixture
def fake_server(tmp_path: Path) -> MakeFake:
    def make(behaviour: str = "well") -> Path:
        return write_program(
            tmp_path / f"{behaviour}-server", f'exec {sys.executable} -P {FAKE} {behaviour} {REPOSITORY} "$@"'
        )

    return make


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def config(data_dir: Path, fake_server: MakeFake) -> MakeConfig:
    """A configuration that runs a fake server of the given behaviour, with short patience."""

    def make(behaviour: str = "well", **settings: Any) -> EmbeddedConnectorConfig:
        defaults: dict[str, Any] = {
            "data_dir": str(data_dir),
            "server_path": str(fake_server(behaviour)),
            "startup_timeout": 10.0,
            "stop_timeout": 10.0,
            "request_timeout": 1.0,
        }
        return EmbeddedConnectorConfig(**defaults | settings)

    return make
