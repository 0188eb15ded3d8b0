"""Configuration of the transport: RusToK's keys and defaults, ours beside them. Where values come from: config_sources.

A value in a file is overridden by the environment, that by arguments. All problems are reported at once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from msgspec import Struct
from msgspec.structs import fields, force_setattr

from rustok_iggy import config_sources
from rustok_iggy.backpressure import BackpressureConfig
from rustok_iggy.errors import ConfigError
from rustok_iggy.serialization import SerializationFormat
from rustok_iggy_connector import (
    MAX_PARTITIONS,
    ConnectorConfig,
    ConnectorMode,
    Durability,
    EmbeddedConnectorConfig,
    RemoteConnectorConfig,
    get_logger,
    name_problem,
)

log = get_logger(__name__)

IggyMode = ConnectorMode
EmbeddedConfig = EmbeddedConnectorConfig
RemoteConfig = RemoteConnectorConfig

SERVER_REBALANCING_TIMEOUT = 30.0
"""Seconds after which the server moves a partition whose owner did not commit everything it polled [iggy 0.9]."""
LARGEST_EVENT_BYTES = 16 * 1024 * 1024
"""The largest `max_event_bytes`: sixteen of them fill a quarter of what one message of the server may have."""


class EventTransportKind(StrEnum):
    """`settings.rustok.events.transport`: which implementation of EventTransport the host builds."""

    IGGY = "iggy"
    MEMORY = "memory"


class TopologyConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The stream and its topics. The partition count of a topic cannot be changed: order per tenant hangs on it."""

    stream_name: str = "rustok"
    """One stream holds all topics; two applications on one server have two. Not only digits."""
    domain_partitions: int = 8
    """1 to 1000. As many processes can share the work; fixed when the topic is created."""
    system_partitions: int = 1
    """The same for topic system, which holds events whose type begins with `system.`."""
    replication_factor: int = 1
    """1 or the number of the cluster's nodes, which the server then uses by itself."""
    durability: Durability = Durability.PERSISTED
    """Fixed when a topic is created. `replicated` on one node loses acknowledged events when the server is killed."""

    def problems(self, path: str) -> Iterator[str]:
        if problem := name_problem(self.stream_name):
            yield f"{path}.stream_name: {problem}"
        for part in ("domain_partitions", "system_partitions"):
            if not 1 <= getattr(self, part) <= MAX_PARTITIONS:
                yield f"{path}.{part}: {getattr(self, part)} is not between 1 and {MAX_PARTITIONS}"


class RetentionConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long events are kept. 0 keeps them without limit. A GB is 2**30 bytes."""

    domain_max_age_days: float = 30
    """Of topic domain."""
    domain_max_size_gb: float = 10
    """Of topic domain, all partitions together; the oldest events go first."""
    system_max_age_days: float = 7
    """Of topic system."""
    dlq_max_age_days: float = 365
    """Of topic dlq; letters that are open are kept longer."""

    def problems(self, path: str) -> Iterator[str]:
        for field in fields(type(self)):
            if not getattr(self, field.name) >= 0:
                yield f"{path}.{field.name}: is negative; 0 keeps events without limit"


class ConsumerConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How group members poll, handle and commit. Times in seconds."""

    heartbeat_interval: float = 1.0
    """Between two questions to the server what this member owns."""
    commit_every: int = 500
    """Events after which the offset is stored; a crash repeats those above it, also those done past a waiting one."""
    commit_interval: float = 0.5
    """The same as time."""
    max_prefetch: int = 500
    """Events polled ahead of the handler in one partition; a hand-over waits for them."""
    max_idle_delay: float = 0.1
    """Longest pause between two polls of an empty partition."""
    drain_timeout: float = 15.0
    """For running handlers to end, on close and on hand-over; then they are cancelled."""
    takeover_timeout: float = 3.0
    """For the handlers of a partition's owner before to end, when it did not say that they have."""
    handler_threads: int = 8
    """For handlers that are not `async def`."""
    max_concurrency: int = 16
    """Handlers of one group and topic that run side by side in this process, each for another tenant."""
    max_ahead: int = 10_000
    """Events of a partition that may be read above what is stored; then it pauses. After a crash so many come again."""
    max_ahead_bytes: int = 64 * 1024 * 1024
    """The same in bytes."""
    handler_timeout: float = 300.0
    """After which an `async def` handler is cancelled and its delivery has failed; 0: never."""
    slow_handler_after: float = 10.0
    """After which a running handler is logged, once a delivery."""
    stuck_after: float = 60.0
    """After which a running handler makes health unhealthy; waiting for a retry does not count."""
    max_lag: int = 0
    """Events that one of this process's partitions may be behind before health is unhealthy; 0: any number."""
    lag_interval: float = 15.0
    """Between two questions to the server how far the groups are behind, for health and metrics."""

    def problems(self, path: str) -> Iterator[str]:
        times = (
            *("heartbeat_interval", "commit_interval", "max_idle_delay", "drain_timeout"),
            *("slow_handler_after", "stuck_after", "takeover_timeout", "lag_interval"),
        )
        yield from (f"{path}.{name}: must be above 0" for name in times if not getattr(self, name) > 0)
        counts = ("commit_every", "max_prefetch", "handler_threads", "max_concurrency", "max_ahead", "max_ahead_bytes")
        yield from (f"{path}.{name}: must be at least 1" for name in counts if getattr(self, name) < 1)
        for name in ("handler_timeout", "max_lag"):
            if not getattr(self, name) >= 0:
                yield f"{path}.{name}: is negative; 0 means no limit"
        if self.drain_timeout + 2 * self.heartbeat_interval >= SERVER_REBALANCING_TIMEOUT:
            yield (
                f"{path}.drain_timeout: with two heartbeats it must be below the {SERVER_REBALANCING_TIMEOUT:g} s"
                " after which the server takes a partition away"
            )


class IggyConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything an IggyTransport needs. Strings are taken for enums and plain dicts for the parts."""

    mode: ConnectorMode = ConnectorMode.EMBEDDED
    """Where the server is: `embedded` starts one or attaches to it, `remote` reaches one, `memory` keeps nothing."""
    transport: EventTransportKind = EventTransportKind.IGGY
    """What RUSTOK_EVENT_TRANSPORT says; `memory` sets the mode to memory. RusToK's `outbox` is not in this version."""
    serialization: SerializationFormat = SerializationFormat.JSON
    """How events are written; what is there already is read in either format."""
    embedded: EmbeddedConnectorConfig = EmbeddedConnectorConfig()
    """For mode embedded."""
    remote: RemoteConnectorConfig = RemoteConnectorConfig()
    """For mode remote."""
    topology: TopologyConfig = TopologyConfig()
    """The stream and its topics."""
    retention: RetentionConfig = RetentionConfig()
    """How long events are kept."""
    consumer: ConsumerConfig = ConsumerConfig()
    """How group members poll, handle and commit."""
    backpressure: BackpressureConfig = BackpressureConfig()
    """How much may wait to be published, and what happens then."""
    publish_timeout: float = 30.0
    """Seconds from publish() to its confirmation, queueing and all retries included."""
    max_event_bytes: int = 1024 * 1024
    """Of one encoded event."""
    close_timeout: float = 10.0
    """Seconds for queued publishes when the transport closes; then they fail."""

    def __post_init__(self) -> None:
        problems: list[str] = []
        for field in fields(type(self)):
            value = config_sources.converted(getattr(self, field.name), field.type, field.name, problems)
            if not problems:
                force_setattr(self, field.name, value)
        if problems:
            raise ConfigError(problems)

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        profile: str | None = None,
        environment: Mapping[str, str] = os.environ,
        **arguments: Any,
    ) -> Self:
        """Read a YAML or TOML file, the environment over it, `arguments` over that, and validate the whole.

        The file has the keys at the top, or under settings.rustok.events.iggy. With a `profile` (or RUSTOK_ENV), the
        file `<profile>` with the same ending in the same folder, such as production.yaml, lies over it. `${NAME}` in a
        file is replaced from the environment; `$${` stands for `${`. RUSTOK_IGGY__REMOTE__ADDRESSES=a:1,b:2 sets
        remote.addresses, and so on. Raises ConfigError with every problem found.
        """
        problems: list[str] = []
        values = config_sources.gather(
            path, profile=profile, environment=environment, arguments=arguments, problems=problems
        )
        found = config_sources.fields_of(cls, values, "", problems)
        config = cls(**found) if not problems else None
        if config is None:
            # What is well-formed is checked as well, so that one run shows everything.
            problems += cls(**{name: value for name, value in found.items() if value is not None}).problems()
            raise ConfigError(problems)
        config.validate()
        embedded = values.get("embedded")
        if isinstance(embedded, dict) and "http_port" in embedded:
            log.info("http_port_ignored", advice="the embedded server has no HTTP; remove embedded.http_port")
        return config

    def validate(self) -> None:
        """Raise ConfigError with every problem of the parts that the mode uses."""
        problems = list(self.problems())
        if problems:
            raise ConfigError(problems)

    def problems(self) -> Iterator[str]:
        yield from self.connector.problems()
        yield from self.topology.problems("topology")
        yield from self.retention.problems("retention")
        yield from self.consumer.problems("consumer")
        yield from self.backpressure.problems("backpressure")
        yield from self._replication_problems()
        yield from (
            f"{name}: must be above 0" for name in ("publish_timeout", "close_timeout") if not getattr(self, name) > 0
        )
        if not 1 <= self.max_event_bytes <= LARGEST_EVENT_BYTES:
            yield f"max_event_bytes: {self.max_event_bytes} is not between 1 and {LARGEST_EVENT_BYTES}"
        elif self.max_event_bytes > self.backpressure.max_queue_bytes > 0:
            yield "backpressure.max_queue_bytes: is less than max_event_bytes, one event of that size"

    @property
    def connector(self) -> ConnectorConfig:
        """The connector's part; `transport: memory` needs no server."""
        mode = ConnectorMode.MEMORY if self.transport is EventTransportKind.MEMORY else self.mode
        return ConnectorConfig(mode=mode, embedded=self.embedded, remote=self.remote)

    def _replication_problems(self) -> Iterator[str]:
        factor = self.topology.replication_factor
        if factor < 1:
            yield f"topology.replication_factor: {factor} is below 1; 1 leaves it to the server"
        elif factor > 1 and self.connector.mode is not ConnectorMode.REMOTE:
            yield (
                f"topology.replication_factor: {factor}, but mode {self.connector.mode} has one node: set it to 1, or"
                " mode to remote; how many nodes a cluster has is asked of it when the transport opens"
            )
