"""Lanes of one partition: one per tenant, strictly in order within, side by side between, served in turn.

Decides only: lane_runner.py runs what is taken. A lane gives one delivery a turn, so a tenant with many events waits
as often as one with few.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from enum import Enum, auto
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class LaneState(Enum):
    """What a lane is doing; it is forgotten when it is empty."""

    READY = auto()
    RUNNING = auto()
    WAITING = auto()
    """Its head is to be run again later, or acknowledged later: deliberately, and not to be waited for for long."""
    PAUSED = auto()


READY, RUNNING, WAITING, PAUSED = LaneState  # each look into an enumeration takes as long as a call


class Lane(Generic[K, T]):
    """What one tenant has to come; the head is the one that runs."""

    __slots__ = ("items", "key", "state")

    def __init__(self, key: K) -> None:
        self.key = key
        self.items: deque[T] = deque()
        self.state = READY


class Lanes(Generic[K, T]):
    """Which lane is next. Invariants: a lane runs at most once at a time; its items are taken in the order of add()."""

    def __init__(self) -> None:
        self._lanes: dict[K, Lane[K, T]] = {}
        self._ready: deque[Lane[K, T]] = deque()
        self._paused: set[K] = set()
        self._pending = 0
        self._held = 0

    def __iter__(self) -> Iterator[Lane[K, T]]:
        return iter(self._lanes.values())

    @property
    def ready(self) -> int:
        """Lanes whose turn may come now."""
        return len(self._ready)

    @property
    def runnable(self) -> int:
        """Items that run or may run, those of waiting and paused lanes left out."""
        return self._pending - self._held

    def add(self, key: K, item: T) -> None:
        """Append an item to its lane."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Lane(key)
            if key in self._paused:
                lane.state = PAUSED
            else:
                self._ready.append(lane)
        lane.items.append(item)
        self._pending += 1
        if lane.state is WAITING or lane.state is PAUSED:
            self._held += 1

    def take(self) -> Lane[K, T] | None:
        """Return the lane whose turn it is; its head runs until done(), wait() or put_back()."""
        if not self._ready:
            return None
        lane = self._ready.popleft()
        lane.state = RUNNING
        return lane

    def done(self, lane: Lane[K, T]) -> None:
        """The head has ended: the lane goes to the end of the queue, or away when it is empty."""
        assert lane.state is RUNNING, "ended what did not run"
        lane.items.popleft()
        self._pending -= 1
        self._queue(lane)

    def put_back(self, lane: Lane[K, T]) -> None:
        """The head was not run to its end, and is still the next."""
        assert lane.state is RUNNING, "put back what did not run"
        self._queue(lane)

    def wait(self, lane: Lane[K, T]) -> None:
        """Hold the lane until wake()."""
        assert lane.state is RUNNING, "only what ran can wait"
        self._hold(lane, WAITING)

    def wake(self, lane: Lane[K, T], *, ended: bool = False) -> None:
        """Let a waiting lane go on: with its head again, or with the next one when that has `ended`."""
        assert lane.state is WAITING, "woke what did not wait"
        self._held -= len(lane.items)
        if ended:
            lane.items.popleft()
            self._pending -= 1
        self._queue(lane)

    def withdraw(self, lane: Lane[K, T], belongs: Callable[[T], bool]) -> list[T]:
        """Take what `belongs` out of a waiting lane, in order; its head stays."""
        assert lane.state is WAITING, "withdrew from what did not wait"
        head = lane.items.popleft()
        taken = [item for item in lane.items if belongs(item)]
        if taken:
            lane.items = deque(item for item in lane.items if not belongs(item))
            self._pending -= len(taken)
            self._held -= len(taken)
        lane.items.appendleft(head)
        return taken

    def pause(self, key: K) -> None:
        """Begin nothing of `key` until resume(); what runs ends."""
        self._paused.add(key)
        lane = self._lanes.get(key)
        if lane is not None and lane.state is READY:
            self._ready.remove(lane)
            self._hold(lane, PAUSED)

    def resume(self, key: K) -> None:
        """Undo pause()."""
        self._paused.discard(key)
        lane = self._lanes.get(key)
        if lane is not None and lane.state is PAUSED:
            self._held -= len(lane.items)
            self._queue(lane)

    def _queue(self, lane: Lane[K, T]) -> None:
        if not lane.items:
            del self._lanes[lane.key]
        elif self._paused and lane.key in self._paused:
            self._hold(lane, PAUSED)
        else:
            lane.state = READY
            self._ready.append(lane)

    def _hold(self, lane: Lane[K, T], state: LaneState) -> None:
        lane.state = state
        self._held += len(lane.items)
