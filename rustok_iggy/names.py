"""What a stream or a consumer group may be called."""

from __future__ import annotations

MAX_NAME_BYTES = 255
"""A name's length is one byte on the wire."""


def name_problem(name: object) -> str | None:
    """Return why this is no name that the server takes as one, and people can read in a log; None when it is one."""
    if not isinstance(name, str):
        return f"must be text, not {type(name).__name__}"
    if not name.isprintable():
        return f"{name[:40]!r} has a character that cannot be printed, such as a line break; remove it"
    if not 1 <= len(name.encode()) <= MAX_NAME_BYTES:
        return f"must have 1 to {MAX_NAME_BYTES} bytes"
    if name.isdecimal():
        return f"{name!r} has only digits, which the server reads as a number; add a letter"
    return None
