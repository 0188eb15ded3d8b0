"""A handler's exception as a letter records it: type, message, stack, and the fingerprint that groups its like."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from traceback import walk_tb
from types import CodeType, FrameType

import msgspec

from rustok_iggy.dead_letters.records import MAX_NAME_CHARACTERS, Failure

OWN_PACKAGES = frozenset({"rustok_iggy", "rustok_iggy_connector"})
MAX_CHAIN = 8
"""Exceptions of a chain of causes that a stack shows; longer ones repeat themselves."""
MAX_FRAMES = 50
"""Frames of each, innermost kept: a recursion without end has a thousand that are alike."""
FINGERPRINT_BYTES = 8
"""64 bits: among a million kinds of failure two collide once in 36 million."""


def describe_failure(
    error: BaseException, *, user_package: str, event_type: str | None, schema_version: int | None
) -> Failure:
    """Return what a letter says of `error`. `user_package` is the first part of the handler's module name.

    The stack is outermost first, as Python prints it, without source lines: reading those would read files.
    """
    error_type = _name(type(error))
    frame = _innermost_frame(error, user_package=user_package)
    return Failure(
        error_type=error_type,
        message=_message(error),
        stack="\n".join(_stack(error)),
        fingerprint=fingerprint(
            error_type=error_type, frame=frame, event_type=event_type, schema_version=schema_version
        ),
    )


def fingerprint(*, error_type: str, frame: str | None, event_type: str | None, schema_version: int | None) -> str:
    """Return the same text for failures of one kind: error type, innermost frame of user code, event type, version.

    `frame` is module and function, without the line: an edit above it must not make another kind of failure of it.
    """
    parts = msgspec.json.encode([error_type, frame, event_type, schema_version])
    return blake2b(parts, digest_size=FINGERPRINT_BYTES).hexdigest()


def _innermost_frame(error: BaseException, *, user_package: str) -> str | None:
    """Return where in the user's own code `error` came from; without such a frame, the innermost that is not ours."""
    fallback = None
    found = None
    for frame, _ in walk_tb(error.__traceback__):
        module = str(frame.f_globals.get("__name__", ""))
        package = module.partition(".")[0]
        if package == user_package:
            found = f"{module}.{_function(frame.f_code)}"
        elif package not in OWN_PACKAGES:
            fallback = f"{module}.{_function(frame.f_code)}"
    return found or fallback


def _stack(error: BaseException) -> Iterator[str]:
    for link in reversed(_chain(error)):
        frames: list[tuple[FrameType, int]] = list(walk_tb(link.__traceback__))
        if len(frames) > MAX_FRAMES:
            yield f"({len(frames) - MAX_FRAMES} outer frames left out)"
        for frame, line in frames[-MAX_FRAMES:]:
            yield f"{frame.f_code.co_filename}:{line} in {_function(frame.f_code)}"
        yield _name(type(link))


def _chain(error: BaseException) -> list[BaseException]:
    """The error, then what caused it, as far as Python would print it."""
    chain = [error]
    while len(chain) < MAX_CHAIN:
        last = chain[-1]
        before = last.__cause__ or (None if last.__suppress_context__ else last.__context__)
        if before is None or any(before is link for link in chain):
            break
        chain.append(before)
    return chain


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - a user's __str__ may raise anything, and its letter must be written all the same
        return ""


def _name(error_type: type[BaseException]) -> str:
    name = error_type.__qualname__ if error_type.__module__ == "builtins" else _qualified(error_type)
    return name[-MAX_NAME_CHARACTERS:]


def _qualified(error_type: type[BaseException]) -> str:
    return f"{error_type.__module__}.{error_type.__qualname__}"


def _function(code: CodeType) -> str:
    return code.co_qualname
