"""What is known about a batch after some tries: whether it may be stored, how long to wait, what to tell the callers.

Decides only; producer.py sends.
"""

from __future__ import annotations

from rustok_iggy.publish_queue import PublishFailure, PublishStatus
from rustok_iggy_connector import ConnectionLostError, ConnectorError, RequestTimeoutError

FIRST_RETRY_DELAY = 0.05
LONGEST_RETRY_DELAY = 1.0
"""Seconds; a server that restarts is back within one or two."""


class GaveUp(Exception):  # noqa: N818 - a signal to the sender, never seen by callers
    """The batch is not tried again; `failure` is what to tell those who wait for it."""

    def __init__(self, failure: PublishFailure) -> None:
        self.failure = failure
        super().__init__(failure.status)


class PublishAttempt:
    """What is known about a batch after some tries. A try that was cancelled leaves `under_way` set."""

    __slots__ = ("delay", "error", "is_first", "under_way", "unknown")

    def __init__(self) -> None:
        self.delay = FIRST_RETRY_DELAY / 2
        self.error: ConnectorError | None = None
        self.is_first = True
        self.unknown = False
        self.under_way = False

    def begin(self) -> None:
        self.is_first = False
        self.under_way = True

    def failed(self, error: ConnectorError) -> None:
        self.under_way = False
        self.error = error
        self.unknown = self.unknown or error.outcome_unknown
        self.delay = min(self.delay * 2, LONGEST_RETRY_DELAY)

    def require_retryable(self, timeout: float) -> None:
        """Raise GaveUp when the server refused for good."""
        if self.error is not None and not self.error.retryable:
            raise GaveUp(self.failure(timeout)) from self.error

    def failure(self, timeout: float) -> PublishFailure:
        """Return what to tell the callers: the last error, unless an earlier try may have been stored."""
        error = self.error
        if self.under_way or error is None:
            late = RequestTimeoutError(
                f"not confirmed within {timeout:g} s; it may be stored", command="publish", timeout=timeout
            )
            return PublishFailure(PublishStatus.UNKNOWN, late)
        if self.unknown and not error.outcome_unknown:
            lost = ConnectionLostError(f"an earlier try may have been stored; the last one failed: {error}")
            lost.__cause__ = error
            return PublishFailure(PublishStatus.UNKNOWN, lost)
        return PublishFailure(PublishStatus.UNKNOWN if self.unknown else PublishStatus.FAILED, error)
