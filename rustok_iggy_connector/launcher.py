"""Becomes the server: a program of its own, run by path, that arranges the server's end and then executes it.

    python -I -S launcher.py PARENT_PID PROGRAM [ARGUMENT...]

On Linux the kernel is told to send SIGTERM when the parent ends, also by kill −9, so that a server never outlives the
application that started it and still writes everything down. The signal comes when the *thread* that forked ends: the
one that runs the event loop. Elsewhere a server that outlives its parent keeps the data directory's lock, and the next
process attaches to it. Imports nothing of ours: that would cost its start-up time, and the wheel.
"""

import contextlib
import os
import sys

if sys.platform == "win32":  # pragma: no cover
    raise SystemExit("the embedded server needs Linux or macOS")

import resource
import signal

PR_SET_PDEATHSIG = 1
"""linux/prctl.h. The setting survives execve, unless the program is setuid or has file capabilities."""

PRIVATE = 0o077
"""umask: what the server writes is for its user alone."""


def main(arguments: list[str]) -> None:
    parent = int(arguments[1])
    if sys.platform == "linux":
        end_with_parent(parent)
    for limit in raisable_limits():
        raise_limit(limit)
    os.umask(PRIVATE)
    os.execv(arguments[2], arguments[2:])  # noqa: S606 -- becoming that program is what this is for


def end_with_parent(parent: int) -> None:
    import ctypes  # noqa: PLC0415 -- half of the launcher's time: only where it is needed

    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise SystemExit(f"prctl(PR_SET_PDEATHSIG): {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:  # it ended before the kernel was told
        raise SystemExit("the process that started this server is gone")


def raisable_limits() -> list[int]:
    """Locked memory, which io_uring's rings count as, and open files: one per segment and per connection."""
    return [number for name in ("RLIMIT_MEMLOCK", "RLIMIT_NOFILE") if (number := getattr(resource, name, None))]


def raise_limit(limit: int) -> None:
    _, hard = resource.getrlimit(limit)
    with contextlib.suppress(OSError, ValueError):  # macOS refuses "unlimited" open files; the soft limit stays
        resource.setrlimit(limit, (hard, hard))


if __name__ == "__main__":
    main(sys.argv)
