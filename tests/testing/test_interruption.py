"""A coroutine is cancelled exactly where it waits for the n-th time."""

import asyncio

import pytest

from rustok_iggy.testing import interruption
from rustok_iggy.testing.interruption import StillRunningError, Waits, interrupted

pytestmark = pytest.mark.anyio


async def three_waits(steps: list[str]) -> None:
    steps.append("a")
    await asyncio.sleep(0)
    steps.append("b")
    await asyncio.get_running_loop().run_in_executor(None, int)
    steps.append("c")
    await asyncio.sleep(0.001)
    steps.append("d")


@pytest.mark.parametrize(("at", "steps"), [(1, "a"), (2, "ab"), (3, "abc"), (4, "abcd")])
async def test_it_ends_at_the_chosen_wait(at: int, steps: str) -> None:
    taken: list[str] = []
    ended = await interrupted(three_waits(taken), at=at)
    assert "".join(taken) == steps
    assert ended.was_cancelled == (at < 4)
    assert (ended.place is not None) == (at < 4)


async def test_waits_are_counted() -> None:
    waits = Waits(three_waits([]))
    await waits.run()
    assert waits.count == 3


async def test_an_error_is_handed_back() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError("x")

    ended = await interrupted(fail(), at=2)
    assert isinstance(ended.error, LookupError)
    assert not ended.was_cancelled


async def test_one_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interruption, "CANCELLED_HANDLER_TIMEOUT", 0.05)
    release = asyncio.Event()

    async def stubborn() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    with pytest.raises(StillRunningError, match=r"cancelled at .*test_interruption.py"):
        await interrupted(stubborn(), at=1)
    release.set()


async def test_a_cancellation_of_the_caller_goes_through() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def wait() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(interrupted(wait(), at=2))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()
