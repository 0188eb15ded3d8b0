"""Types what a page prints behind `$ ` into a shell, in a folder of its own, and reads what comes out."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.architecture.source_tree import ROOT
from tests.chaos.server import free_port
from tests.documentation.expected import Names
from tests.documentation.pages import Block
from tests.waiting import PROGRAM_WITHIN

PROGRAMS = {
    "python": "",
    "pytest": "-m pytest -p no:cacheprovider -p no:asyncio",
    "rustok-iggy": "-m rustok_iggy",
    "curl": "-c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[-1]).read().decode())'",
}
HEALTH_PORT = ":9464"
"""On a page; here it is a free one, which programs are told as a container tells them."""
INSTALLED = re.compile(r"pip install ")
"""What the test's own environment has already."""
LOOKS = re.compile(r"(?:rustok-iggy (?:dlq (?:stats|list|show)|groups (?:list|lag)|trace|doctor)|curl)\b")
"""Changes nothing, and may come before what it is to show: typed again until it shows it."""


class Terminal:
    """One shell at a time, and at most one program that keeps running beside it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.names = Names()
        self._running: subprocess.Popen[bytes] | None = None
        self._log = directory.parent / f"{directory.name}.log"
        self._read = 0
        programs = directory.parent / f"{directory.name}-programs"
        programs.mkdir()
        for name, arguments in PROGRAMS.items():
            script = programs / name
            script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {arguments} "$@"\n', encoding="utf-8")
            script.chmod(0o755)
        self._health_port = free_port()
        self._environment = {
            "PATH": f"{programs}:{os.defpath}",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "COLUMNS": "120",
            "USER": "ada",
            "RUSTOK_IGGY_HEALTH_PORT": str(self._health_port),
        }

    def type(self, block: Block) -> None:
        """Run a block's commands and compare what they print, where the page says what that is."""
        if "Ctrl-C" in block.note:
            self.interrupt()
        for command, expected in commands_in(block):
            if INSTALLED.match(command):
                continue
            if "keeps running" in block.note:
                self._start(command)
                self.reads_on(expected, block)
            else:
                self._run(command, expected, block)

    def reads_on(self, expected: str, block: Block) -> None:
        """Wait until the program that keeps running has printed this, behind what it had printed before."""
        deadline = time.monotonic() + PROGRAM_WITHIN
        while True:
            assert self._running is not None, f"{block}: nothing is running that could print this"
            ended = self._running.poll() is not None
            printed = self._log.read_text(encoding="utf-8")
            if self.names.match(expected, printed[self._read :], whole=False):
                self._read = len(printed)
                return
            if ended or time.monotonic() > deadline:
                raise AssertionError(f"{block}: did not print\n{expected}\nbut\n{printed}")
            time.sleep(0.05)

    def interrupt(self) -> None:
        """Press Ctrl-C; the program must end of itself."""
        assert self._running is not None, "nothing is running"
        self._running.send_signal(signal.SIGINT)
        self._running.wait(PROGRAM_WITHIN)
        self._running = None

    def close(self) -> None:
        """End what a failed test left running."""
        if self._running is not None:
            self._running.terminate()
            self._running.wait(PROGRAM_WITHIN)

    def _start(self, command: str) -> None:
        assert self._running is None, f"{command}: another program keeps running"
        self._read = 0
        with self._log.open("wb") as log:
            self._running = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                cwd=self.directory,
                env=self._environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def _run(self, command: str, expected: str, block: Block) -> None:
        deadline = time.monotonic() + PROGRAM_WITHIN
        while True:
            done = self._done(command)
            printed = done.stdout
            assert "Traceback" not in printed, f"{block}: $ {command}\n{printed}"
            if self.names.match(expected, printed) if expected else done.returncode == 0:
                return
            if not LOOKS.match(command) or time.monotonic() > deadline:
                raise AssertionError(f"{block}: $ {command}\nshould print\n{expected}\nand printed\n{printed}")

    def _done(self, command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "-c", self.names.fill_in(command).replace(HEALTH_PORT, f":{self._health_port}")],
            cwd=self.directory,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            timeout=PROGRAM_WITHIN,
            text=True,
            check=False,
        )


def commands_in(block: Block) -> list[tuple[str, str]]:
    """Each command of a console block with what is printed below it; a comment behind a command is left out."""
    found: list[tuple[str, str]] = []
    for line in block.text.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append((re.sub(r"\s+# .*", "", line[2:]).strip(), ""))
        elif found:
            found[-1] = (found[-1][0], found[-1][1] + line)
    return found
