"""A simulated process of a host: it consumes with the library's own engine, over a network of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from functools import partial

from rustok_iggy import SerializationFormat
from rustok_iggy.config import ConsumerConfig
from rustok_iggy.consumer.consumption import Consumption
from rustok_iggy.consumer.delivery import EnvelopeReader
from rustok_iggy.consumer.failure import FailurePolicy
from rustok_iggy.consumer.own_journals import OwnJournals
from rustok_iggy.consumer.statistics import GroupLedger
from rustok_iggy.consumer.subscription import Ordering, Subscription
from rustok_iggy.topology import Topic
from rustok_iggy_connector import ConnectorError
from tests.consumer.scripted import SERIALIZER
from tests.model.handlers import Handler, Moods
from tests.model.history import GROUP, STREAM, History
from tests.model.network import Network, SimulatedConnector, SimulatedServer
from tests.model.virtual_time import ProcessLoop, World

CONFIG = ConsumerConfig(
    heartbeat_interval=1.0,
    commit_every=3,
    commit_interval=0.5,
    max_prefetch=12,
    max_idle_delay=0.3,
    drain_timeout=5.0,
    handler_timeout=4.0,
    max_concurrency=4,
    max_ahead=40,
)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all processes of one world share."""

    world: World
    server: SimulatedServer
    history: History
    moods: Moods
    dlq_partitions: int
    policy: FailurePolicy
    ordering: Ordering
    checkpoint_every: int
    takeover_timeout: float


class Process:
    """One process of the host: its loop, its network, its transport's consuming half."""

    def __init__(self, setting: Setting, name: str) -> None:
        self.name = name
        self.setting = setting
        self.network = Network(setting.world, setting.server, partial(setting.history.landed, name))
        self.loop = ProcessLoop(setting.world, name)
        self.stop = asyncio.Event()
        self.handler = Handler(name, setting.history, setting.moods, setting.world.chance)
        self.main = self.loop.create_task(self._run(), name=name)

    async def _run(self) -> None:
        connector = SimulatedConnector(self.network)
        while not self.stop.is_set():
            try:
                await connector.connect()
                break
            except ConnectorError:
                await asyncio.sleep(0.5)
        subscription = Subscription(
            group=GROUP,
            topic=Topic.DOMAIN,
            event_types=None,
            handler=self.handler,
            on_failure=self.setting.policy,
            ordering=self.setting.ordering,
        )
        journals = OwnJournals(
            connector,
            stream=STREAM,
            dlq_partitions=self.setting.dlq_partitions,
            takeover_timeout=self.setting.takeover_timeout,
            new_name=lambda: self.name,
            clock=self.loop.time,
        )
        journals._timing = replace(journals._timing, checkpoint_every=self.setting.checkpoint_every)
        consumption = Consumption(
            connector,
            [subscription],
            stream=STREAM,
            journals=journals,
            reader=EnvelopeReader({SerializationFormat.JSON: SERIALIZER}, SerializationFormat.JSON),
            config=CONFIG,
            ledger=GroupLedger(),
            clock=self.loop.time,
        )
        try:
            await consumption.run(self.stop)
        finally:
            await connector.shutdown()

    def leave(self) -> None:
        """SIGTERM."""
        self.loop.call_soon(self.stop.set)

    def kill(self) -> None:
        """SIGKILL."""
        self.setting.world.loops.remove(self.loop)
        self.network.die()

    def interrupt(self) -> None:
        """Ctrl-C while asyncio.run() ends already: every task is cancelled at once, wherever it is."""
        for task in asyncio.all_tasks(self.loop):
            task.cancel()

    def stall(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after some seconds."""
        self.loop.stalled_until = self.setting.world.now + seconds
        self.network.is_silent = True
        self.setting.world.at(self.loop.stalled_until, self._go_on)

    def _go_on(self) -> None:
        self.network.is_silent = self.loop not in self.setting.world.loops
