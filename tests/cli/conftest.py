"""A command line over a server in this process."""

from pathlib import Path

import pytest

from rustok_iggy.cli import session
from tests.cli.command_line import CommandLine


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    made = CommandLine(tmp_path)
    monkeypatch.setattr(session, "connect", made.connect)
    monkeypatch.chdir(tmp_path)
    return made
