"""Running beside a body, and until a signal."""

import asyncio
import contextlib
import os
import signal
from functools import partial

import pytest

from rustok_iggy.running import Run, in_background, set_by_signals
from tests.cancelling import at_each_wait

pytestmark = pytest.mark.anyio


class Runner:
    """Runs until told to stop; `fail` makes it fail at once or while draining."""

    def __init__(self, *, failing: Exception | None = None, draining: Exception | None = None) -> None:
        self.failing = failing
        self.draining = draining
        self.started = asyncio.Event()
        self.drained = False

    async def __call__(self, stop: asyncio.Event) -> None:
        self.started.set()
        if self.failing is not None:
            raise self.failing
        await stop.wait()
        await asyncio.sleep(0)
        self.drained = True
        if self.draining is not None:
            raise self.draining


async def test_leaving_the_body_drains() -> None:
    runner = Runner()
    async with in_background(runner):
        await runner.started.wait()
    assert runner.drained


async def test_a_failure_cancels_the_body_and_is_raised_in_its_place() -> None:
    reached = False
    with pytest.raises(LookupError):
        async with in_background(Runner(failing=LookupError("gone"))):
            await asyncio.sleep(30)
            reached = True
    assert not reached
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_body_that_swallows_the_cancellation_still_gets_the_failure() -> None:
    with pytest.raises(LookupError):
        async with in_background(Runner(failing=LookupError("gone"))):
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(30)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_failure_while_draining_is_raised() -> None:
    with pytest.raises(LookupError):
        async with in_background(Runner(draining=LookupError("gone"))) as _:
            await asyncio.sleep(0)


async def test_the_bodys_own_error_goes_first() -> None:
    runner = Runner(draining=LookupError("gone"))
    with pytest.raises(ZeroDivisionError):
        async with in_background(runner):
            await runner.started.wait()
            raise ZeroDivisionError
    assert runner.drained


async def test_a_cancellation_from_outside_stays_one_and_drains() -> None:
    runner = Runner()

    async def host() -> None:
        async with in_background(runner):
            await asyncio.sleep(30)

    task = asyncio.create_task(host())
    await runner.started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert runner.drained


async def test_a_second_cancellation_cuts_the_drain_short() -> None:
    entered = asyncio.Event()

    async def stubborn(stop: asyncio.Event) -> None:
        await stop.wait()
        entered.set()
        await asyncio.sleep(30)

    async def host() -> None:
        async with in_background(stubborn):
            await asyncio.sleep(30)

    task = asyncio.create_task(host())
    await asyncio.sleep(0)
    task.cancel()
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 20)


async def test_wherever_its_end_is_cancelled_what_runs_beside_the_body_has_ended() -> None:
    for cancellation in at_each_wait():
        ends: list[str] = []
        await cancellation(beside(partial(drain_slowly, ends)))
        assert ends == ["ended"], cancellation.place


async def beside(run: Run) -> None:
    async with in_background(run):
        await asyncio.sleep(0)


async def drain_slowly(ends: list[str], stop: asyncio.Event) -> None:
    try:
        await stop.wait()
        await asyncio.sleep(0.01)
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.01)
        ends.append("ended")


async def test_sigterm_sets_the_event_and_the_hosts_handler_comes_back() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: seen.append(number))
    try:
        stop = asyncio.Event()
        with set_by_signals(stop):
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.wait_for(stop.wait(), 20)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0)
        assert seen == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_the_first_ctrl_c_sets_the_event_and_the_second_is_the_hosts() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        stop = asyncio.Event()
        with set_by_signals(stop):
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.wait_for(stop.wait(), 20)
            assert not seen
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0)
            assert seen == [signal.SIGINT]
        os.kill(os.getpid(), signal.SIGINT)
        await asyncio.sleep(0)
        assert seen == [signal.SIGINT] * 2
    finally:
        signal.signal(signal.SIGINT, before)


async def test_an_ignored_ctrl_c_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        stop = asyncio.Event()
        with set_by_signals(stop):
            os.kill(os.getpid(), signal.SIGINT)
            await asyncio.sleep(0.05)  # nothing is to happen
            assert not stop.is_set()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


async def test_outside_of_the_main_thread_signals_are_left_alone() -> None:
    def in_thread() -> bool:
        async def enter() -> bool:
            with set_by_signals(asyncio.Event()):
                return True

        return asyncio.run(enter())

    before = signal.getsignal(signal.SIGTERM)
    assert await asyncio.to_thread(in_thread)
    assert signal.getsignal(signal.SIGTERM) is before
