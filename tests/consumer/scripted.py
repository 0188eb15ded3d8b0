"""A subscriber of which the test decides the answers, and a member of a group that uses it."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

from rustok_iggy import JsonSerializer, OnGap, ParkTenant, Retry, SerializationFormat
from rustok_iggy.config import ConsumerConfig
from rustok_iggy.consumer.delivery import EnvelopeReader, Router
from rustok_iggy.consumer.slots import Slots
from rustok_iggy.consumer.statistics import ConsumerStatistics, PartitionServices
from rustok_iggy.consumer.subscription import Handler, Subscription
from rustok_iggy.topology import Topic
from rustok_iggy_connector import (
    Assignment,
    CommittedOffset,
    MessageSubscriber,
    NotAssignedError,
    PolledMessages,
    ReceivedMessage,
)
from tests.consumer.hosts import QUICK, catalog, counted

TENANT = UUID(int=7)
SERIALIZER = JsonSerializer(catalog)


def stored(*offsets: int, tenant: UUID = TENANT) -> list[ReceivedMessage]:
    """Messages whose event counts their offset."""
    return [
        ReceivedMessage(offset, offset + 1, SERIALIZER.encode(counted(offset, tenant)), 1_000_000 + offset, dict)
        for offset in offsets
    ]


class ScriptedSubscriber(MessageSubscriber):
    """Has a log and a stored offset per partition; `owned` is what the server says, `refused` what it takes no more."""

    def __init__(self) -> None:
        self.logs: dict[int, list[ReceivedMessage]] = {}
        self.offsets: dict[int, int] = {}
        self.owned: tuple[int, ...] = ()
        self.generation = 1
        self.refused: set[int] = set()
        self.commits: list[tuple[int, int]] = []
        self.asked = 0
        self.silent = asyncio.Event()
        self.silent.set()
        self.failures: dict[str, list[Exception]] = {}
        self.left = False
        self.polled: list[tuple[int, int, int]] = []
        self.peeked: list[tuple[int, int, int]] = []
        self.committing = 0
        self.most_committing = 0

    def fail_next(self, call: str, *errors: Exception) -> None:
        self.failures.setdefault(call, []).extend(errors)

    def _fail(self, call: str) -> None:
        if self.failures.get(call):
            raise self.failures[call].pop(0)

    async def assignment(self) -> Assignment:
        self.asked += 1
        await self.silent.wait()
        self._fail("assignment")
        return Assignment(generation=self.generation, partitions=self.owned)

    async def poll(self, partition_id: int, *, offset: int, max_messages: int) -> PolledMessages:
        self.polled.append((partition_id, offset, max_messages))
        return await self._read("poll", partition_id, offset, max_messages)

    async def peek(self, partition_id: int, *, offset: int, max_messages: int) -> PolledMessages:
        self.peeked.append((partition_id, offset, max_messages))
        return await self._read("peek", partition_id, offset, max_messages)

    async def _read(self, call: str, partition_id: int, offset: int, max_messages: int) -> PolledMessages:
        await asyncio.sleep(0)
        self._fail(call)
        log = self.logs.get(partition_id, [])
        found = [each for each in log if each.offset >= offset][:max_messages]
        return PolledMessages(found, current_offset=log[-1].offset if log else 0)

    async def committed(self, partition_id: int) -> CommittedOffset | None:
        self._fail("committed")
        if partition_id not in self.offsets:
            return None
        log = self.logs.get(partition_id)
        return CommittedOffset(committed=self.offsets[partition_id], current=log[-1].offset if log else 0)

    async def commit(self, partition_id: int, *, offset: int) -> None:
        self.committing += 1
        self.most_committing = max(self.most_committing, self.committing)
        try:
            await asyncio.sleep(0)
            self._fail("commit")
            if partition_id in self.refused:
                raise NotAssignedError("not yours")
            self.offsets[partition_id] = offset
            self.commits.append((partition_id, offset))
        finally:
            self.committing -= 1

    async def first_offset_since(self, partition_id: int, *, timestamp: int) -> int | None:
        return next((each.offset for each in self.logs.get(partition_id, []) if each.timestamp >= timestamp), None)

    async def lag(self) -> dict[int, int]:
        return {}

    async def leave(self) -> None:
        self.left = True


def services(
    handler: Handler, *, on_gap: OnGap = OnGap.STOP, at_once: bool = False, **consumer: float
) -> PartitionServices:
    """What partitions need, for one handler of all event types; `at_once`: without retries."""
    config = ConsumerConfig(**{**QUICK, **consumer})  # type: ignore[arg-type]
    policy = ParkTenant(retry=Retry(attempts=1 if at_once else 5))
    subscription = Subscription(group="g", topic=Topic.DOMAIN, event_types=None, handler=handler, on_failure=policy)
    return PartitionServices(
        group="g",
        topic="domain",
        on_gap=on_gap,
        reader=EnvelopeReader({SerializationFormat.JSON: SERIALIZER}, SerializationFormat.JSON),
        router=Router([subscription], ThreadPoolExecutor(1), timeout=config.handler_timeout),
        config=config,
        statistics=ConsumerStatistics(),
        clock=asyncio.get_running_loop().time,
        chance=lambda: 0.0,
        slots=Slots(config.max_concurrency),
    )
