"""`rustok-iggy health`: asks the health server of a running service, once, and says so by exit code.

A container's HEALTHCHECK runs it every few seconds, for as long as the service lives: it imports the standard library
only (decision 0011).

Exit codes: 0 yes; 1 no, and why; 5 nobody answered in time; 2 the command line is wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

YES, NO, UNREACHABLE = 0, 1, 5
"""As rustok_iggy.cli.exits has them: done, found something, server not reached."""
PORT = 9464
"""The default of serve_health()."""
MAX_ANSWER_BYTES = 256 * 1024
"""A report names at most thousands of lanes; what sends more is no health server."""
_READ_BYTES = 16 * 1024
_OK, _UNAVAILABLE = 200, 503


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of the question; `answer` is the report as it came, None when it is no JSON object."""

    code: int
    why: str
    answer: dict[str, object] | None = None


def parser() -> argparse.ArgumentParser:
    """Return the command's options; an option's default is what the environment says."""
    made = argparse.ArgumentParser(
        prog="rustok-iggy health",
        description="Ask the health server of a running service whether it is ready; for HEALTHCHECK of a container.",
        epilog="Exit codes: 0 yes; 1 no, and why; 5 nobody answered in time.",
    )
    host, port = (os.environ.get(f"RUSTOK_IGGY_HEALTH_{name}") for name in ("HOST", "PORT"))
    made.add_argument(
        "--host",
        default=host or "127.0.0.1",
        help="Where serve_health() listens; default: $RUSTOK_IGGY_HEALTH_HOST, else 127.0.0.1.",
    )
    made.add_argument(
        "--port", type=_port, default=port or PORT, help=f"Default: $RUSTOK_IGGY_HEALTH_PORT, else {PORT}."
    )
    made.add_argument(
        "--path", default="/readyz", help="/readyz (default), /livez, or where health_app() is mounted in your app."
    )
    made.add_argument("--timeout", type=_seconds, default=3.0, help="Seconds for all of it; default: 3.")
    made.add_argument("--json", action="store_true", help="Print JSON.")
    return made


def health(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code."""
    options = parser().parse_args(arguments)
    verdict = ask(options.host, options.port, options.path, timeout=options.timeout)
    if options.json:
        where = {"host": options.host, "port": options.port, "path": options.path}
        text = json.dumps({**where, "ok": verdict.code == YES, "why": verdict.why, "answer": verdict.answer}, indent=2)
    else:
        text = verdict.why
    sys.stdout.write(text + "\n")
    return verdict.code


def ask(host: str, port: int, path: str, *, timeout: float) -> Verdict:
    """Ask once. Raises nothing: that nobody answers is an answer."""
    try:
        raw = _exchange(host, port, path, ends_at=time.monotonic() + timeout)
    except TimeoutError:
        return Verdict(code=UNREACHABLE, why=f"{host}:{port} did not answer within {timeout:g} s")
    except UnicodeError:
        return Verdict(code=UNREACHABLE, why=f"{host} is no name of a host, or {path} no path: write them in ASCII")
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return Verdict(code=UNREACHABLE, why=f"{host}:{port} cannot be asked: {reason}. Does serve_health() run?")
    return judge(raw, path=path, where=f"{host}:{port}")


def judge(raw: bytes, *, path: str, where: str) -> Verdict:
    """Decide upon a response as it came off the wire."""
    head, _, body = raw.partition(b"\r\n\r\n")
    words = head.partition(b"\r\n")[0].split(b" ", 2)
    if not words[0].startswith(b"HTTP/1.") or len(words) == 1 or not words[1].isdigit():
        return Verdict(code=UNREACHABLE, why=f"{where} is no HTTP server")
    status, answer = int(words[1]), _object(body)
    if status not in {_OK, _UNAVAILABLE}:
        return Verdict(code=UNREACHABLE, why=f"{where} answered {status} to {path}: no health server listens there")
    state = str((answer or {}).get("status", "yes" if status == _OK else "no"))
    why = _printable(f"{path}: " + "; ".join([state, *_reasons(answer or {})]))
    return Verdict(code=YES if status == _OK else NO, why=why, answer=answer)


def _exchange(host: str, port: int, path: str, *, ends_at: float) -> bytes:
    """Return the whole response: as HTTP/1.0 it ends with its connection. Raises OSError, TimeoutError."""
    request = f"GET {path} HTTP/1.0\r\nHost: {host}\r\nAccept: application/json\r\n\r\n".encode("ascii")
    with socket.create_connection((host, port), timeout=_left(ends_at)) as connection:
        connection.sendall(request)
        found = b""
        while len(found) < MAX_ANSWER_BYTES:
            connection.settimeout(_left(ends_at))
            piece = connection.recv(_READ_BYTES)
            if not piece:
                break
            found += piece
        return found


def _left(ends_at: float) -> float:
    left = ends_at - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _object(body: bytes) -> dict[str, object] | None:
    try:
        found = json.loads(body)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _reasons(answer: dict[str, object]) -> list[str]:
    """Return the reasons of /livez and /readyz; /healthz has them by component."""
    components = answer.get("components")
    by_part = components.items() if isinstance(components, dict) else ()
    parts = [f"{name}: {reason}" for name, part in by_part for reason in part.get("reasons", ())]
    found = answer.get("reasons", answer.get("stalled"))
    return [*map(str, found if isinstance(found, list) else ()), *parts]


def _printable(text: str) -> str:
    """Return one line that no terminal obeys: what another process says may hold anything."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 65_536:
        raise argparse.ArgumentTypeError(f"{text} is no port")
    return port


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: more than 0 seconds")
    return seconds
