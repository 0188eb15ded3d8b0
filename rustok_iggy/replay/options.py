"""How a replay is run."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from rustok_iggy.consumer.failure import Retry
from rustok_iggy.errors import ReplayError


class Undecodable(StrEnum):
    """What to do with an event that cannot be decoded."""

    STOP = "stop"
    SKIP = "skip"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTarget:
    """A file of JSON lines: one envelope a line, as JsonSerializer writes it, in the plan's order."""

    path: Path


def to_file(path: str | Path) -> FileTarget:
    """Return a target that writes the events to a file, as JSON lines."""
    return FileTarget(path=Path(path))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions:
    """Limits of one run. Times in seconds. Raises ReplayError."""

    rate: float | None = None
    """Events a second at most."""
    max_concurrency: int = 16
    """Handlers side by side, each for another tenant."""
    retry: Retry = field(default_factory=lambda: Retry(attempts=1))
    """How often a failing handler is tried before the replay stops."""
    handler_timeout: float | None = None
    """For an `async def` handler; None: as configured for consumers, 0: none."""
    undecodable: Undecodable | str = Undecodable.STOP
    """stop (default), or skip: such events are counted and passed over."""
    checkpoint: Path | str | None = None
    """File that notes how far it got. Without one, a run that was cut short begins anew."""
    resume: bool = False
    """Go on from the checkpoint if there is one."""
    interval: float = 1.0
    """Between two checkpoints, and between two calls of `on_progress`."""

    def __post_init__(self) -> None:
        problems = []
        if self.rate is not None and not self.rate > 0:
            problems.append("rate: must be above 0")
        if not self.interval > 0:
            problems.append("interval: must be above 0")
        if self.max_concurrency < 1:
            problems.append("max_concurrency: must be at least 1")
        if self.handler_timeout is not None and self.handler_timeout < 0:
            problems.append("handler_timeout: must not be negative")
        if self.undecodable not in set(Undecodable):
            problems.append(f"undecodable: {self.undecodable!r} is none of {', '.join(Undecodable)}")
        if self.resume and self.checkpoint is None:
            problems.append("resume: needs a checkpoint to go on from")
        if problems:
            raise ReplayError("; ".join(problems))
