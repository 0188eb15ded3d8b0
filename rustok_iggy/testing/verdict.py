"""What check_handler() found out about a handler."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Trial(StrEnum):
    """What a handler is put through."""

    UNDISTURBED = "undisturbed"
    """Each event once. Nothing else is tried when this fails."""
    REDELIVERY = "redelivery"
    """Each event twice in a row: the process ended between the effect and its commit."""
    CANCELLATION = "cancellation"
    """Cancelled at each place where it waits, then run again: its partition was lost, or its time was over."""
    HAND_OVER = "hand-over"
    """All events once more in another process, from the last commit: the first process was killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialResult:
    """How one trial went: `reasons` say what is wrong, `note` what was not looked at."""

    trial: Trial
    reasons: tuple[str, ...] = ()
    note: str | None = None

    @property
    def passed(self) -> bool:
        return not self.reasons


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerVerdict:
    """Whether a handler survives what at-least-once delivery does to it, trial by trial. str() is for people."""

    handler: str
    results: tuple[TrialResult, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return all(each.passed for each in self.results)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Everything that is wrong, each with its trial."""
        return tuple(f"{each.trial}: {reason}" for each in self.results for reason in each.reasons)

    def raise_for_failures(self) -> None:
        """Raise AssertionError with the whole verdict unless the handler passed."""
        if not self.passed:
            raise AssertionError(str(self))

    def __str__(self) -> str:
        lines = [f"{self.handler}: {'passed' if self.passed else 'failed'}"]
        for each in self.results:
            lines.append(
                f"  {each.trial}: {'passed' if each.passed else 'failed'}{f' ({each.note})' if each.note else ''}"
            )
            lines += [f"    {reason}" for reason in each.reasons]
        return "\n".join(lines)
