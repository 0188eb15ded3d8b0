"""`rustok-iggy replay status` and `cancel`: what a replay's checkpoint says, and the note that ends it.

No server is asked. What the note means: rustok_iggy.replay.cancellation.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from rustok_iggy.cli.command import AtDesk, command
from rustok_iggy.cli.exits import CommandError, ExitCode
from rustok_iggy.cli.letter_requests import By
from rustok_iggy.cli.rendering import marked, moment
from rustok_iggy.cli.replay_commands import PlanFile, app, checkpoint_of, loaded_plan
from rustok_iggy.replay.cancellation import (
    Cancellation,
    find_cancellation,
    request_cancellation,
    withdraw_cancellation,
)
from rustok_iggy.replay.checkpoint import Checkpoint

CANCEL_WAIT = 30.0
"""Seconds for the run to end: it looks every second or less, and gives running handlers `drain_timeout` (15 s)."""
LOOK_INTERVAL = 0.1
"""Seconds between two looks whether it has."""

CheckpointFile = Annotated[Path | None, typer.Option("--checkpoint", help="Default: PLAN.checkpoint.")]


@dataclass(frozen=True, kw_only=True)
class ReplayState:
    """What the files beside a plan say."""

    plan_file: Path
    path: Path
    planned: int
    checkpoint: Checkpoint
    cancelled: Cancellation | None

    @classmethod
    def read(cls, plan_file: Path, path: Path | None) -> ReplayState:
        """Raises CommandError, ReplayError."""
        plan, where = loaded_plan(plan_file), path or checkpoint_of(plan_file)
        found = _checkpoint(where)
        if found.plan != plan.fingerprint:
            raise CommandError(f"{where} belongs to another plan than {plan_file}", code=ExitCode.REFUSED)
        note = None if found.finished else find_cancellation(where, replay_id=found.replay_id)
        if note is not None and note.ended_at is not None:
            found = _checkpoint(where)  # a run writes its last one before it notes its end: the first may be older
        return cls(plan_file=plan_file, path=where, planned=plan.events, checkpoint=found, cancelled=note)

    @property
    def data(self) -> dict[str, object]:
        """The state as JSON has it."""
        found = self.checkpoint
        return {
            "replay_id": found.replay_id,
            "target": found.target,
            "planned": self.planned,
            "handled": found.handled,
            "unreadable": found.unreadable,
            "finished": found.finished,
            "cancelled": self.cancelled,
            "next_offsets": [{"partition": each, "offset": offset} for each, offset in found.next_offsets.items()],
        }

    @property
    def text(self) -> str:
        """How far it is, on one line."""
        found, done = self.checkpoint, self.checkpoint.handled + self.checkpoint.unreadable
        share = f" ({done / self.planned:.0%})" if self.planned else ""
        note = self.cancelled
        ending = "" if note is None else f", cancelled by {note.requested_by} at {moment(note.requested_at)}"
        return f"replay {found.replay_id} to a {found.target}: {done:,} of {self.planned:,}{share}{ending}"

    @property
    def advice(self) -> str | None:
        """What can be done."""
        if self.checkpoint.finished:
            return None
        if self.cancelled is None:
            return f"if it does not run: rustok-iggy replay run {self.plan_file} … --resume"
        ended = "" if self.cancelled.ended_at else "a run that is under way ends at its next look; "
        return f"{ended}to go on: rustok-iggy replay cancel {self.plan_file} --undo, then run … --resume"


def _checkpoint(path: Path) -> Checkpoint:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Checkpoint)
    except FileNotFoundError:
        raise CommandError(
            f"there is no checkpoint {path}: it was not run, or with another one", code=ExitCode.NOT_FOUND
        ) from None
    except (OSError, msgspec.DecodeError) as error:
        raise CommandError(f"{path} cannot be read: {error}", code=ExitCode.REFUSED) from None


async def status(desk: AtDesk, *, file: PlanFile, checkpoint: CheckpointFile = None) -> None:
    """Show how far a replay is, by its checkpoint. Asks no server."""
    state = ReplayState.read(file, checkpoint)
    mark = "ok" if state.checkpoint.finished else "note" if state.cancelled is None else "warning"
    desk.show(state.data, marked(mark, state.text, state.advice))


async def cancel(
    desk: AtDesk,
    *,
    file: PlanFile,
    checkpoint: CheckpointFile = None,
    by: By,
    wait: Annotated[
        float, typer.Option("--wait", min=0, help="Seconds to wait for it to end; 0: do not.")
    ] = CANCEL_WAIT,
    undo: Annotated[bool, typer.Option("--undo", help="Withdraw it: --resume may go on.")] = False,
) -> ExitCode:
    """End a replay that runs in another process on this machine, at a checkpoint; --resume is refused until --undo.

    What its handlers have under way is finished, nothing more is begun. Exit code 8: no run has said so in time; one
    that hangs ends when it looks, and when none runs the replay is cancelled all the same.
    """
    state = ReplayState.read(file, checkpoint)
    if undo:
        withdraw_cancellation(state.path)
        state = ReplayState.read(file, checkpoint)
        desk.show(state.data, marked("ok", state.text, state.advice))
        return ExitCode.DONE
    if state.cancelled is None:
        _require_unfinished(state)
        request_cancellation(state.path, replay_id=state.checkpoint.replay_id, by=by, at=datetime.now(UTC))
    state = await _ended(file, checkpoint, wait)
    _require_unfinished(state)
    has_ended = state.cancelled is not None and state.cancelled.ended_at is not None
    desk.show(state.data, marked("ok" if has_ended else "warning", state.text, state.advice))
    return ExitCode.DONE if has_ended else ExitCode.UNFINISHED


async def _ended(file: Path, checkpoint: Path | None, wait: float) -> ReplayState:
    """Return the state as soon as the run has ended, or when the time is over."""
    ends_at = time.monotonic() + wait
    while True:
        state = ReplayState.read(file, checkpoint)
        if state.cancelled is None or state.cancelled.ended_at is not None or time.monotonic() >= ends_at:
            return state
        await asyncio.sleep(LOOK_INTERVAL)


def _require_unfinished(state: ReplayState) -> None:
    if state.checkpoint.finished:
        withdraw_cancellation(state.path)
        raise CommandError(f"{state.text}: it is finished, nothing is left to cancel", code=ExitCode.REFUSED)


def register() -> None:
    """Add the commands to those that plan and run."""
    command(app, "status")(status)
    command(app, "cancel")(cancel)
