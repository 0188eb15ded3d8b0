"""The local server as a process, for tests that need sockets, signals or the disk."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
START_TIMEOUT = 20.0


class Program:
    """One run. `stdin` keeps standard input open; `lines` of standard output are read by a thread."""

    def __init__(self, *arguments: str, data_dir: Path, stdin: bool = False, environment: dict[str, str] | None = None):
        self.data_dir = data_dir
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rustok_iggy_connector.local_server", "--data-dir", str(data_dir), *arguments],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **(environment or {})},
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._errors: list[str] = []
        self._threads = [
            threading.Thread(target=self._pump, args=(self.process.stdout, self._lines.put)),
            threading.Thread(target=self._pump, args=(self.process.stderr, self._errors.append)),
        ]
        for thread in self._threads:
            thread.start()

    @staticmethod
    def _pump(stream: object, keep: object) -> None:
        for line in stream:  # type: ignore[attr-defined]  # a text stream of the process
            keep(line)  # type: ignore[operator]  # one of the two above

    def wait_until_ready(self) -> int:
        """Its port. Fails when it does not start."""
        try:
            line = self._lines.get(timeout=START_TIMEOUT)
        except queue.Empty:
            self.process.kill()
            raise AssertionError(f"not ready after {START_TIMEOUT} s: {self.wait()}") from None
        return int(line.rpartition(":")[2])

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send the signal and wait; gives the exit code."""
        self.process.send_signal(number)
        return self.wait()[0]

    def wait(self, timeout: float = 20.0) -> tuple[int, str]:
        """Exit code and all of standard error."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        for thread in self._threads:
            thread.join()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code, "".join(self._errors)

    @property
    def errors(self) -> str:
        """Standard error so far."""
        return "".join(self._errors)


@contextlib.contextmanager
def running(data_dir: Path, *arguments: str) -> Iterator[tuple[Program, int]]:
    """The program and its port; killed at the end unless the test ended it."""
    program = Program(*arguments, data_dir=data_dir)
    try:
        yield program, program.wait_until_ready()
    finally:
        if program.process.poll() is None:
            program.end(signal.SIGKILL)
