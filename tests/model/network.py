"""A server in memory, and a network between it and each process that is slow, loses requests and replies, and stalls.

What was sent is on its way whatever becomes of the sender: a request of a killed process lands all the same, and one
whose sender gave up may land long after. On one session requests land in the order in which they were sent.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

from rustok_iggy_connector import (
    ConnectionLostError,
    ConnectorError,
    InMemoryConnector,
    MemoryServer,
    PolledMessages,
    RequestTimeoutError,
    ServerUnreachableError,
)
from rustok_iggy_connector.client import Client, PollRequest
from rustok_iggy_connector.memory import MemoryClient
from rustok_iggy_connector.models import PublishBatch
from rustok_iggy_connector.sessions import closed
from rustok_iggy_connector.wire.codes import OPERATION_OF
from rustok_iggy_connector.wire.commands import COMMAND_OF_REQUEST, Message
from tests.model.virtual_time import World, at_once

T = TypeVar("T")

TICK = 0.5
"""Seconds between two looks of the server at its groups."""
REQUEST_TIMEOUT = 2.0
"""Seconds: shorter than the three heartbeats after which a member begins nothing, so that it is tried again before."""
LONGEST_STALL = 12.0
"""Seconds that a request of a stalled connection is late at most: beyond takeover and fences, less than 36 s."""
LONGEST_LINGER = 20.0
"""Seconds for which a server may go on to believe in a connection that its client knows to be gone."""


class SimulatedServer(MemoryServer):
    """One that is told when time passes, by the world."""

    def __init__(self, world: World) -> None:
        self.writing = 0.0
        """Seconds that it takes at most to write down what changes something."""
        self._chance = world.chance
        randomness = random.Random(0)  # salts and keys; no decision hangs on them
        super().__init__(
            now=lambda: round(world.now * 1_000_000), monotonic=lambda: world.now, randomness=randomness.randbytes
        )

    def keep_time(self) -> None:
        """The world does."""

    def time_to_write(self) -> float:
        """Seconds until a change that arrived is done, and answered."""
        return self._chance.uniform(0, self.writing) if self.writing else 0.0

    def tick(self) -> None:
        self._server.tick()


@dataclass(slots=True, kw_only=True)
class Faults:
    """How bad a process's network is: shares of requests, and seconds."""

    lost_requests: float = 0.0
    lost_replies: float = 0.0
    stalls: float = 0.0
    latency: float = 0.01
    slow_replies: float = 0.0
    """Of these the sender hears at the last moment: what it is told is old by then."""


class Network:
    """The way of one process to the server. `landed` is called for each request that the server took."""

    def __init__(self, world: World, server: SimulatedServer, landed: Callable[[Message | PublishBatch], None]) -> None:
        self.world = world
        self.server = server
        self.landed = landed
        self.faults = Faults()
        self.unreachable_until = 0.0
        self.is_shut = False
        self.is_silent = False
        self._clients: list[SimulatedClient] = []

    def cut(self, seconds: float, *, lingers: float | None = None) -> None:
        """Break all connections, and let none be made for some time."""
        self.unreachable_until = self.world.now + seconds
        for client in self._clients:
            client.break_off(lingers=self.linger() if lingers is None else lingers)
        self._clients.clear()

    def die(self) -> None:
        """The process was killed: its system closes what it had open. What it sent is on its way."""
        self.is_silent = True
        for client in self._clients:
            client.end_after_what_was_sent()

    def shut(self) -> None:
        """Refuse everything from now on, so that whatever runs ends."""
        self.is_shut = True
        for client in self._clients:
            client.break_off(lingers=0)

    def ping(self) -> None:
        """What the published client does from a thread of its own; a stopped process does not."""
        self._clients = [client for client in self._clients if client.usable]
        if not self.is_silent:
            for client in self._clients:
                client.ping()

    async def open_client(self) -> SimulatedClient:
        if self.is_shut:
            raise closed()
        await asyncio.sleep(self.delay())
        if self.world.now < self.unreachable_until:
            await asyncio.sleep(0.2)
            raise ServerUnreachableError("the network is cut")
        client = SimulatedClient(self, self.server.open_client())
        self._clients.append(client)
        return client

    def delay(self) -> float:
        return self.world.chance.uniform(0.1, 2) * self.faults.latency

    def lateness(self) -> float | None:
        """Seconds until a request lands, None: never."""
        chance, faults = self.world.chance, self.faults
        if chance.random() < faults.lost_requests:
            return None
        if chance.random() < faults.stalls:
            return chance.uniform(REQUEST_TIMEOUT, LONGEST_STALL)
        return self.delay()

    def delay_of_reply(self) -> float:
        chance = self.world.chance
        return chance.uniform(0, REQUEST_TIMEOUT) if chance.random() < self.faults.slow_replies else self.delay()

    def is_reply_lost(self) -> bool:
        return self.world.chance.random() < self.faults.lost_replies

    def linger(self) -> float:
        """Seconds until the server notices that a connection is gone."""
        chance = self.world.chance
        return chance.choice([0.0, chance.uniform(0, LONGEST_LINGER)])


class SimulatedClient(Client):
    """One session over such a network."""

    def __init__(self, network: Network, inner: MemoryClient) -> None:
        self._network = network
        self._world = network.world
        self._inner = inner
        self._is_broken = False
        self._is_closed = False
        self._arrives_at = 0.0
        self._lands_at = 0.0
        self._answers_at = 0.0
        self._waiting: set[asyncio.Future[Any]] = set()

    @property
    def usable(self) -> bool:
        return not self._is_broken and not self._is_closed

    def ping(self) -> None:
        if self._inner.usable:
            self._inner.ping()

    def break_off(self, *, lingers: float) -> None:
        """The connection is gone; the server notices later."""
        if self._is_broken:
            return
        self._is_broken = True
        waiting, self._waiting = self._waiting, set()
        for each in waiting:
            if not each.done():
                each.set_exception(ConnectionLostError("the connection was cut"))
        self._end_at_server(self._all_landed() + lingers)

    def end_after_what_was_sent(self) -> None:
        self._end_at_server(self._all_landed())

    def _all_landed(self) -> float:
        return max(self._world.now, self._arrives_at, self._lands_at)

    async def request(self, request: Message, *, subject: str) -> Message | None:
        return await self._exchange(request, lambda: self._inner.request(request, subject=subject))

    async def send(self, batch: PublishBatch, *, subject: str) -> int:
        return await self._exchange(batch, lambda: self._inner.send(batch, subject=subject))

    async def poll(self, request: PollRequest, *, subject: str) -> PolledMessages:
        return await self._exchange(None, lambda: self._inner.poll(request, subject=subject))

    async def close(self) -> None:
        self._is_closed = True
        self.end_after_what_was_sent()

    async def _exchange(self, request: Message | PublishBatch | None, call: Callable[[], Awaitable[T]]) -> T:
        if self._network.is_shut or self._is_closed:
            raise closed()
        if self._is_broken:
            raise ConnectionLostError("the connection was cut before")
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.add(answer)
        late = self._network.lateness()
        if late is None:
            self._world.at(self._world.now + self._network.delay(), self._cut)
        else:
            self._world.at(self._landing(request, late), lambda: self._land(request, call, answer))
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                return await answer
        except TimeoutError:
            self.break_off(lingers=self._network.linger())
            raise RequestTimeoutError("no answer in time", command="any", timeout=REQUEST_TIMEOUT) from None
        finally:
            self._waiting.discard(answer)

    def _landing(self, request: Message | PublishBatch | None, late: float) -> float:
        """When the server acts on a request. A read does not wait for what is still being written."""
        now = self._arrives_at = max(self._arrives_at, self._world.now + late)
        if is_read(request):
            return now
        self._lands_at = max(self._lands_at, now + self._network.server.time_to_write())
        return self._lands_at

    def _cut(self) -> None:
        self.break_off(lingers=self._network.linger())

    def _land(
        self, request: Message | PublishBatch | None, call: Callable[[], Awaitable[T]], answer: asyncio.Future[T]
    ) -> None:
        error: ConnectorError | None = None
        result: T | None = None
        try:
            result = at_once(_coroutine(call()))
        except ConnectorError as refused:
            error = refused
        else:
            if request is not None:
                self._network.landed(request)
        if isinstance(error, ConnectionLostError) or self._network.is_reply_lost():
            self._cut()
            return
        self._answers_at = max(self._answers_at, self._world.now + self._network.delay_of_reply())
        self._world.at(self._answers_at, lambda: _answer(answer, result, error))

    def _end_at_server(self, time: float) -> None:
        self._world.at(time, self._inner.cut)


def is_read(request: Message | PublishBatch | None) -> bool:
    """Whether the server only looks something up; None stands for a poll."""
    return not isinstance(request, PublishBatch) and (
        request is None or COMMAND_OF_REQUEST[type(request)] not in OPERATION_OF
    )


def _answer(answer: asyncio.Future[Any], result: object, error: ConnectorError | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(result)
    else:
        answer.set_exception(error)


def _coroutine(call: Awaitable[T]) -> Coroutine[Any, Any, T]:
    assert isinstance(call, Coroutine)
    return call


class SimulatedConnector(InMemoryConnector):
    """A process's connector over its network."""

    def __init__(self, network: Network) -> None:
        super().__init__(network.server)
        self._network = network

    async def _open_client(self, timeout: float) -> Client:
        return await self._network.open_client()
