"""IggyTransport: the event transport over a connector."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Unpack
from uuid import UUID

import msgspec

from rustok_iggy.backpressure import BackpressureController
from rustok_iggy.batch_publisher import publish_batch
from rustok_iggy.catalog import EventCatalog
from rustok_iggy.config import IggyConfig
from rustok_iggy.consumer.consumption import Consumption
from rustok_iggy.consumer.context import NO_GROUP, DeliveryContext
from rustok_iggy.consumer.delivery import EnvelopeReader, runner
from rustok_iggy.consumer.group_statistics import total
from rustok_iggy.consumer.own_journals import OwnJournals
from rustok_iggy.consumer.subscription import (
    EventTypes,
    Handler,
    SubscribeOptions,
    subscriptions_for,
)
from rustok_iggy.consumer_groups import ConsumerGroupManager
from rustok_iggy.consuming import Consuming
from rustok_iggy.dead_letters.originals import OriginalReader
from rustok_iggy.dead_letters.queue import DlqManager
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import ConfigError, TransportClosedError
from rustok_iggy.events import RUSTOK
from rustok_iggy.health import ComponentHealth, HealthReport, component
from rustok_iggy.opening import opening_policy
from rustok_iggy.outgoing import EnvelopeWriter
from rustok_iggy.producer import Producer
from rustok_iggy.publish_lane import ProducerStatistics
from rustok_iggy.publish_results import PublishResults
from rustok_iggy.replay.manager import ReplayManager
from rustok_iggy.replay.options import FileTarget, ReplayOptions
from rustok_iggy.replay.plan import ReplayPlan
from rustok_iggy.replay.planning import ReplaySelection
from rustok_iggy.replay.progress import ReplayProgress
from rustok_iggy.replay.replay_run import OnProgress
from rustok_iggy.running import in_background, set_by_signals
from rustok_iggy.serialization import EventSerializer, JsonSerializer, PostcardSerializer, SerializationFormat
from rustok_iggy.topology import Topic, TopologyManager, desired_topology
from rustok_iggy.tracing.contract import Tracing
from rustok_iggy.tracing.detection import find_tracing
from rustok_iggy.tracing.publishing import publish_batch_traced, publish_traced
from rustok_iggy.transport import EventTransport, H, ReliabilityLevel
from rustok_iggy.transport_statistics import TransportStatistics
from rustok_iggy_connector import (
    ConnectorMode,
    IggyConnector,
    PublishConfirmation,
    TopicInfo,
    get_logger,
    open_connector,
)

log = get_logger(__name__)


class IggyTransport(EventTransport):
    """EventTransport over an Iggy server: remote, embedded, or in memory.

    Entering it reaches or starts the server and ensures stream and topics, again when the server goes away meanwhile.
    Raises ConfigError, TopologyConflictError and connector errors then; nothing is left running. `connector` replaces
    the configured one. `tracing` records spans; None: over OpenTelemetry's global provider, if one was set before it is
    entered.
    """

    def __init__(
        self,
        config: IggyConfig | None = None,
        *,
        catalog: EventCatalog = RUSTOK,
        connector: IggyConnector | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.config = config or IggyConfig()
        self.config.validate()
        self.catalog = catalog
        serializers = _serializers(catalog, self.config.serialization)
        self._desired = desired_topology(self.config)
        self._writer = EnvelopeWriter(
            serializers[self.config.serialization], self._desired, max_event_bytes=self.config.max_event_bytes
        )
        self._reader = EnvelopeReader(serializers, self.config.serialization)
        self._originals = OriginalReader(serializers, self.config.serialization)
        self._json = serializers.get(SerializationFormat.JSON)
        self._connector = connector or open_connector(self.config.connector)
        self._producer: Producer | None = None
        self._topics: Mapping[str, TopicInfo] = {}
        self._consuming = Consuming(
            self._connector,
            stream=self.config.topology.stream_name,
            reader=self._reader,
            config=self.config.consumer,
        )
        self._tracing = tracing
        self._closed = False

    @property
    def reliability_level(self) -> ReliabilityLevel:
        in_memory = self.config.connector.mode is ConnectorMode.MEMORY
        return ReliabilityLevel.IN_MEMORY if in_memory else ReliabilityLevel.STREAMING

    @property
    def topology(self) -> TopologyManager:
        """Compare and apply the configured streams and topics."""
        return TopologyManager(self._connector.admin, self._desired)

    @property
    def groups(self) -> ConsumerGroupManager:
        """Look at consumer groups, their lag and what they hold; reset or forget them."""
        return ConsumerGroupManager(self._connector, stream=self.config.topology.stream_name)

    @property
    def replays(self) -> ReplayManager:
        """Plan replays of stored events, and run them."""
        return ReplayManager(
            connector=self._connector,
            stream=self.config.topology.stream_name,
            catalog=self.catalog,
            reader=self._reader,
            json=self._json,
            config=self.config.consumer,
            is_forbidden=self._consuming.is_replay_forbidden,
            tracing=self._tracing,
        )

    async def plan_replay(self, *, topic: str = Topic.DOMAIN, **selection: Unpack[ReplaySelection]) -> ReplayPlan:
        self._open_producer()
        return await self.replays.plan(topic=topic, **selection)

    async def run_replay(
        self,
        plan: ReplayPlan,
        target: Handler | FileTarget,
        *,
        options: ReplayOptions | None = None,
        on_progress: OnProgress | None = None,
    ) -> ReplayProgress:
        self._open_producer()
        return await self.replays.run(plan, target, options=options, on_progress=on_progress)

    @property
    def dead_letters(self) -> DlqManager:
        """Look at dead letters, run them again, discard them. Needs no subscription here."""
        self._open_producer()
        return DlqManager(self._connector, stream=self.config.topology.stream_name, originals=self._originals)

    async def open(self) -> None:
        if self._closed:
            raise TransportClosedError("the transport was closed; make a new one")
        if self._producer is not None:
            return
        try:
            self._topics = await opening_policy(self.config.connector).run(self._reach)
        except BaseException:
            await self._connector.shutdown()
            raise
        self._tracing = self._tracing or find_tracing()
        self._producer = Producer(
            self._connector,
            stream=self.config.topology.stream_name,
            timeout=self.config.publish_timeout,
            backpressure=BackpressureController(self.config.backpressure),
        )
        log.info("transport_opened", engine=self._connector.server.engine, address=self._connector.server.address)

    async def _reach(self) -> Mapping[str, TopicInfo]:
        await self._connector.connect()
        return (await self.topology.apply()).topics

    async def publish(self, envelope: EventEnvelope) -> PublishConfirmation:
        producer = self._open_producer()
        if self._tracing is not None:
            return await publish_traced(self._tracing, producer, self._writer, envelope)
        (topic, partition_id, _), message = self._writer.write(envelope)
        offset = await producer.publish(message, topic=topic, partition_id=partition_id, tenant_id=envelope.tenant_id)
        return PublishConfirmation(topic, partition_id, offset, envelope.id)

    async def publish_batch(self, envelopes: Iterable[EventEnvelope]) -> PublishResults:
        producer = self._open_producer()
        if self._tracing is None:
            return await publish_batch(producer, self._writer, envelopes)
        return await publish_batch_traced(self._tracing, producer, self._writer, envelopes)

    def subscribe(
        self,
        *,
        group: str,
        topics: Iterable[str] | None = None,
        event_types: EventTypes | None = None,
        **options: Unpack[SubscribeOptions],
    ) -> Callable[[H], H]:
        def register(handler: H) -> H:
            added = subscriptions_for(
                handler,
                catalog=self.catalog,
                group=group,
                topics=topics,
                event_types=event_types,
                options=options,
            )
            self._consuming.add(group, added)
            return handler

        return register

    async def acknowledge(self, event_id: UUID) -> None:
        self._consuming.acknowledge(event_id)

    def pause(self, *, group: str, tenant_id: UUID | None = None) -> None:
        self._consuming.pause(group, tenant_id)

    def resume(self, *, group: str, tenant_id: UUID | None = None) -> None:
        self._consuming.resume(group, tenant_id)

    async def run(self) -> None:
        stop = asyncio.Event()
        with set_by_signals(stop):
            await self._consume(stop)

    @asynccontextmanager
    async def consuming(self) -> AsyncIterator[None]:
        self._require_consumable()
        async with in_background(self._consume):
            yield

    async def lag(self, *, group: str, topic: str) -> Mapping[int, int]:
        self._open_producer()
        return await self._consuming.lag(group, topic)

    def health(self) -> HealthReport:
        connected = self._producer is not None and not self._closed
        return HealthReport(
            engine=self._connector.server.engine if connected else None,
            durability={name: info.durability or "unknown" for name, info in self._topics.items()},
            components={
                "server": self._server_health(connected=connected),
                "publishing": self._published().health(),
                "consuming": self._consuming.health(),
            },
            stalled=self._consuming.stalled(),
        )

    def statistics(self) -> TransportStatistics:
        groups = self._consuming.groups()
        return TransportStatistics(
            publishing=self._published(),
            consuming=total(group.events for group in groups),
            groups=groups,
            connector=self._connector.statistics(),
        )

    async def aclose(self) -> None:
        try:
            # Handlers may publish until they have ended. One that does not end when it is cancelled is left behind.
            await self._consuming.end(timeout=self.config.consumer.drain_timeout + self.config.close_timeout)
        finally:
            self._closed = True
            try:
                if self._producer is not None:
                    await self._producer.aclose(timeout=self.config.close_timeout)
            finally:
                await self._connector.shutdown()

    async def _consume(self, stop: asyncio.Event) -> None:
        self._require_consumable()
        journals = OwnJournals(
            self._connector,
            stream=self.config.topology.stream_name,
            dlq_partitions=self._topics[Topic.DLQ].partitions,
            takeover_timeout=self.config.consumer.takeover_timeout,
        )
        await self._consuming.run(stop, journals=journals, tracing=self._tracing)

    @property
    def _consumption(self) -> Consumption | None:
        return self._consuming.consumption

    def _require_consumable(self) -> None:
        self._open_producer()
        self._consuming.require_consumable()

    def _open_producer(self) -> Producer:
        if self._producer is None or self._closed:
            raise TransportClosedError("the transport is not open: use it within `async with`")
        return self._producer

    def _published(self) -> ProducerStatistics:
        return self._producer.statistics if self._producer is not None else ProducerStatistics()

    def _server_health(self, *, connected: bool) -> ComponentHealth:
        if not connected:
            return component(unhealthy=("the transport is not open",))
        return component(unhealthy=() if self._connector.statistics().connected else ("not connected",))


def _serializers(catalog: EventCatalog, configured: SerializationFormat) -> dict[SerializationFormat, EventSerializer]:
    """Return the configured format, and the other one for what was written before it was configured.

    Raises ConfigError when the catalogue does not fit the configured format.
    """
    makers: dict[SerializationFormat, Callable[[EventCatalog], EventSerializer]] = {
        SerializationFormat.JSON: JsonSerializer,
        SerializationFormat.POSTCARD: PostcardSerializer,
    }
    made = {configured: makers[configured](catalog)}
    for name, maker in makers.items():
        try:
            made.setdefault(name, maker(catalog))
        except ConfigError:
            continue  # then nothing was ever written in it
    return made


class MemoryTransport(IggyTransport):
    """IggyTransport over the local server's core in this process: no socket, no disk, nothing outlives it."""

    def __init__(
        self,
        config: IggyConfig | None = None,
        *,
        catalog: EventCatalog = RUSTOK,
        connector: IggyConnector | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        in_memory = msgspec.structs.replace(config or IggyConfig(), mode=ConnectorMode.MEMORY)
        super().__init__(in_memory, catalog=catalog, connector=connector, tracing=tracing)

    async def deliver(self, handler: Handler, envelope: EventEnvelope) -> None:
        """Run one handler on one envelope, validated, written and read back as if it had been published.

        Raises what publish() raises for an envelope that is wrong, and what the handler raises. Needs no entering.
        """
        (topic, partition_id, _), message = self._writer.write(envelope)
        decoded = self._reader.decode(message.payload)
        context = DeliveryContext(
            group="deliver",
            life=NO_GROUP,
            generation=0,
            topic=topic,
            partition_id=partition_id,
            offset=0,
            stored_at=time.time_ns() // 1000,
        )
        with ThreadPoolExecutor(1) as thread:
            await runner(handler, thread)(decoded, context)
