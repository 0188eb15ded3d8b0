"""Waiting for a future of somebody else's: whatever becomes of the waiter, the future is left alone."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar

import anyio
import pytest

from rustok_iggy_connector.shielded_wait import ShieldedWait

pytestmark = pytest.mark.anyio

WITHIN = 20


def new_future() -> asyncio.Future[int]:
    return asyncio.get_running_loop().create_future()


async def wait_on(waiting: ShieldedWait) -> None:
    await waiting


@pytest.mark.parametrize(
    "settle",
    [
        lambda future: future.set_result(1),
        lambda future: future.set_exception(ValueError("its own affair")),
        lambda future: future.cancel(),
    ],
    ids=["result", "exception", "cancelled"],
)
@pytest.mark.parametrize("when", ["before", "while"])
async def test_it_returns_when_the_future_is_done_whatever_came_of_it(
    settle: Callable[[asyncio.Future[int]], object], when: str
) -> None:
    future = new_future()
    if when == "while":
        asyncio.get_running_loop().call_later(0.01, settle, future)
    else:
        settle(future)
    await asyncio.wait_for(wait_on(ShieldedWait(future)), WITHIN)
    assert future.done()
    if not future.cancelled():
        future.exception()  # taken note of


async def test_a_cancelled_waiter_leaves_the_future_alone() -> None:
    future = new_future()
    waiter = asyncio.ensure_future(wait_on(ShieldedWait(future)))
    await asyncio.sleep(0)
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert not future.done()
    future.set_result(1)  # and wakes nobody
    await asyncio.sleep(0)


async def test_a_waiter_cancelled_before_its_first_step_leaves_it_alone_too() -> None:
    future = new_future()

    async def cancelled_by_itself() -> None:
        task = asyncio.current_task()
        assert task
        task.cancel()
        await ShieldedWait(future)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.ensure_future(cancelled_by_itself())
    assert not future.done()


@pytest.mark.parametrize("first", ["done", "cancel"])
async def test_a_cancellation_in_the_very_turn_of_the_answer_is_not_lost(first: str) -> None:
    future = new_future()
    waiter = asyncio.ensure_future(wait_on(ShieldedWait(future)))
    await asyncio.sleep(0)
    steps = [lambda: future.set_result(1), waiter.cancel]
    for step in steps if first == "done" else reversed(steps):
        step()
    with pytest.raises(asyncio.CancelledError):
        await waiter


async def test_a_cancellation_in_the_very_turn_of_the_end_is_not_lost() -> None:
    future = new_future()
    waiting = ShieldedWait(future)
    waiter = asyncio.ensure_future(wait_on(waiting))
    await asyncio.sleep(0)
    waiting.end()
    waiter.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiter
    assert not future.done()


async def test_the_waiting_can_be_ended_and_ended_again() -> None:
    future = new_future()
    waiting = ShieldedWait(future)
    asyncio.get_running_loop().call_later(0.01, waiting.end)
    await asyncio.wait_for(wait_on(waiting), WITHIN)
    assert not future.done()
    waiting.end()


async def test_timeouts_and_cancel_scopes_end_it() -> None:
    future = new_future()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await ShieldedWait(future)
    with anyio.move_on_after(0.01) as scope:
        await ShieldedWait(future)
    assert scope.cancelled_caught
    task = asyncio.current_task()
    assert task
    assert not task.cancelling()
    assert not future.done()


async def test_the_waiter_goes_on_in_the_turn_in_which_the_future_tells() -> None:
    """What it is for: a future in between would put its waiter behind everything that stands in that turn."""
    future, order = new_future(), list[str]()

    async def wait() -> None:
        await ShieldedWait(future)
        order.append("waiter")

    waiter = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    future.add_done_callback(lambda _: asyncio.get_running_loop().call_soon(order.append, "next turn"))
    future.set_result(1)
    await waiter
    await asyncio.sleep(0)
    assert order == ["waiter", "next turn"]


@pytest.mark.parametrize("how", ["done", "end"])
async def test_the_waiter_keeps_its_own_context(how: str) -> None:
    number: ContextVar[int] = ContextVar("number")
    future, seen = new_future(), list[int]()
    waiting = ShieldedWait(future)

    async def wait() -> None:
        number.set(1)
        await waiting
        seen.append(number.get())

    waiter = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    number.set(2)
    if how == "done":
        future.set_result(1)
    else:
        waiting.end()
    await waiter
    assert seen == [1]
