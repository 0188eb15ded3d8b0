"""The circuit breaker of one member: when everything fails, the cause is not the events. Decides only.

While it is open no delivery begins, except one probe at a time; the first that succeeds closes it.
Source of the numbers: delivery.md §3.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

FAILURES_IN_A_ROW = 10
FAILING_TENANTS = 3
"""Fewer tenants may be ill by themselves."""
LAST_OUTCOMES = 100
FIRST_PAUSE = 1.0
"""Seconds until the first probe: a restarted database is back in a few."""
LONGEST_PAUSE = 30.0


class CircuitBreaker:
    """Told of every outcome, asked before every delivery. Times in seconds of any one clock."""

    def __init__(self) -> None:
        self._in_a_row = 0
        self._tenants: set[Hashable] = set()
        self._outcomes: deque[bool] = deque(maxlen=LAST_OUTCOMES)
        self._failed = 0
        self._pause = 0.0
        self._probing = False
        self.probe_at: float | None = None
        """When the next probe may begin; None while it is closed."""

    @property
    def is_open(self) -> bool:
        return self.probe_at is not None

    def waits(self, now: float) -> bool:
        """Whether no delivery may begin: it is open, and its probe runs or is not due."""
        return self.probe_at is not None and (self._probing or now < self.probe_at)

    def may_begin(self, now: float) -> bool:
        """Whether a delivery may begin; while it is open, True makes that delivery the probe."""
        if self.waits(now):
            return False
        self._probing = self.probe_at is not None
        return True

    def succeeded(self) -> None:
        """A delivery was handled."""
        if self.probe_at is not None:
            self._close()
        if self._in_a_row:
            self._in_a_row = 0
            self._tenants.clear()
        if self._failed:  # of successes alone nothing has to be remembered: each failure is followed by what came since
            self._note(failed=False)

    def failed(self, tenant: Hashable, now: float) -> None:
        """A delivery failed."""
        if self.probe_at is not None:
            if self._probing:
                self._open(now)
            return
        self._in_a_row += 1
        if len(self._tenants) < FAILING_TENANTS:
            self._tenants.add(tenant)
        self._note(failed=True)
        many = self._in_a_row >= FAILURES_IN_A_ROW and len(self._tenants) >= FAILING_TENANTS
        if many or self._failed * 2 > LAST_OUTCOMES:
            self._open(now)

    def given_up(self) -> None:
        """A delivery ended without an outcome; if it was the probe, another one may begin."""
        self._probing = False

    def _note(self, *, failed: bool) -> None:
        outcomes = self._outcomes
        if len(outcomes) == LAST_OUTCOMES:
            self._failed -= outcomes[0]
        outcomes.append(failed)
        self._failed += failed

    def _open(self, now: float) -> None:
        self._pause = min(LONGEST_PAUSE, self._pause * 2 or FIRST_PAUSE)
        self.probe_at = now + self._pause
        self._probing = False

    def _close(self) -> None:
        self.probe_at, self._pause, self._probing = None, 0.0, False
        self._outcomes.clear()
        self._failed = 0
