"""How full the publish queue is, by events and by bytes. Counts only: what to do about it is the producer's matter."""

from __future__ import annotations

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


class BackpressureConfig(Struct, frozen=True, kw_only=True):
    """Bounds of the publish queue; thresholds are shares of either bound (RusToK's defaults)."""

    max_queue_depth: int = 10_000
    """Events waiting or in flight."""
    max_queue_bytes: int = 64 * 1024 * 1024
    """Their payloads together: 10 000 events of 6 KiB, or sixty-four of the largest an event may be (1 MiB)."""
    warning_threshold: float = 0.7
    critical_threshold: float = 0.9

    def __post_init__(self) -> None:
        problems = [
            f"{name}: must be at least 1" for name in ("max_queue_depth", "max_queue_bytes") if getattr(self, name) < 1
        ]
        if not 0 < self.warning_threshold <= self.critical_threshold <= 1:
            problems.append("warning_threshold, critical_threshold: 0 < warning ≤ critical ≤ 1")
        if problems:
            raise ConfigError(problems)


class BackpressureController:
    """Counts what is queued and says whether one more may be. For one event loop; not for several threads.

    `accepted`, `rejected` and `warnings` count events since the start; a warning is an event taken at or above the
    warning threshold.
    """

    def __init__(self, config: BackpressureConfig | None = None) -> None:
        self.config = config or BackpressureConfig()
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
        fill = self.fill
        if fill >= self.config.critical_threshold:
            return BackpressureState.CRITICAL
        return BackpressureState.WARNING if fill >= self.config.warning_threshold else BackpressureState.NORMAL

    def fits(self, size: int) -> bool:
        """Whether an event of `size` bytes may be taken now. An empty queue takes any, or a large one never could."""
        if self.depth == 0:
            return True
        return self.fill < self.config.critical_threshold and self.queued_bytes + size <= self.config.max_queue_bytes

    def try_take(self, size: int) -> bool:
        """Take a place for an event of `size` bytes; False, and counted as rejected, when there is none."""
        if not self.fits(size):
            self.rejected += 1
            return False
        self.depth += 1
        self.queued_bytes += size
        self.accepted += 1
        if self.fill >= self.config.warning_threshold:
            self.warnings += 1
        return True

    def release(self, size: int, *, count: int = 1) -> None:
        """Give back the places of `count` events of `size` bytes together."""
        assert count <= self.depth, "more events released than taken"
        assert size <= self.queued_bytes, "more bytes released than taken"
        self.depth -= count
        self.queued_bytes -= size
