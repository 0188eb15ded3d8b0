"""The test rig: one server, one stream of its own, and transports on it whose every step is noted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from rustok_iggy.catalog import EventCatalog
from rustok_iggy.config import IggyConfig
from rustok_iggy.dead_letters.letters import DeadLetterSummary
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import ConfigError, DeadLetterError
from rustok_iggy.testing.expectations import (
    call_lines,
    check_order,
    check_times,
    letter_lines,
    letters_of,
    published_lines,
    wanted_name,
)
from rustok_iggy.testing.faults import Faults
from rustok_iggy.testing.faulty_connector import FaultyConnector
from rustok_iggy.testing.history import History, Wanted
from rustok_iggy.testing.observed_transport import ObservedTransport
from rustok_iggy.testing.settling import settle
from rustok_iggy.testing.waiting import until
from rustok_iggy_connector import IggyConnector

TIMEOUT = 10.0
"""Seconds until a test has waited too long; in memory things take milliseconds."""
MAX_LETTERS = 10_000
"""What one page of dead letters holds; a test has fewer."""


class Rig:
    """What a test needs of an event transport. For one event loop at a time.

    `connect` makes a connector to the rig's server. Expectations raise AssertionError with what happened instead.
    They take an event, an event's class or a type's name, None for any; `times` None means at least once.
    """

    def __init__(self, config: IggyConfig, *, catalog: EventCatalog, connect: Callable[[], IggyConnector]) -> None:
        self.config = config
        self.catalog = catalog
        self.history = History()
        self.faults = Faults()
        self._connect = connect
        self._open: list[ObservedTransport] = []

    @asynccontextmanager
    async def open(self) -> AsyncIterator[ObservedTransport]:
        """Open a transport, which is a process of its own as far as the server can tell. Closed on leaving."""
        async with self._opened(FaultyConnector(self._connect(), self.faults)) as transport:
            yield transport

    async def settle(self, *, timeout: float = TIMEOUT) -> None:
        """Wait until everything published is handled or dead-lettered, and committed, in every group.

        Counts what handlers publish meanwhile, and what others published on the stream. Letters that are being
        redriven are not waited for: that is dead_letters.wait(). Raises NotSettledError, which says what is open.
        """
        await settle(self._require_open(), self.history, timeout=timeout)

    @asynccontextmanager
    async def second_member(
        self, transport: ObservedTransport, *, timeout: float = TIMEOUT
    ) -> AsyncIterator[ObservedTransport]:
        """A second process of the same service joins its groups: a rebalance; another one when it leaves at the end.

        Inside, both own partitions of every topic that has at least two. `transport` must be consuming. Raises
        TimeoutError when it keeps its partitions: a handler that does not end holds up a hand-over.
        """
        if not transport.is_consuming:
            raise ConfigError(["second_member(): the first one does not consume; enter transport.consuming() before"])
        async with self.open() as second:
            for each in transport.registrations:
                second.subscribe(group=each.group, topics=each.topics, event_types=each.event_types, **each.options)(
                    each.handler
                )
            async with second.consuming():
                await until(lambda: _is_shared(transport, second), timeout=timeout)
                yield second

    async def dead_letters(
        self, wanted: Wanted | None = None, *, group: str, tenant_id: UUID | None = None
    ) -> list[DeadLetterSummary]:
        """Return the open dead letters of a group, per tenant in order."""
        transport = self._require_open()[0]
        try:
            page = await transport.dead_letters.list(group=group, limit=MAX_LETTERS)
        except DeadLetterError:  # the group has never kept a journal: it has not consumed yet
            return []
        return letters_of(page.letters, wanted, tenant_id=tenant_id)

    def assert_published(
        self, wanted: Wanted | None = None, *, tenant_id: UUID | None = None, times: int | None = None
    ) -> list[EventEnvelope]:
        """Expect that the server confirmed it; return the envelopes."""
        __tracebackhide__ = True
        found = self.history.published(wanted, tenant_id=tenant_id)
        expected = f"{wanted_name(wanted, tenant_id)} to be published"
        check_times(found, times, expected=expected, instead=published_lines(self.history))
        return found

    def assert_handled(
        self, wanted: Wanted | None = None, *, group: str, tenant_id: UUID | None = None, times: int | None = None
    ) -> list[EventEnvelope]:
        """Expect that a handler of the group returned from it; an event that came again counts again."""
        __tracebackhide__ = True
        found = self.history.handled(wanted, group=group, tenant_id=tenant_id)
        expected = f"{wanted_name(wanted, tenant_id)} to be handled by group {group}"
        check_times(found, times, expected=expected, instead=call_lines(self.history.calls()))
        return found

    def assert_order(self, *, group: str) -> None:
        """Expect that each tenant's events were first handled in the order in which they were published."""
        __tracebackhide__ = True
        check_order(self.history, group=group)

    async def assert_dead_lettered(
        self, wanted: Wanted | None = None, *, group: str, tenant_id: UUID | None = None, times: int | None = None
    ) -> list[DeadLetterSummary]:
        """Expect an open dead letter of the group."""
        __tracebackhide__ = True
        everything = await self.dead_letters(group=group)
        found = letters_of(everything, wanted, tenant_id=tenant_id)
        expected = f"{wanted_name(wanted, tenant_id)} to be a dead letter of group {group}"
        instead = [*letter_lines(everything), *call_lines(self.history.calls(group=group))]
        check_times(found, times, expected=expected, instead=instead)
        return found

    @asynccontextmanager
    async def open_mortal(self) -> AsyncIterator[tuple[ObservedTransport, FaultyConnector]]:
        """As open(), with the connector that can be made to die."""
        connector = FaultyConnector(self._connect(), self.faults)
        async with self._opened(connector) as transport:
            yield transport, connector

    @asynccontextmanager
    async def _opened(self, connector: IggyConnector) -> AsyncIterator[ObservedTransport]:
        transport = ObservedTransport(
            self.config, catalog=self.catalog, connector=connector, history=self.history, faults=self.faults
        )
        async with transport:
            self._open.append(transport)
            try:
                yield transport
            finally:
                self._open.remove(transport)

    def _require_open(self) -> tuple[ObservedTransport, ...]:
        if not self._open:
            raise ConfigError(["no transport of this rig is open: use it within `async with rig.open()`"])
        return tuple(self._open)


def _is_shared(one: ObservedTransport, other: ObservedTransport) -> bool:
    """Whether every partition has one owner, and both own some where there are two."""
    for group, topic in one.subscribed:
        mine, theirs = (each.owned().get(f"{group}/{topic}", ()) for each in (one, other))
        partitions = one.partitions(topic)
        if sorted([*mine, *theirs]) != list(range(partitions)) or (partitions > 1 and not (mine and theirs)):
            return False
    return True
