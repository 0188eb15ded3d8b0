"""Time goes on only when everybody waits; stopped processes stand still; dead ones are not unwound."""

import asyncio
import random

import pytest

from tests.model import virtual_time
from tests.model.virtual_time import HotLoopError, ProcessLoop, World


@pytest.fixture
def world():
    world = World(random.Random(1))
    loops = world.loops
    yield world
    for loop in loops:
        for task in asyncio.all_tasks(loop):
            task.cancel()
    world.run_for(0)
    for loop in loops:
        loop.close()


def test_hours_pass_at_once_and_in_order(world: World) -> None:
    seen: list[tuple[str, float]] = []

    async def note(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append((name, world.now))

    begun = world.now
    for name, seconds in (("late", 7200.0), ("soon", 3600.0)):
        ProcessLoop(world, name).create_task(note(name, seconds))
    world.run_for(10_000)
    assert seen == [("soon", begun + 3600), ("late", begun + 7200)]
    assert world.now == begun + 10_000


def test_a_stopped_process_runs_what_was_due_when_it_goes_on(world: World) -> None:
    seen: list[float] = []
    loop = ProcessLoop(world, "stopped")

    async def tick() -> None:
        while True:
            await asyncio.sleep(1)
            seen.append(world.now - begun)

    begun = world.now
    loop.create_task(tick())
    world.run_for(1.5)
    loop.stalled_until = begun + 5
    world.run_for(4)
    assert seen == [1, 5]


def test_a_killed_process_is_not_unwound(world: World) -> None:
    unwound = []
    loop = ProcessLoop(world, "killed")

    async def work() -> None:
        try:
            await asyncio.sleep(1)
        finally:
            unwound.append(True)

    loop.create_task(work())
    world.run_for(0.5)
    world.loops.remove(loop)
    world.run_for(10)
    assert unwound == []
    world.loops.append(loop)


@pytest.mark.parametrize("turn_time", [0.0, 0.01])
def test_a_loop_that_never_waits_is_noticed_and_where_it_is(
    world: World, monkeypatch: pytest.MonkeyPatch, turn_time: float
) -> None:
    monkeypatch.setattr(virtual_time, "MAX_TURNS_WITHOUT_REST", 100)

    async def spin() -> None:
        while True:  # noqa: ASYNC110  spinning is what is tested
            await asyncio.sleep(0)

    hot = ProcessLoop(world, "hot")
    hot.turn_time = turn_time
    hot.create_task(spin(), name="the hot one")
    with pytest.raises(HotLoopError, match=r"hot spins: 101 turns.*the hot one: .*sleep"):
        world.run_for(10)


@pytest.mark.parametrize(("turn_time", "moments"), [(0.0, 2), (0.5, 1)])
def test_a_busy_process_finds_together_what_came_while_it_worked(world: World, turn_time: float, moments: int) -> None:
    seen: list[float] = []
    loop = ProcessLoop(world, "busy")

    async def note(seconds: float) -> None:
        await asyncio.sleep(seconds)
        seen.append(world.now)

    loop.create_task(note(1.0))
    loop.create_task(note(1.001))
    world.run_for(0.5)
    loop.turn_time = turn_time
    world.at(world.now + 0.499, lambda: loop.call_soon(lambda: None))
    world.run_for(10)
    assert len(seen) == 2
    assert len(set(seen)) == moments
