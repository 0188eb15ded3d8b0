"""How far a replay got, on disk: what a run that was killed goes on from.

Everything below `next_offsets` is done, and for a file is in its first `file_bytes` bytes. Written after that is
true, so that a crash repeats events (a handler's) or has the file cut back, and never leaves one out.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import msgspec
from msgspec import Struct

from rustok_iggy.errors import ReplayError
from rustok_iggy.replay.durable_file import write_atomically
from rustok_iggy.replay.plan import ReplayPlan

CHECKPOINT_VERSION = 1


class TargetKind(StrEnum):
    """What events are handed to."""

    HANDLER = "handler"
    FILE = "file"


class Checkpoint(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Partition → offset of the next message, and the counts up to there. `plan` is the plan's fingerprint."""

    version: int = CHECKPOINT_VERSION
    replay_id: str
    plan: str
    target: TargetKind
    next_offsets: dict[int, int]
    handled: int = 0
    unreadable: int = 0
    file_bytes: int = 0
    finished: bool = False

    def save(self, path: Path) -> None:
        """Write it in place of the one before. Raises ReplayError."""
        try:
            write_atomically(path, msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")
        except OSError as error:
            raise ReplayError(f"the checkpoint {path} cannot be written: {error}") from error


def load_checkpoint(path: Path, plan: ReplayPlan, target: TargetKind) -> Checkpoint | None:
    """Return the checkpoint, None when there is none. Raises ReplayError when it is another replay's."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ReplayError(f"the checkpoint {path} cannot be read: {error}") from error
    try:
        found = msgspec.json.decode(data, type=Checkpoint)
    except msgspec.DecodeError as error:
        raise ReplayError(f"{path} is no checkpoint of a replay: {error}") from None
    if found.version != CHECKPOINT_VERSION:
        raise ReplayError(f"{path}: version {found.version}, this release reads {CHECKPOINT_VERSION}")
    if found.plan != plan.fingerprint:
        raise ReplayError(f"the checkpoint {path} belongs to another plan")
    if found.target is not target:
        raise ReplayError(f"the checkpoint {path} belongs to a replay whose target is a {found.target}")
    bounds = {each.partition_id: each for each in plan.partitions}
    if found.next_offsets.keys() != bounds.keys() or any(
        not bounds[each].start <= offset <= bounds[each].end for each, offset in found.next_offsets.items()
    ):
        raise ReplayError(f"the checkpoint {path} stands outside of its plan")
    return found
