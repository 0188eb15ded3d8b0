"""The event transport: what a host application publishes to and subscribes with."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from enum import IntEnum
from types import TracebackType
from typing import Self, TypeVar, Unpack
from uuid import UUID

from rustok_iggy.consumer.subscription import EventTypes, Handler, SubscribeOptions
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.health import HealthReport
from rustok_iggy.publish_results import PublishResults
from rustok_iggy.replay.options import FileTarget, ReplayOptions
from rustok_iggy.replay.plan import ReplayPlan
from rustok_iggy.replay.planning import ReplaySelection
from rustok_iggy.replay.progress import ReplayProgress
from rustok_iggy.replay.replay_run import OnProgress
from rustok_iggy.topology import Topic
from rustok_iggy.transport_statistics import TransportStatistics
from rustok_iggy_connector import PublishConfirmation

H = TypeVar("H", bound=Handler)


class ReliabilityLevel(IntEnum):
    """What survives (RusToK's L0, L1, L2)."""

    IN_MEMORY = 0
    """Nothing: events live as long as the process."""
    OUTBOX = 1
    """Events are in the host's database until they are relayed."""
    STREAMING = 2
    """Confirmed events are in the log of a server, as durable as its topics are."""


class EventTransport(ABC):
    """Publishes envelopes and hands them to handlers. `async with` is the normal use. For one event loop.

    At least once, and in order per tenant: events of one tenant are stored in the order of the publish calls, and
    handed to each group in that order while one member holds their partition.
    """

    @property
    @abstractmethod
    def reliability_level(self) -> ReliabilityLevel: ...

    @abstractmethod
    async def publish(self, envelope: EventEnvelope) -> PublishConfirmation:
        """Validate, encode and store one event; returns when the server has confirmed it.

        Concurrent calls are sent together. Cancelling a call does not take back what was sent. Raises ValidationError,
        EncodeError, UnknownEventTypeError before anything is sent; PredecessorFailedError, BackpressureError when it
        was not sent; connector errors, whose `outcome_unknown` says that it may be stored all the same: repeat it only
        as the same envelope; TransportClosedError.
        """

    @abstractmethod
    async def publish_batch(self, envelopes: Iterable[EventEnvelope]) -> PublishResults:
        """Store events, in order per tenant, the partitions side by side; reports what became of each.

        An event that is not confirmed holds back the later ones of its tenant in this batch, and no others. Raises
        only BackpressureError and TransportClosedError, and ValidationError for what is no envelope: nothing was sent.
        """

    @abstractmethod
    def subscribe(
        self,
        *,
        group: str,
        topics: Iterable[str] | None = None,
        event_types: EventTypes | None = None,
        **options: Unpack[SubscribeOptions],
    ) -> Callable[[H], H]:
        """Return a decorator that hands events to a handler, once run() or consuming() is entered.

        `async def` handlers run in the event loop, others in a bounded number of threads. `event_types` are classes or
        names, None: all. `topics` None: those of the event types. For `options` see SubscribeOptions. Raises
        ConfigError: also when an event type would have two handlers in one group.
        """

    @abstractmethod
    async def acknowledge(self, event_id: UUID) -> None:
        """Say that an event is done, with ack="manual". Raises ConsumerError unless exactly one delivery is open that
        has this id: then use context.ack().
        """

    @abstractmethod
    def pause(self, *, group: str, tenant_id: UUID | None = None) -> None:
        """Begin no delivery of a group, or of one tenant in it, until resume(); what runs ends. Kept through
        rebalances, and from one run() to the next. A paused tenant's events hold the offset. Raises ConfigError, also
        for one tenant of a group with ordering="partition".
        """

    @abstractmethod
    def resume(self, *, group: str, tenant_id: UUID | None = None) -> None:
        """Undo pause(). Resuming the group leaves tenants paused that were paused by themselves."""

    @abstractmethod
    async def run(self) -> None:
        """Consume until cancelled, SIGTERM or Ctrl-C, then finish what is in flight, commit and leave the groups.

        A second Ctrl-C does not wait for that. Signals are only heard in the main thread.

        What a handler's error leads to is `on_failure`. Stop() ends the subscription: what was handled before is
        committed, the event comes again later, and the error is raised here once all others are drained.
        """

    @abstractmethod
    def consuming(self) -> AbstractAsyncContextManager[None]:
        """Consume while inside `async with`. What run() would raise cancels the body, and is raised at its end."""

    @abstractmethod
    async def plan_replay(self, *, topic: str = Topic.DOMAIN, **selection: Unpack[ReplaySelection]) -> ReplayPlan:
        """Read a range of a topic once and say what a replay of it hands over: a value that can be saved and reviewed.

        Raises ReplayError (bounds that are no bounds, or were removed by retention), UnknownEventTypeError,
        NotFoundError (topic), connector errors.
        """

    @abstractmethod
    async def run_replay(
        self,
        plan: ReplayPlan,
        target: Handler | FileTarget,
        *,
        options: ReplayOptions | None = None,
        on_progress: OnProgress | None = None,
    ) -> ReplayProgress:
        """Hand a plan's events to a handler, or write them `to_file(...)`; moves no group's offset.

        The same plan gives the same events in the same order. At least once with a handler, exactly once in a file.
        Cancelling leaves a valid checkpoint, if there is one. Raises ReplayError with the position where it stopped,
        ReplayCancelledError when the note beside its checkpoint says so, connector errors.
        """

    @abstractmethod
    async def lag(self, *, group: str, topic: str) -> Mapping[int, int]:
        """Partition → messages the group has not committed. Asks the server; joins no group."""

    @abstractmethod
    def health(self) -> HealthReport:
        """Return how things are, from what is known already: never waits."""

    @abstractmethod
    def statistics(self) -> TransportStatistics: ...

    @abstractmethod
    async def aclose(self) -> None:
        """End run() as SIGTERM does, take no more, wait for what is queued, fail the rest, end the connection.

        Each within its deadline: `consumer.drain_timeout`, `close_timeout`. Idempotent.
        """

    @abstractmethod
    async def open(self) -> None:
        """Reach or start the server and ensure the topology; what `async with` does on entry."""

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
