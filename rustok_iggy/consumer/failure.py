"""What a failed delivery leads to: the policies, their retries, and one pure decision.

A policy says what happens when the retries are used up. Another one is a class here and a row in `_EXHAUSTED`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from rustok_iggy.dead_letters.records import Cause
from rustok_iggy.errors import ConfigError, Reject, RetryLater

MAX_DOUBLINGS = 64
"""2**64 times any delay is above any longest delay; more would only be large numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often and when a failed delivery is run again. Times in seconds.

    The delay after attempt n is `delay` · 2ⁿ⁻¹, at most `max_delay`, lengthened by up to its `jitter` share: never
    shortened, so that a delay is what it says. Exceptions of `fatal` classes are not retried. Nothing is retried
    once `max_elapsed` seconds have passed since the first failure (None: whatever time it takes). Raises ConfigError.
    """

    attempts: int = 5
    delay: float = 0.2
    max_delay: float = 30.0
    max_elapsed: float | None = None
    jitter: float = 0.25
    fatal: tuple[type[Exception], ...] = ()

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise ConfigError(problems)

    def _problems(self) -> Iterator[str]:
        if type(self.attempts) is not int or self.attempts < 1:
            yield f"Retry.attempts: {self.attempts!r} is no whole number of at least 1, the first one included"
        seconds = {name: getattr(self, name) for name in ("delay", "max_delay", "jitter", "max_elapsed")}
        if self.max_elapsed is None:
            del seconds["max_elapsed"]
        wrong = [name for name, value in seconds.items() if type(value) not in (int, float) or not value >= 0]
        yield from (f"Retry.{name}: {seconds[name]!r} is no number of at least 0" for name in wrong)
        if not wrong and self.max_delay < self.delay:
            yield "Retry.max_delay: is below delay"
        fatal: object = self.fatal
        if not isinstance(fatal, tuple) or not all(
            isinstance(each, type) and issubclass(each, Exception) for each in fatal
        ):
            yield "Retry.fatal: is no tuple of exception classes, such as fatal=(LookupError,)"

    def delay_after(self, failures: int, chance: float) -> float:
        """Seconds until the next attempt after so many failures; `chance` in 0…1 places it within the jitter."""
        planned: float = min(self.max_delay, self.delay * 2 ** min(failures - 1, MAX_DOUBLINGS))
        return planned * (1 + self.jitter * chance)

    def longest_delay(self, chance: float) -> float:
        """Seconds between attempts that go on for ever."""
        return self.max_delay * (1 + self.jitter * chance)

    def is_left(self, error: Exception, *, failures: int, elapsed: float) -> bool:
        """Whether there is another attempt after so many failures."""
        if isinstance(error, (Reject, *self.fatal)) or failures >= self.attempts:
            return False
        return self.max_elapsed is None or elapsed <= self.max_elapsed


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkTenant:
    """Keep the event as a dead letter, and every later event of its tenant behind it, in order; others go on."""

    retry: Retry = field(default_factory=Retry)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """Keep the event as a dead letter; its tenant goes on without it, so that its order is broken there."""

    retry: Retry = field(default_factory=Retry)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Go on retrying at the longest delay: the tenant waits, the others go on until `max_ahead`."""

    retry: Retry = field(default_factory=Retry)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """Stop the subscription with the handler's error; by default at the first failure."""

    retry: Retry = field(default_factory=lambda: Retry(attempts=1))


FailurePolicy = ParkTenant | DeadLetter | Block | Stop


class Outcome(StrEnum):
    """What becomes of a failed delivery."""

    AGAIN = "again"
    LETTER = "letter"
    STOP = "stop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What to do, for AGAIN after how many seconds, for LETTER why and whether it parks the tenant."""

    outcome: Outcome
    delay: float = 0.0
    cause: Cause = Cause.FAILED
    parks: bool = False


_EXHAUSTED: dict[type, Outcome] = {
    ParkTenant: Outcome.LETTER,
    DeadLetter: Outcome.LETTER,
    Block: Outcome.AGAIN,
    Stop: Outcome.STOP,
}
"""delivery.md §3: policy → what happens when the retries are used up; again means at the longest delay."""
_HOPELESS: dict[type, Outcome] = {**_EXHAUSTED, Block: Outcome.LETTER}
"""The same for an event that no retry can mend, rejected or unreadable: to block for it would be for ever."""
_PARKING = (ParkTenant, Block)
"""Policies that keep a tenant's order: the events after its letter follow it."""


def is_watched(policy: FailurePolicy) -> bool:
    """Whether the breaker counts its failures: Stop ends at the first that matters."""
    return not isinstance(policy, Stop)


def decide(
    policy: FailurePolicy,
    error: Exception,
    *,
    failures: int,
    elapsed: float,
    chance: float,
    unreadable: bool = False,
    redriven: bool = False,
) -> Decision:
    """Say what a failure leads to.

    `failures` counts this one, without RetryLater; `elapsed` is seconds since the first; `chance` in 0…1 is for jitter.
    `unreadable`: the event could not be decoded. `redriven`: it is a dead letter already, and stays one.
    """
    if isinstance(error, RetryLater) and not unreadable:
        return Decision(outcome=Outcome.AGAIN, delay=error.delay)
    cause = Cause.UNDECODABLE if unreadable else Cause.REJECTED if isinstance(error, Reject) else Cause.FAILED
    if cause is Cause.FAILED and policy.retry.is_left(error, failures=failures, elapsed=elapsed):
        return Decision(outcome=Outcome.AGAIN, delay=policy.retry.delay_after(failures, chance))
    if redriven:
        return Decision(outcome=Outcome.LETTER, cause=cause)
    outcome = (_EXHAUSTED if cause is Cause.FAILED else _HOPELESS)[type(policy)]
    if outcome is not Outcome.LETTER:
        return Decision(outcome=outcome, delay=policy.retry.longest_delay(chance))
    parks = isinstance(policy, _PARKING) and not (isinstance(error, Reject) and not error.park)
    return Decision(outcome=outcome, cause=cause, parks=parks)
