"""Cancelling a replay that another process runs: a note beside its checkpoint, CHECKPOINT.cancelled.

While the note is there, that replay is cancelled. Its run looks for it whenever it writes its checkpoint; it then
begins nothing more, lets what runs end, writes the checkpoint, and notes when. Going on from that checkpoint is refused
until the note is withdrawn. A note names its replay: one that begins anew from the same plan is not concerned.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from rustok_iggy.errors import ReplayError
from rustok_iggy.replay.durable_file import write_atomically

SUFFIX = ".cancelled"


class Cancellation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who cancelled a replay; `ended_at` is None as long as no run of it has ended because of that."""

    replay_id: str
    requested_by: str
    requested_at: datetime
    ended_at: datetime | None = None


def request_cancellation(checkpoint: Path, *, replay_id: str, by: str, at: datetime) -> Cancellation:
    """Cancel the replay of this checkpoint. Raises ReplayError when the note cannot be written."""
    made = Cancellation(replay_id=replay_id, requested_by=by, requested_at=at)
    _write(checkpoint, made)
    return made


def find_cancellation(checkpoint: Path, *, replay_id: str) -> Cancellation | None:
    """Return the note about this replay, None when there is none. Raises ReplayError when it cannot be read."""
    path = note_of(checkpoint)
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Cancellation)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise ReplayError(f"{path} cannot be read: {error}") from None
    return found if found.replay_id == replay_id else None


def note_end(checkpoint: Path, *, replay_id: str, at: datetime) -> None:
    """Note that the run has ended; not when the note was withdrawn meanwhile. Raises ReplayError."""
    found = find_cancellation(checkpoint, replay_id=replay_id)
    if found is not None:
        _write(checkpoint, replace(found, ended_at=at))


def withdraw_cancellation(checkpoint: Path) -> None:
    """Let the replay go on from its checkpoint. Idempotent. Raises ReplayError."""
    path = note_of(checkpoint)
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise ReplayError(f"{path} cannot be removed: {error}") from error


def note_of(checkpoint: Path) -> Path:
    """Return where the note is."""
    return checkpoint.with_name(checkpoint.name + SUFFIX)


def _write(checkpoint: Path, note: Cancellation) -> None:
    path = note_of(checkpoint)
    try:
        write_atomically(path, msgspec.json.encode(note) + b"\n")
    except OSError as error:
        raise ReplayError(f"{path} cannot be written: {error}") from error
