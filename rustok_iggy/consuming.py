"""What a transport consumes, from run to run: its subscriptions, what is paused, what was counted, how it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from uuid import UUID

from rustok_iggy.config import ConsumerConfig
from rustok_iggy.consumer.consumption import Consumption
from rustok_iggy.consumer.delivery import EnvelopeReader
from rustok_iggy.consumer.group_statistics import GroupStanding, GroupStatistics
from rustok_iggy.consumer.lag_watch import LagWatch
from rustok_iggy.consumer.liveness import behind
from rustok_iggy.consumer.own_journals import OwnJournals
from rustok_iggy.consumer.statistics import GroupLedger
from rustok_iggy.consumer.subscription import Handler, Ordering, Replaying, Subscription, check_together
from rustok_iggy.errors import ConfigError, ConsumerError
from rustok_iggy.health import ComponentHealth, component
from rustok_iggy.tracing.contract import Tracing
from rustok_iggy_connector import ConnectionLostError, IggyConnector, NotFoundError, get_logger

log = get_logger(__name__)


class Consuming:
    """The consuming half of a transport. For one event loop. `clock` gives seconds that never go back."""

    def __init__(
        self,
        connector: IggyConnector,
        *,
        stream: str,
        reader: EnvelopeReader,
        config: ConsumerConfig,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connector = connector
        self._stream = stream
        self._reader = reader
        self._config = config
        self._clock = clock
        self._subscriptions: list[Subscription] = []
        self.consumption: Consumption | None = None
        """The run under way."""
        self._lags: LagWatch | None = None
        self._ledger = GroupLedger()
        self._failure: Exception | None = None
        self._stop = asyncio.Event()
        self._over = asyncio.Event()

    def add(self, group: str, subscriptions: Iterable[Subscription]) -> None:
        """Subscribe. Raises ConfigError."""
        if self.consumption is not None:
            raise ConfigError([f"subscribe(group={group!r}): subscribe before run() or consuming()"])
        added = tuple(subscriptions)
        check_together(self._subscriptions, added)
        self._subscriptions += added

    def acknowledge(self, event_id: UUID) -> None:
        """See EventTransport.acknowledge."""
        if self.consumption is None:
            raise ConsumerError("nothing is being consumed; call acknowledge() while run() or consuming() is entered")
        self.consumption.acknowledge(event_id)

    def pause(self, group: str, tenant_id: UUID | None) -> None:
        """See EventTransport.pause."""
        self._require_pausable(group, tenant_id)
        if tenant_id is None:
            self._ledger.pauses[group].everything = True
        else:
            self._ledger.pauses[group].tenants.add(tenant_id)
        if self.consumption is not None:
            for member in self.consumption.members_of(group):
                member.pause(tenant_id)

    def resume(self, group: str, tenant_id: UUID | None) -> None:
        """See EventTransport.resume."""
        self._require_pausable(group, tenant_id)
        if tenant_id is None:
            self._ledger.pauses[group].everything = False
        else:
            self._ledger.pauses[group].tenants.discard(tenant_id)
        if self.consumption is not None:
            for member in self.consumption.members_of(group):
                member.resume(tenant_id)

    def is_replay_forbidden(self, handler: Handler) -> bool:
        """Whether a handler was subscribed with replay="forbidden"."""
        return any(each.handler == handler and each.replay is Replaying.FORBIDDEN for each in self._subscriptions)

    async def lag(self, group: str, topic: str) -> Mapping[int, int]:
        """Ask the server: see EventTransport.lag."""
        try:
            return await self._lag(group, topic)
        except ConnectionLostError:  # nothing was asked since the server went and came back
            return await self._lag(group, topic)

    def require_consumable(self) -> None:
        """Raise ConfigError when there is nothing to consume, or it is consumed already."""
        if self.consumption is not None:
            raise ConfigError(["run(): the transport is consuming already"])
        if not self._subscriptions:
            raise ConfigError(["run(): nothing is subscribed; use @transport.subscribe(group=...)"])

    async def run(self, stop: asyncio.Event, *, journals: OwnJournals, tracing: Tracing | None) -> None:
        """Consume until `stop`, or end(); see Consumption.run."""
        self.require_consumable()
        self._stop = stop
        self._over.clear()
        consumption = self.consumption = Consumption(
            self._connector,
            self._subscriptions,
            stream=self._stream,
            journals=journals,
            reader=self._reader,
            config=self._config,
            ledger=self._ledger,
            tracing=tracing,
        )
        self._failure = None
        lags = self._lags = LagWatch(self.lag, self._groups(), interval=self._config.lag_interval, clock=self._clock)
        watching = asyncio.create_task(lags.run(), name="watch lag")
        try:
            await consumption.run(stop)
        except Exception as error:
            self._failure = error
            raise
        finally:
            self.consumption = self._lags = None
            watching.cancel()
            self._over.set()

    async def end(self, *, timeout: float) -> None:
        """End the run under way, if there is one, as its `stop` does; wait for that for `timeout` seconds."""
        if self.consumption is None:
            return
        self._stop.set()
        try:
            async with asyncio.timeout(timeout):
                await self._over.wait()
        except TimeoutError:
            log.warning("closed_while_consuming", waited=timeout)

    def groups(self) -> tuple[GroupStatistics, ...]:
        """What is known of each group and topic, in the order of subscribing."""
        standings = self._standings()
        return tuple(
            GroupStatistics(
                group=group,
                topic=topic,
                events=replace(counted.events),
                handler_seconds=counted.handler_seconds.taken(),
                is_paused=group in self._ledger.pauses and self._ledger.pauses[group].everything,
                standing=standings.get((group, topic), GroupStanding()),
                lag={} if self._lags is None else self._lags.lag(group, topic),
            )
            for group, topic in self._groups()
            for counted in (self._ledger.counters[group, topic],)
        )

    def health(self) -> ComponentHealth:
        """Return how consuming is, from what is known already."""
        degraded = [f"group {name} is paused" for name, paused in self._ledger.pauses.items() if paused.everything]
        unhealthy = list(self._unhealthy())
        if self.consumption is not None:
            degraded += self.consumption.degraded()
            unhealthy += self.consumption.unhealthy()
        return component(degraded=tuple(degraded), unhealthy=tuple(unhealthy))

    def stalled(self) -> tuple[str, ...]:
        """Say why nothing moves any more, and only a restart helps."""
        return () if self.consumption is None else tuple(self.consumption.stalled())

    def _unhealthy(self) -> Iterator[str]:
        if self._failure is not None:
            yield f"a subscription stopped with {type(self._failure).__name__}"
        elif self.consumption is None and self._subscriptions:
            yield "nothing is consumed: run() has not begun, or has ended"
        gaps = sum(counted.events.gaps for counted in self._ledger.counters.values())
        if gaps:
            yield f"{gaps} times events were gone before they were handled"
        for member in () if self.consumption is None else self.consumption.members:
            known = {} if self._lags is None else self._lags.lag(member.group, member.topic)
            own = {partition_id: known.get(partition_id, 0) for partition_id in member.partitions}
            yield from (f"{member.name}: {each}" for each in behind(own, limit=self._config.max_lag))

    def _groups(self) -> Iterable[tuple[str, str]]:
        return dict.fromkeys((each.group, str(each.topic)) for each in self._subscriptions)

    def _standings(self) -> dict[tuple[str, str], GroupStanding]:
        members = () if self.consumption is None else self.consumption.members
        return {(member.group, member.topic): member.standing() for member in members}

    def _require_pausable(self, group: str, tenant_id: UUID | None) -> None:
        found = [each for each in self._subscriptions if each.group == group]
        if not found:
            raise ConfigError([f"group {group!r}: nothing is subscribed as this group"])
        if tenant_id is None:
            return
        if not isinstance(tenant_id, UUID):
            raise ConfigError([f"tenant_id: must be a UUID, not {type(tenant_id).__name__}"])
        if any(each.ordering is Ordering.PARTITION for each in found):
            raise ConfigError(
                [f"group {group!r}: with ordering='partition' no tenant can wait by itself; pause the whole group"]
            )

    async def _lag(self, group: str, topic: str) -> Mapping[int, int]:
        stream, admin = self._stream, self._connector.admin
        described = await admin.describe_topic(stream=stream, topic=topic)
        if described is None:
            raise NotFoundError(f"stream {stream} has no topic {topic}")
        committed = await admin.committed_offsets(stream=stream, topic=topic, group=group)
        return {
            partition_id: described.current_offsets[partition_id]
            - (committed[partition_id].committed if partition_id in committed else -1)
            if partition_id in described.current_offsets
            else 0
            for partition_id in range(described.partitions)
        }
