"""All group members of a transport: they run together, and end together when one fails."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from rustok_iggy.config import ConsumerConfig
from rustok_iggy.consumer.delivery import EnvelopeReader, Router
from rustok_iggy.consumer.member import GroupMember
from rustok_iggy.consumer.own_journals import OwnJournals
from rustok_iggy.consumer.slots import Slots
from rustok_iggy.consumer.source_journal import Journals
from rustok_iggy.consumer.statistics import GroupLedger, PartitionServices
from rustok_iggy.consumer.subscription import Subscription
from rustok_iggy.dead_letters.records import handled_types_digest
from rustok_iggy.errors import ConsumerError
from rustok_iggy.running import ended
from rustok_iggy.tracing.contract import Tracing
from rustok_iggy_connector import IggyConnector, get_logger

log = get_logger(__name__)


class Consumption:
    """One run of all subscriptions. `clock` gives seconds that never go back; It closes `journals`."""

    def __init__(
        self,
        connector: IggyConnector,
        subscriptions: Iterable[Subscription],
        *,
        stream: str,
        journals: OwnJournals,
        reader: EnvelopeReader,
        config: ConsumerConfig,
        ledger: GroupLedger,
        tracing: Tracing | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._threads = ThreadPoolExecutor(config.handler_threads, thread_name_prefix="rustok-iggy-handler")
        self._journals = journals
        together: dict[tuple[str, str], list[Subscription]] = defaultdict(list)
        for subscription in subscriptions:
            together[subscription.group, subscription.topic].append(subscription)

        def member(handlers: list[Subscription]) -> GroupMember:
            first = handlers[0]
            counted = ledger.counters[first.group, first.topic]
            router = Router(handlers, self._threads, timeout=config.handler_timeout)
            return GroupMember(
                connector,
                stream=stream,
                start=first.start,
                services=PartitionServices(
                    group=first.group,
                    topic=first.topic,
                    on_gap=first.on_gap,
                    reader=reader,
                    router=router,
                    config=config,
                    statistics=counted.events,
                    handler_seconds=counted.handler_seconds,
                    tracing=tracing,
                    clock=clock,
                    chance=random.random,
                    slots=Slots(first.max_concurrency or config.max_concurrency),
                    pauses=ledger.pauses[first.group],
                    ordering=first.ordering,
                    deduplicate=first.deduplicate,
                    undecodable=first.undecodable,
                    unknown=first.unknown,
                ),
                journals=Journals(
                    opener=journals, member=journals.new_name(), handled_types=handled_types_digest(router.event_types)
                ),
            )

        self.members = tuple(member(handlers) for handlers in together.values())

    def members_of(self, group: str) -> Iterator[GroupMember]:
        """The members of a group, one a topic."""
        return (member for member in self.members if member.group == group)

    def degraded(self) -> Iterator[str]:
        """Say what somebody should look at."""
        for member in self.members:
            yield from member.degraded()

    def unhealthy(self) -> Iterator[str]:
        """Say which deliveries do not end."""
        for member in self.members:
            yield from member.unhealthy()

    def stalled(self) -> Iterator[str]:
        """Say why nothing moves any more."""
        for member in self.members:
            yield from member.stalled()

    def acknowledge(self, event_id: UUID) -> None:
        """See EventTransport.acknowledge."""
        found = [each for member in self.members for each in member.unacked(event_id)]
        if len(found) != 1:
            raise ConsumerError(
                f"{len(found)} open deliveries have event id {event_id}, not one; call context.ack() of the delivery"
            )
        found[0]()

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set, or one member fails: then all are drained, and its error is raised.

        Cancelling drains as well; cancelling again cuts that short.
        """
        tasks = [asyncio.create_task(member.run(), name=f"consume {member.name}") for member in self.members]
        stopped = asyncio.create_task(stop.wait(), name="consume until stopped")
        try:
            await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            for member in self.members:
                member.stop()
            try:
                await ended(tasks)
            finally:
                try:
                    await self._journals.aclose()
                finally:
                    self._threads.shutdown(wait=False, cancel_futures=True)
        errors = [error for task in tasks if (error := _error(task)) is not None]
        for error in errors[1:]:
            log.error("second_subscription_failed", error=type(error).__name__)
        if errors:
            raise errors[0]


def _error(task: asyncio.Task[None]) -> BaseException | None:
    """What a member ended with. None of ours cancels one that is not told to stop: then somebody killed it."""
    if task.cancelled():
        return ConsumerError(f"{task.get_name()}: the task was cancelled from outside; its group is not served here")
    return task.exception()
