"""Whether publishing as a whole fails: nothing was confirmed for a while, though it was tried. Decides only."""

from __future__ import annotations

FAILING_AFTER = 10.0
"""Seconds without a success: a server that is started again, or a cluster with a new leader, is back sooner."""
FORGOTTEN_AFTER = 60.0
"""Seconds without an attempt after which failures say nothing any more. A process that is not ready may be asked for
nothing, and would never learn that it could publish again."""


class PublishOutage:
    """Since when every attempt has failed. Times are seconds of one clock that never goes back."""

    __slots__ = ("_error", "_last", "_since")

    def __init__(self) -> None:
        self._since: float | None = None
        self._last = 0.0
        self._error: Exception | None = None

    def failed(self, error: Exception, *, now: float) -> None:
        """An attempt has failed."""
        if self._since is None or now - self._last > FORGOTTEN_AFTER:
            self._since = now
        self._last, self._error = now, error

    def over(self) -> None:
        """An attempt has succeeded."""
        self._since = self._error = None

    def reason(self, *, now: float) -> str | None:
        """Say what is wrong; None when nothing is, or nobody knows."""
        if self._since is None or now - self._since < FAILING_AFTER or now - self._last > FORGOTTEN_AFTER:
            return None
        return f"nothing that was published for {now - self._since:.0f} s was confirmed: {self._error}"
