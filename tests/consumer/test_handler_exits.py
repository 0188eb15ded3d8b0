"""Handlers that raise what ends a process or a generator: no failure policy decides on it, nothing is acknowledged."""

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import pytest

from rustok_iggy import EVERYTHING, ConsumerError, DeadLetter, MemoryTransport, ParkTenant, Retry
from rustok_iggy_connector import MemoryServer
from tests.consumer.hosts import Recorder, counted, transport
from tests.waiting import until

POLICIES = [ParkTenant(retry=Retry(attempts=1)), DeadLetter(retry=Retry(attempts=1))]


def leave() -> None:
    sys.exit(3)


def interrupt() -> None:
    raise KeyboardInterrupt


def leave_generator() -> None:
    raise GeneratorExit


def subscribed(host: MemoryTransport, raise_it: Callable[[], None], *, in_thread: bool = False, **options: Any) -> None:
    async def fail(envelope: object, context: object) -> None:
        raise_it()

    host.subscribe(group="g", **options)((lambda envelope, context: raise_it()) if in_thread else fail)


async def is_untouched(server: MemoryServer) -> bool:
    """Whether the one event is neither committed nor kept, and comes again."""
    again = Recorder()
    async with transport(server) as host:
        assert (await host.lag(group="g", topic="domain")) == {0: 1}
        assert (await host.dead_letters.stats()).letters == 0
        host.subscribe(group="g")(again)
        async with host.consuming():
            await until(lambda: bool(again.seen))
    return again.numbers == [1]


@pytest.mark.anyio
@pytest.mark.parametrize("in_thread", [False, True])
@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: type(policy).__name__)
async def test_a_generator_exit_ends_the_subscription(policy: Any, in_thread: bool) -> None:
    server = MemoryServer()
    async with transport(server) as host:
        subscribed(host, leave_generator, in_thread=in_thread, on_failure=policy)
        await host.publish(counted(1))
        with pytest.raises(ConsumerError, match="raised GeneratorExit, which ends its subscription") as caught:
            async with asyncio.timeout(20):
                await host.run()
        assert host.statistics().consuming.failed == 1
    assert isinstance(caught.value.__cause__, GeneratorExit)
    assert "partition 0, offset 0; it was not committed and comes again" in caught.value.__notes__[0]
    assert await is_untouched(server)


@pytest.mark.parametrize(("raise_it", "error"), [(leave, SystemExit), (interrupt, KeyboardInterrupt)])
@pytest.mark.parametrize("in_thread", [False, True])
def test_what_ends_the_process_ends_it(
    raise_it: Callable[[], None], error: type[BaseException], in_thread: bool
) -> None:
    server = MemoryServer()

    async def serve() -> None:
        async with transport(server) as host:
            subscribed(host, raise_it, in_thread=in_thread)
            await host.publish(counted(1))
            await host.run()

    with pytest.raises(error):
        asyncio.run(serve())
    assert asyncio.run(is_untouched(server))


def test_a_host_that_catches_it_and_goes_on_is_told() -> None:
    server = MemoryServer()

    async def serve() -> None:
        async with transport(server) as host:
            subscribed(host, leave)
            await host.publish(counted(1))
            await host.run()

    with asyncio.Runner() as runner:
        serving = runner.get_loop().create_task(serve())
        with pytest.raises(SystemExit):
            runner.get_loop().run_until_complete(asyncio.wait([serving], timeout=20))
        with pytest.raises(ConsumerError, match="raised SystemExit"):
            runner.get_loop().run_until_complete(asyncio.wait_for(serving, 20))
    assert asyncio.run(is_untouched(server))


@pytest.mark.anyio
async def test_a_letter_whose_handler_leaves_stays_open_and_has_used_an_attempt() -> None:
    server = MemoryServer()

    def fail() -> None:
        raise LookupError

    async with transport(server) as host:
        subscribed(host, fail, on_failure=POLICIES[0])
        await host.publish(counted(1))
        async with host.consuming():
            await until(lambda: host.statistics().consuming.letters == 1)
    async with transport(server) as host:
        subscribed(host, leave_generator)
        running = asyncio.create_task(host.run())
        await host.dead_letters.redrive(EVERYTHING, group="g", by="ada")
        with pytest.raises(ConsumerError, match="raised GeneratorExit"):
            await asyncio.wait_for(running, 20)
        (letter,) = (await host.dead_letters.list(group="g")).letters
        assert letter.redrives == 1
