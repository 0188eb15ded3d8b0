"""All group members of a transport: they run together, and end together when one fails."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import structlog

from rustok_iggy.config import ConsumerConfig
from rustok_iggy.consumer.delivery import EnvelopeReader, Router
from rustok_iggy.consumer.member import GroupMember
from rustok_iggy.consumer.partition import ConsumerStatistics, PartitionServices
from rustok_iggy.consumer.subscription import Subscription
from rustok_iggy_connector import IggyConnector

log = structlog.get_logger(__name__)


class Consumption:
    """One run of all subscriptions. `clock` gives seconds that never go back."""

    def __init__(
        self,
        connector: IggyConnector,
        subscriptions: Iterable[Subscription],
        *,
        stream: str,
        reader: EnvelopeReader,
        config: ConsumerConfig,
        statistics: ConsumerStatistics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._threads = ThreadPoolExecutor(config.handler_threads, thread_name_prefix="rustok-iggy-handler")
        together: dict[tuple[str, str], list[Subscription]] = defaultdict(list)
        for subscription in subscriptions:
            together[subscription.group, subscription.topic].append(subscription)
        self.members = tuple(
            GroupMember(
                connector,
                stream=stream,
                start=handlers[0].start,
                services=PartitionServices(
                    group=group,
                    topic=topic,
                    on_gap=handlers[0].on_gap,
                    reader=reader,
                    router=Router(handlers, self._threads),
                    config=config,
                    statistics=statistics,
                    clock=clock,
                ),
            )
            for (group, topic), handlers in together.items()
        )

    def problems(self) -> Iterator[str]:
        """Say which members have not heard from the server for long."""
        for member in self.members:
            if not member.may_begin():
                yield f"{member.name}: the server has not said for several heartbeats which partitions are ours"

    async def run(self, stop: asyncio.Event) -> None:
        """Consume until `stop` is set, or one member fails: then all are drained, and its error is raised.

        Cancelling drains as well.
        """
        tasks = [asyncio.create_task(member.run(), name=f"consume {member.name}") for member in self.members]
        stopped = asyncio.create_task(stop.wait(), name="consume until stopped")
        try:
            await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
            for member in self.members:
                member.stop()
            await _ended(tasks)
            self._threads.shutdown(wait=False, cancel_futures=True)
        errors = [error for task in tasks if (error := task.exception()) is not None]
        for error in errors[1:]:
            log.error("second_subscription_failed", error=type(error).__name__)
        if errors:
            raise errors[0]


async def _ended(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Wait for members to drain, each within its own timeouts; a second cancellation cuts that short."""
    waiting = set(tasks)
    if not waiting:
        return
    try:
        await asyncio.wait(waiting)
    except asyncio.CancelledError:
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        raise
