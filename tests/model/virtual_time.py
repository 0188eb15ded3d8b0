"""Several processes in one thread, under one clock that the test moves: real asyncio code, and no waiting.

Each process has an event loop of its own. The world gives one of them one turn at a time, chosen by its random numbers,
and moves the clock only when all of them wait. So a process can be stopped (SIGSTOP: it gets no turns while time goes
on for the others) and killed (SIGKILL: it never gets a turn again, and nothing of it is unwound).
"""

from __future__ import annotations

import asyncio
import heapq
import random
import selectors
from collections.abc import Callable, Coroutine
from itertools import count
from math import inf
from typing import Any, TypeVar

T = TypeVar("T")

MAX_TURNS_WITHOUT_REST = 20_000
"""A hot loop: nothing that is right needs so many turns of its loop before it waits for something."""


class HotLoopError(Exception):
    """A process never waits: time would stand still, or its processor be used up for nothing."""


class World:
    """The clock, what happens at which time, and the loops."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.now = 1000.0
        self.loops: list[ProcessLoop] = []
        self.serial = count(1)
        self._due: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, time: float, call: Callable[[], None]) -> None:
        """Call it at a time; what is due at once is called in the order of asking."""
        heapq.heappush(self._due, (max(time, self.now), next(self.serial), call))

    def run_for(self, seconds: float, *, until: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass, or stop as soon as a condition holds; whether it held."""
        ends = self.now + seconds
        while not until():
            awake = [loop for loop in self.loops if loop.wakes_at <= self.now]
            if awake:
                self._give_turn(self.chance.choice(awake))
                continue
            upcoming = min((loop.wakes_at for loop in self.loops), default=inf)
            if self._due:
                upcoming = min(upcoming, self._due[0][0])
            if upcoming > ends:
                self.now = ends
                return until()
            self.now = upcoming
            while self._due and self._due[0][0] <= self.now:
                heapq.heappop(self._due)[2]()
        return True

    def _give_turn(self, loop: ProcessLoop) -> None:
        loop.turn()
        if loop.turns_without_rest > MAX_TURNS_WITHOUT_REST:
            tasks = sorted(map(_where, asyncio.all_tasks(loop)))
            raise HotLoopError(
                f"{loop.name} spins: {loop.turns_without_rest} turns, and it never waits; it is at {tasks}"
            )


def _where(task: asyncio.Task[Any]) -> str:
    """The innermost coroutine that a task has come to, and the line."""
    inner: Any = task.get_coro()
    while getattr(inner, "cr_await", None) is not None and hasattr(inner.cr_await, "cr_frame"):
        inner = inner.cr_await
    frame = getattr(inner, "cr_frame", None)
    return f"{task.get_name()}: {inner.__qualname__}, line {None if frame is None else frame.f_lineno}"


class _NoInput(selectors.SelectSelector):
    """Nothing ever comes from a socket. Tells how long the loop would have waited, and ends its turn."""

    def __init__(self) -> None:
        super().__init__()
        self.loop: ProcessLoop | None = None

    def select(self, timeout: float | None = None) -> list[Any]:
        if self.loop is not None:
            self.loop.would_wait(timeout)
        return []


class ProcessLoop(asyncio.SelectorEventLoop):
    """The event loop of one process. `errors` nobody caught are kept for the test.

    Each turn in which something runs takes up to `turn_time` seconds. What happens meanwhile (replies, timers) is found
    together by the next turn: things that never fall together in a process that has nothing else to do.
    """

    def __init__(self, world: World, name: str) -> None:
        self._world = world
        self._asleep_until = 0.0
        self._busy_until = 0.0
        self.stalled_until = 0.0
        self.turn_time = 0.0
        self.turns_without_rest = 0
        self.name = name
        self.errors: list[str] = []
        selector = _NoInput()
        super().__init__(selector)
        selector.loop = self
        self.set_task_factory(_new_task)
        self.set_exception_handler(self._note)
        world.loops.append(self)

    @property
    def wakes_at(self) -> float:
        """When it has something to do; in the past: now."""
        return max(self._asleep_until, self._busy_until, self.stalled_until)

    def time(self) -> float:
        return self._world.now

    def turn(self) -> None:
        """Run what is ready, once."""
        self.run_forever()
        if self.turn_time and self.turns_without_rest:
            self._busy_until = self._world.now + self._world.chance.uniform(0, self.turn_time)

    def would_wait(self, timeout: float | None) -> None:
        """Called from within a turn, before it runs what is due."""
        self._asleep_until = inf if timeout is None else self._world.now + timeout
        self.turns_without_rest = self.turns_without_rest + 1 if timeout == 0 else 0
        self.stop()

    def call_soon(self, callback: Any, *arguments: Any, context: Any = None) -> asyncio.Handle:
        self._asleep_until = 0.0
        return super().call_soon(callback, *arguments, context=context)

    def call_at(self, when: float, callback: Any, *arguments: Any, context: Any = None) -> asyncio.TimerHandle:
        self._asleep_until = min(self._asleep_until, when)
        return super().call_at(when, callback, *arguments, context=context)

    def create_future(self) -> asyncio.Future[Any]:
        return SimulatedFuture(loop=self)

    def next_serial(self) -> int:
        return next(self._world.serial)

    def _note(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.errors.append(f"{context.get('message')}: {context.get('exception')!r}")


# Sets of tasks and futures are walked in an order that follows from their hashes: memory addresses would make every run
# another one.


class SimulatedFuture(asyncio.Future[Any]):
    serial = 0

    def __hash__(self) -> int:
        return _serial(self)


class SimulatedTask(asyncio.Task[Any]):
    serial = 0

    def __hash__(self) -> int:
        return _serial(self)


def _serial(future: SimulatedFuture | SimulatedTask) -> int:
    if not future.serial:
        loop = future.get_loop()
        assert isinstance(loop, ProcessLoop)
        future.serial = loop.next_serial()
    return future.serial


def _new_task(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any) -> SimulatedTask:
    return SimulatedTask(work, loop=loop, **options)


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that waits for nothing but its turn."""
    try:
        while True:
            work.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
