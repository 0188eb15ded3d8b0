"""What the repository gives away must hold on any machine and for any reader."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.architecture.source_tree import ROOT
from tests.architecture.test_layers import assert_none

# (what, pattern). Patterns are built from pieces, so that this file does not match itself.
FORBIDDEN = {
    "a path of somebody's machine": re.compile(r"(?<![\w.$}~])/(?:ho" r"me|ro" r"ot|Us" r"ers|wo" r"rk)/[\w.-]"),
    "a package registry's host": re.compile(r"\b(?:py" r"pi\.org|python" r"hosted\.org|crates" r"\.io)\b"),
    "an unpinned server image": re.compile(r"apache/iggy:" r"latest"),
    "a private key": re.compile(r"-----BEGIN (?:\w+ )*PRIVATE" r" KEY-----"),
}
# Golden data holds what a recorded client or server said.
GOLDEN = {".jsonl", ".bin", ".hex", ".png"}
# A self-signed key of "localhost" that only tests use: making one needs a program that not every machine has.
TEST_KEYS = {ROOT / "tests" / "local_server" / "tls" / "localhost.key"}


def tracked_files() -> list[Path]:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    # The files may belong to somebody else, as in a container.
    command = [git, "-c", f"safe.directory={ROOT.resolve()}", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_tracked_file_holds(what: str) -> None:
    problems = []
    for path in tracked_files():
        if path.suffix in GOLDEN or path in TEST_KEYS:
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            if FORBIDDEN[what].search(line):
                problems.append(f"{path.relative_to(ROOT)}:{number}: {what}: {line.strip()[:120]}")
    assert_none(problems)
