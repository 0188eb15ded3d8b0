"""An IggyTransport that notes what is published and handled, and lets planned faults happen."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Unpack

from rustok_iggy.catalog import EventCatalog
from rustok_iggy.config import IggyConfig
from rustok_iggy.consumer.subscription import EventTypes, Handler, SubscribeOptions
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import NotFoundError
from rustok_iggy.iggy_transport import IggyTransport
from rustok_iggy.publish_results import PublishResults
from rustok_iggy.replay.options import FileTarget, ReplayOptions
from rustok_iggy.replay.plan import ReplayPlan
from rustok_iggy.replay.progress import ReplayProgress
from rustok_iggy.replay.replay_run import OnProgress
from rustok_iggy.testing.faults import Faults
from rustok_iggy.testing.history import History
from rustok_iggy.testing.observed_handler import observed
from rustok_iggy.transport import H
from rustok_iggy_connector import IggyConnector, PublishConfirmation


@dataclass(frozen=True, slots=True, kw_only=True)
class Registration:
    """One call of subscribe(), to be repeated on a second member of the same service."""

    handler: Handler
    group: str
    topics: tuple[str, ...] | None
    event_types: tuple[Any, ...] | None
    options: SubscribeOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How far a group is in a partition: offsets, −1 for none."""

    committed: int
    current: int

    @property
    def behind(self) -> int:
        """Events that are not settled."""
        return self.current - self.committed


class ObservedTransport(IggyTransport):
    """IggyTransport as the service under test uses it."""

    def __init__(
        self,
        config: IggyConfig,
        *,
        catalog: EventCatalog,
        connector: IggyConnector,
        history: History,
        faults: Faults,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(config, catalog=catalog, connector=connector)
        self._history = history
        self._faults = faults
        self._clock = clock
        self._observers: list[tuple[Handler, Handler]] = []
        self.registrations: list[Registration] = []
        self.is_consuming = False

    async def publish(self, envelope: EventEnvelope) -> PublishConfirmation:
        noted = self._history.publish(envelope)
        noted.confirmation = await super().publish(envelope)
        return noted.confirmation

    async def publish_batch(self, envelopes: Iterable[EventEnvelope]) -> PublishResults:
        given = list(envelopes)
        noted = [self._history.publish(each) for each in given]
        results = await super().publish_batch(given)
        for each, result in zip(noted, results, strict=True):
            each.confirmation = result.confirmation
        return results

    def subscribe(
        self,
        *,
        group: str,
        topics: Iterable[str] | None = None,
        event_types: EventTypes | None = None,
        **options: Unpack[SubscribeOptions],
    ) -> Callable[[H], H]:
        kept_topics = topics if topics is None or isinstance(topics, str) else tuple(topics)
        # One class instead of a list of them is for subscribe() to refuse.
        listed = isinstance(event_types, Iterable) and not isinstance(event_types, str)
        kept_types: Any = tuple(event_types or ()) if listed else event_types
        register = super().subscribe(group=group, topics=kept_topics, event_types=kept_types, **options)

        def observe(handler: H) -> H:
            observer = self._observer(handler)
            register(observer)
            self.registrations.append(
                Registration(
                    handler=handler,
                    group=group,
                    topics=(kept_topics,) if isinstance(kept_topics, str) else kept_topics,
                    event_types=kept_types,
                    options=options,
                )
            )
            return handler

        return observe

    async def run_replay(
        self,
        plan: ReplayPlan,
        target: Handler | FileTarget,
        *,
        options: ReplayOptions | None = None,
        on_progress: OnProgress | None = None,
    ) -> ReplayProgress:
        if not isinstance(target, FileTarget):
            target = self._observer(target)
        return await super().run_replay(plan, target, options=options, on_progress=on_progress)

    async def run(self) -> None:
        with self._noted():
            await super().run()

    @asynccontextmanager
    async def consuming(self) -> AsyncIterator[None]:
        with self._noted():
            async with super().consuming():
                yield

    @property
    def subscribed(self) -> set[tuple[str, str]]:
        """(group, topic) of every subscription."""
        return {(each.group, each.topic) for each in self.statistics().groups}

    def owned(self) -> dict[str, tuple[int, ...]]:
        """group/topic → the partitions that are consumed here now; nothing while nothing is consumed."""
        members = () if self._consumption is None else self._consumption.members
        return {each.name: each.partitions for each in members}

    def partitions(self, topic: str) -> int:
        """How many a topic has."""
        return self._topics[topic].partitions

    async def reached(self, *, group: str, topic: str) -> Mapping[int, Reached]:
        """Partition → how far a group is, as the server says it. A group that never joined has nothing committed."""
        stream, admin = self.config.topology.stream_name, self._connector.admin
        described = await admin.describe_topic(stream=stream, topic=topic)
        if described is None:
            raise NotFoundError(f"stream {stream} has no topic {topic}")
        try:
            stored = await admin.committed_offsets(stream=stream, topic=topic, group=group)
        except NotFoundError:
            stored = {}
        return {
            partition_id: Reached(
                committed=stored[partition_id].committed if partition_id in stored else -1,
                current=described.current_offsets.get(partition_id, -1),
            )
            for partition_id in range(described.partitions)
        }

    async def drop_stream(self) -> None:
        """Delete the stream with everything in it: a test on a server that stays leaves nothing there."""
        await self._connector.admin.delete_stream(self.config.topology.stream_name)

    def _observer(self, handler: H) -> Handler:
        """The same observer for every subscription of a handler: it is one handler for a replay as well."""
        for known, observer in self._observers:
            if known == handler:
                return observer
        observer = observed(handler, history=self._history, faults=self._faults, clock=self._clock)
        self._observers.append((handler, observer))
        return observer

    @contextmanager
    def _noted(self) -> Iterator[None]:
        self.is_consuming = True
        try:
            yield
        finally:
            self.is_consuming = False
