"""How the transport is: three states, each with its reasons. Made from what is known already, never by asking."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class HealthStatus(StrEnum):
    """From good to bad."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """It works, and somebody should look."""
    UNHEALTHY = "unhealthy"
    """Events cannot be published or are not handled."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentHealth:
    """One part of the transport; `reasons` say why it is not healthy."""

    status: HealthStatus
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """The transport as a whole, and its parts: server, publishing, consuming.

    `durability` is what an acknowledgement means, per topic: persisted, replicated, or unknown when the server does
    not say.
    """

    components: Mapping[str, ComponentHealth]
    engine: str | None
    durability: Mapping[str, str]
    stalled: tuple[str, ...] = ()
    """Why nothing moves any more and only a restart helps: a consumer, or all its handlers, hang for minutes."""

    @property
    def is_live(self) -> bool:
        """Liveness: loop and lanes move."""
        return not self.stalled

    @property
    def is_ready(self) -> bool:
        """Readiness: connected, assigned or idle by design, not stuck, lag under `max_lag`. Degraded is ready."""
        return self.is_live and self.status is not HealthStatus.UNHEALTHY

    @property
    def status(self) -> HealthStatus:
        """That of the worst part."""
        present = {component.status for component in self.components.values()}
        return max(present, key=tuple(HealthStatus).index, default=HealthStatus.HEALTHY)

    @property
    def reasons(self) -> tuple[str, ...]:
        """All reasons, each with its part."""
        return tuple(f"{name}: {reason}" for name, part in self.components.items() for reason in part.reasons)

    @property
    def is_healthy(self) -> bool:
        return self.status is HealthStatus.HEALTHY


def component(*, degraded: tuple[str, ...] = (), unhealthy: tuple[str, ...] = ()) -> ComponentHealth:
    """Return a part's health from what is wrong with it."""
    if unhealthy:
        return ComponentHealth(status=HealthStatus.UNHEALTHY, reasons=(*unhealthy, *degraded))
    return ComponentHealth(status=HealthStatus.DEGRADED if degraded else HealthStatus.HEALTHY, reasons=degraded)
