"""Services on one server: each a transport over a connector of its own, as processes have them; short heartbeats."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import pytest

from rustok_iggy import (
    EVERYTHING,
    DeliveryContext,
    EventEnvelope,
    IggyConfig,
    IggyTransport,
    NotFoundError,
    ParkTenant,
    RequestState,
    Retry,
    Start,
)
from rustok_iggy.consumer.failure import FailurePolicy
from rustok_iggy.partitioning import partition_for
from rustok_iggy_connector import IggyConnector
from tests.conformance.backends import Backend, unique
from tests.consumer.hosts import Counted, catalog

GROUP = "billing"
TOPIC = "domain"
PARTITIONS = 2
QUICK = {
    "heartbeat_interval": 0.2,
    "commit_interval": 0.1,
    "drain_timeout": 1.0,
    "takeover_timeout": 0.3,
    "max_idle_delay": 0.05,
}
PARK = ParkTenant(retry=Retry(attempts=2, delay=0.01))
PATIENCE = 30.0
"""Seconds for what takes a fraction of one: heartbeats on a machine that has other things to do."""


class BrokenError(Exception):
    """What the handlers of these tests raise."""


@dataclass
class Book:
    """What all services together were given and did, in the order in which it happened."""

    handled: list[tuple[EventEnvelope, DeliveryContext]] = field(default_factory=list)
    failed: list[tuple[EventEnvelope, DeliveryContext]] = field(default_factory=list)

    def numbers(self, tenant: UUID) -> list[int]:
        """Of completed events, again when they came again."""
        return [number_of(envelope) for envelope, _ in self.handled if envelope.tenant_id == tenant]

    def firsts(self, tenant: UUID) -> list[int]:
        return list(dict.fromkeys(self.numbers(tenant)))

    @property
    def distinct(self) -> int:
        return len({envelope.id for envelope, _ in self.handled})


Before = Callable[[EventEnvelope, DeliveryContext], Awaitable[None] | None]


@dataclass
class Handler:
    """Notes what it is given. `before` may raise, or return what to wait for."""

    book: Book = field(default_factory=Book)
    before: Before = lambda envelope, context: None

    async def __call__(self, envelope: EventEnvelope, context: DeliveryContext) -> None:
        try:
            waiting = self.before(envelope, context)
            if waiting is not None:
                await waiting
        except BrokenError:
            self.book.failed.append((envelope, context))
            raise
        self.book.handled.append((envelope, context))


def number_of(envelope: EventEnvelope) -> int:
    assert isinstance(envelope.event, Counted)
    return envelope.event.number


def broken_for(*tenants: UUID, numbers: Sequence[int] | None = None) -> Before:
    """Fails on events of some tenants: on all, or on those with some numbers."""

    def before(envelope: EventEnvelope, context: DeliveryContext) -> None:
        if envelope.tenant_id in tenants and (numbers is None or number_of(envelope) in numbers):
            raise BrokenError

    return before


class FailingTenant:
    """Three tenants, and a handler that fails on event 1 of the first (`ill`) until `healed`."""

    def __init__(self) -> None:
        self.tenants = some_tenants(3)
        self.ill, *self.well = self.tenants
        self.healed = False
        self.book = Book()
        self._broken = broken_for(self.ill, numbers=[1])

    def __call__(self, envelope: EventEnvelope, context: object) -> None:
        if not self.healed:
            self._broken(envelope, context)  # type: ignore[arg-type]  # as Before

    @property
    def handler(self) -> Handler:
        return Handler(self.book, self)

    async def cure(self, operator: IggyTransport) -> None:
        """Redrive everything, and see that all is handled in order."""
        self.healed = True
        request = await operator.dead_letters.redrive(EVERYTHING, group=GROUP, by="ada")
        result = await operator.dead_letters.wait(request, timeout=PATIENCE)
        assert (result.state, result.left) == (RequestState.DONE, 0)
        await until_caught_up(operator)
        assert await letters_of(operator) == 0

    def firsts(self) -> list[list[int]]:
        return [self.book.firsts(tenant) for tenant in self.tenants]


@dataclass
class Place:
    """One stream on one backend. `backend.connector()` is how another process reaches it."""

    backend: Backend
    stream: str

    def config(self, **consumer: float) -> IggyConfig:
        return IggyConfig(
            topology={"stream_name": self.stream, "domain_partitions": PARTITIONS}, consumer={**QUICK, **consumer}
        )

    @asynccontextmanager
    async def transport(
        self, connector: IggyConnector | None = None, **consumer: float
    ) -> AsyncIterator[IggyTransport]:
        """Another process's transport."""
        opened = IggyTransport(
            self.config(**consumer), catalog=catalog, connector=connector or self.backend.connector()
        )
        async with opened as transport:
            yield transport

    @asynccontextmanager
    async def service(
        self,
        handler: Handler,
        *,
        group: str = GROUP,
        on_failure: FailurePolicy = PARK,
        start: Start = Start.EARLIEST,
        connector: IggyConnector | None = None,
        **consumer: float,
    ) -> AsyncIterator[IggyTransport]:
        """One that consumes while inside, and leaves its group in an orderly way."""
        async with self.transport(connector, **consumer) as transport:
            transport.subscribe(group=group, on_failure=on_failure, start=start)(handler)
            async with transport.consuming():
                yield transport


@pytest.fixture
async def place(backend: Backend, connector: IggyConnector) -> AsyncIterator[Place]:
    found = Place(backend, unique("services"))
    yield found
    if await connector.admin.describe_stream(found.stream) is not None:
        await connector.admin.delete_stream(found.stream)


async def publish(transport: IggyTransport, tenants: Sequence[UUID], numbers: range) -> None:
    """Publish each number for every tenant."""
    envelopes = [EventEnvelope.new(tenant, Counted(number=number)) for number in numbers for tenant in tenants]
    (await transport.publish_batch(envelopes)).raise_for_failures()


def some_tenants(count: int) -> list[UUID]:
    return [uuid4() for _ in range(count)]


def tenant_of(partition: int) -> UUID:
    """One whose events stand in this partition."""
    return next(each for each in iter(uuid4, None) if partition_for(each, PARTITIONS) == partition)


async def letters_of(transport: IggyTransport, *, group: str = GROUP) -> int:
    """How many open letters a group has; 0 as well when it has no journal yet."""
    found = (await transport.dead_letters.stats()).groups.get(group)
    return 0 if found is None else found.letters


async def until_letters(transport: IggyTransport, count: int, *, group: str = GROUP) -> None:
    """Wait until the group has so many open letters."""
    deadline = time.monotonic() + PATIENCE
    while (found := await letters_of(transport, group=group)) != count:
        assert time.monotonic() < deadline, f"{found} open letters, not {count}, after {PATIENCE:g} s"
        await asyncio.sleep(0.05)


async def until_caught_up(transport: IggyTransport, *, group: str = GROUP) -> None:
    """Wait until everything published is committed."""
    deadline = time.monotonic() + PATIENCE
    while any((found := await lag_of(transport, group=group)).values()):
        assert time.monotonic() < deadline, f"lag {found} after {PATIENCE:g} s"
        await asyncio.sleep(0.05)


async def lag_of(transport: IggyTransport, *, group: str) -> Mapping[int, int]:
    """The lag; of a group that nobody has joined yet, some."""
    try:
        return await transport.lag(group=group, topic=TOPIC)
    except NotFoundError:
        return {0: 1}


def owned(transport: IggyTransport) -> tuple[int, ...]:
    """The partitions that it consumes now."""
    consumption = transport._consumption
    return () if consumption is None else consumption.members[0].partitions


def reasons(transport: IggyTransport) -> Iterator[str]:
    """What health says of consuming."""
    component = transport.health().components["consuming"]
    return iter(component.reasons)
