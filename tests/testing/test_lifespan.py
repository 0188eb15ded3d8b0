"""The transport lives as long as a web application does, as an ASGI server drives it."""

import asyncio
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from rustok_iggy import EventTransport, HealthStatus, MemoryTransport, Stop, TransportClosedError
from rustok_iggy.lifespan import Lifespan, lifespan
from tests.architecture.source_tree import ROOT
from tests.testing.services import Ledger, catalog, counted
from tests.waiting import until

pytestmark = pytest.mark.anyio


class Application:
    """Answers ASGI's lifespan messages as Starlette does."""

    def __init__(self, live: Lifespan) -> None:
        self._live = live
        self.state: dict[str, Any] = {}

    async def __call__(
        self, receive: Callable[[], Awaitable[dict[str, str]]], send: Callable[[dict[str, str]], Awaitable[None]]
    ) -> None:
        started = False
        await receive()
        try:
            async with self._live(self) as state:
                self.state.update(state)
                await send({"type": "lifespan.startup.complete"})
                started = True
                await receive()
        except BaseException:
            await send({"type": f"lifespan.{'shutdown' if started else 'startup'}.failed"})
            raise
        await send({"type": "lifespan.shutdown.complete"})


class Server:
    """The other side: what uvicorn does with the messages."""

    def __init__(self, live: Lifespan) -> None:
        self.application = Application(live)
        self.requests: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self.answers: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self.task = asyncio.create_task(self.application(self.requests.get, self.answers.put))

    async def ask(self, what: str) -> str:
        self.requests.put_nowait({"type": f"lifespan.{what}"})
        return await self.answer()

    async def answer(self) -> str:
        async with asyncio.timeout(20):
            return (await self.answers.get())["type"]


def service(ledger: Ledger) -> tuple[Callable[[], EventTransport], Callable[[EventTransport], None]]:
    def subscribe(transport: EventTransport) -> None:
        transport.subscribe(group="g", on_failure=Stop())(ledger.enter)

    return lambda: MemoryTransport(catalog=catalog), subscribe


async def test_it_publishes_and_consumes_while_the_application_lives() -> None:
    ledger = Ledger()
    make, subscribe = service(ledger)
    server = Server(lifespan(make, subscribe=subscribe))
    assert await server.ask("startup") == "lifespan.startup.complete"
    events = server.application.state["events"]
    await events.publish_batch(counted(1, 2))
    await until(lambda: len(ledger.entries) == 2)
    assert await server.ask("shutdown") == "lifespan.shutdown.complete"
    with pytest.raises(TransportClosedError):
        await events.publish_batch(counted(3))


async def test_without_subscriptions_it_only_publishes() -> None:
    make, _ = service(Ledger())
    server = Server(lifespan(make))
    assert await server.ask("startup") == "lifespan.startup.complete"
    results = await server.application.state["events"].publish_batch(counted(1))
    assert results.all_confirmed
    assert await server.ask("shutdown") == "lifespan.shutdown.complete"


async def test_an_application_without_its_server_does_not_start() -> None:
    class Unreachable(MemoryTransport):
        async def open(self) -> None:
            raise ConnectionError("no server")

    server = Server(lifespan(lambda: Unreachable(catalog=catalog)))
    assert await server.ask("startup") == "lifespan.startup.failed"
    with pytest.raises(ConnectionError):
        await server.task


async def test_a_subscription_that_fails_ends_the_lifespan_with_its_error_and_shows_in_health() -> None:
    class Broken(Ledger):
        async def enter(self, envelope: object, context: object) -> None:
            raise LookupError("gone")

    make, subscribe = service(Broken())
    server = Server(lifespan(make, subscribe=subscribe))
    assert await server.ask("startup") == "lifespan.startup.complete"
    events = server.application.state["events"]
    await events.publish_batch(counted(1))
    assert await server.answer() == "lifespan.shutdown.failed"
    with pytest.raises(LookupError):
        await server.task
    assert events.health().status is HealthStatus.UNHEALTHY


def test_neither_framework_is_imported() -> None:
    code = "import sys, rustok_iggy.lifespan; print({'fastapi', 'starlette'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
