"""How full the publish queue is, by events and by bytes. Counts only: publish_admission.py decides who enters."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from msgspec import Struct

from rustok_iggy.errors import ConfigError


class BackpressureState(StrEnum):
    """How full the queue is."""

    NORMAL = "normal"
    WARNING = "warning"
    """At or above `warning_threshold`: still taken, worth an alarm."""
    CRITICAL = "critical"
    """At or above `critical_threshold`: nothing is taken."""


class BackpressurePolicy(StrEnum):
    """What becomes of a publish when the queue is full."""

    REJECT = "reject"
    """BackpressureError at once."""
    WAIT = "wait"
    """It waits for room, in call order, within publish_timeout."""


class BackpressureConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of the publish queue; thresholds are shares of either bound (RusToK's defaults)."""

    max_queue_depth: int = 10_000
    """Events waiting or in flight; under `wait`, as many may wait outside of the queue."""
    max_queue_bytes: int = 64 * 1024 * 1024
    """Their payloads together: 10 000 events of 6 KiB, or sixty-four of the largest an event may be (1 MiB)."""
    warning_threshold: float = 0.7
    """From here on health is degraded."""
    critical_threshold: float = 0.9
    """From here on health is unhealthy and nothing more is taken."""
    policy: BackpressurePolicy = BackpressurePolicy.REJECT
    """When the queue is full: `reject` with BackpressureError, or `wait` for room within publish_timeout."""

    def problems(self, path: str) -> Iterator[str]:
        """Say what is wrong, each as `field: what`."""
        for name in ("max_queue_depth", "max_queue_bytes"):
            if getattr(self, name) < 1:
                yield f"{path}.{name}: must be at least 1"
        if not 0 < self.warning_threshold <= self.critical_threshold <= 1:
            yield f"{path}.warning_threshold, {path}.critical_threshold: 0 < warning ≤ critical ≤ 1"


class BackpressureController:
    """Counts what is queued and says whether more may be. For one event loop; not for several threads.

    `accepted`, `rejected` and `warnings` count events since the start; a warning is an event taken at or above the
    warning threshold. Raises ConfigError for a configuration that makes no sense.
    """

    def __init__(self, config: BackpressureConfig | None = None) -> None:
        self.config = config or BackpressureConfig()
        problems = list(self.config.problems("backpressure"))
        if problems:
            raise ConfigError(problems)
        depth, size = self.config.max_queue_depth, self.config.max_queue_bytes
        self._warning_depth = _least(self.config.warning_threshold, depth)
        self._warning_bytes = _least(self.config.warning_threshold, size)
        self._critical_depth = _least(self.config.critical_threshold, depth)
        self._critical_bytes = _least(self.config.critical_threshold, size)
        self.depth = 0
        self.queued_bytes = 0
        self.accepted = 0
        self.rejected = 0
        self.warnings = 0

    @property
    def fill(self) -> float:
        """How full: the larger of both shares, 1.0 = full."""
        return max(self.depth / self.config.max_queue_depth, self.queued_bytes / self.config.max_queue_bytes)

    @property
    def state(self) -> BackpressureState:
        """Normal, Warning or Critical."""
        if self.depth >= self._critical_depth or self.queued_bytes >= self._critical_bytes:
            return BackpressureState.CRITICAL
        is_warning = self.depth >= self._warning_depth or self.queued_bytes >= self._warning_bytes
        return BackpressureState.WARNING if is_warning else BackpressureState.NORMAL

    def fits(self, size: int, *, count: int = 1) -> bool:
        """Whether `count` events of `size` bytes together may be taken now: all of them, or none.

        An empty queue takes one event of any size, or a large one never could.
        """
        if self.depth == 0 and count == 1:
            return True
        return (
            self.depth < self._critical_depth
            and self.queued_bytes < self._critical_bytes
            and self.depth + count <= self.config.max_queue_depth
            and self.queued_bytes + size <= self.config.max_queue_bytes
        )

    def try_take(self, size: int, *, count: int = 1) -> bool:
        """Take places for events of `size` bytes together; False, and counted as rejected, when they do not fit.

        That includes what an empty queue has no room for.
        """
        if not self.fits(size, count=count):
            self.rejected += count
            return False
        self.take(size, count=count)
        return True

    def take(self, size: int, *, count: int = 1) -> None:
        """Take places that are known to be there."""
        self.depth += count
        self.queued_bytes += size
        self.accepted += count
        if self.depth >= self._warning_depth or self.queued_bytes >= self._warning_bytes:
            self.warnings += count

    def release(self, size: int, *, count: int = 1) -> None:
        """Give back the places of `count` events of `size` bytes together."""
        assert count <= self.depth, "more events released than taken"
        assert size <= self.queued_bytes, "more bytes released than taken"
        self.depth -= count
        self.queued_bytes -= size


def _least(share: float, whole: int) -> int:
    """The least number that is at least this share of the whole, by the division that `fill` makes too."""
    number = max(int(share * whole) - 1, 0)
    while number / whole < share:
        number += 1
    return number
