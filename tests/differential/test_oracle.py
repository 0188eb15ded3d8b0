"""The local server answers as iggy-server did.

`driver.py` drives a server with a seeded random series of operations through the published client and prints one
outcome a line; `expected/` is what iggy-server 0.9.0-edge.5 gave for the same seeds.
"""

import json
import subprocess
import sys
from itertools import zip_longest
from pathlib import Path

import pytest

from tests.local_server.program import running

HERE = Path(__file__).parent
COUNTS = {"seed": 300, "groups": 80, "timeout": 0}
TIMEOUT = 300.0
EXPECTED = sorted((HERE / "expected").glob("*.jsonl"))
QUICK_OPERATIONS = 25
"""Groups take their time to settle, about half a second an operation: so much of one series runs always, and all of
them when asked for. An outcome never depends on later operations."""


def outcomes(port: int, path: Path, count: int | None = None) -> list[str]:
    profile, _, seed = path.stem.partition("-")
    operations = COUNTS[profile] if count is None else count
    arguments = [str(port), seed, str(operations), *([profile] if profile != "seed" else [])]
    command = [sys.executable, str(HERE / "driver.py"), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.splitlines()


def expected(path: Path, count: int | None = None) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()[:count]


def assert_same(found: list[str], expected: list[str]) -> None:
    for number, (ours, theirs) in enumerate(zip_longest(found, expected), start=1):
        same = ours is not None and theirs is not None and json.loads(ours) == json.loads(theirs)
        assert same, f"line {number}\n       ours {ours}\niggy-server {theirs}"


@pytest.mark.parametrize("path", [path for path in EXPECTED if "seed-" in path.stem], ids=lambda path: path.stem)
def test_mixed_operations_end_as_on_iggy_server(path: Path, tmp_path: Path) -> None:
    with running(tmp_path) as (_, port):
        assert_same(outcomes(port, path), expected(path))


def test_operations_on_groups_end_as_on_iggy_server(tmp_path: Path) -> None:
    path = HERE / "expected" / "groups-202.jsonl"
    with running(tmp_path) as (_, port):
        assert_same(outcomes(port, path, QUICK_OPERATIONS), expected(path, QUICK_OPERATIONS))


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in EXPECTED if "seed-" not in path.stem], ids=lambda path: path.stem)
@pytest.mark.timeout(TIMEOUT)
def test_groups_and_their_hand_over_end_as_on_iggy_server(path: Path, tmp_path: Path) -> None:
    with running(tmp_path) as (_, port):
        assert_same(outcomes(port, path), expected(path))
