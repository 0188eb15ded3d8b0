"""Running beside something else, and until a signal: what asyncio leaves to its users."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any

Run = Callable[[asyncio.Event], Coroutine[Any, Any, None]]
"""Runs until the event is set, then drains; raises when it fails before."""


@contextmanager
def set_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """The first SIGTERM or Ctrl-C sets `stop` while inside; who presses Ctrl-C again does not wait for the drain.

    Outside of the main thread signals are the host's matter, and nothing is done. The handlers that were there before
    are put back, and a Ctrl-C that is ignored, as in a shell's background, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _set_by(signal.SIGTERM, stop.set), _interrupting_once(stop):
        yield


@contextmanager
def _interrupting_once(stop: asyncio.Event) -> Iterator[None]:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield
        return
    with ExitStack() as taken:

        def first() -> None:
            stop.set()
            taken.close()

        taken.enter_context(_set_by(signal.SIGINT, first))
        yield


@contextmanager
def _set_by(number: signal.Signals, call: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    previous = signal.getsignal(number)
    try:
        loop.add_signal_handler(number, call)
    except NotImplementedError:  # Windows' loop takes no signals
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(number)
        if previous is not None:
            signal.signal(number, previous)


@asynccontextmanager
async def in_background(run: Run) -> AsyncIterator[None]:
    """Run `run` while inside; its failure cancels the body and is raised in its place.

    Leaving sets the event and waits for the drain. An error of the body goes before one of the drain.
    """
    body = asyncio.current_task()
    assert body is not None, "async with runs in a task"
    stop = asyncio.Event()
    running = asyncio.create_task(run(stop))
    interrupted = False

    def interrupt(ended: asyncio.Task[None]) -> None:
        nonlocal interrupted
        if not stop.is_set() and not ended.cancelled() and ended.exception() is not None:
            interrupted = True
            body.cancel()

    running.add_done_callback(interrupt)
    try:
        yield
    except asyncio.CancelledError:
        if not interrupted:
            raise
        interrupted = False
        # Ours becomes the error; one from outside beside it stays a cancellation.
        if body.uncancel() > 0:
            raise
    finally:
        stop.set()
        await ended([running])
        if interrupted:  # the body swallowed our cancellation, or raised something else because of it
            body.uncancel()
    running.result()


async def ended(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Wait until all have ended, however often this is cancelled meanwhile: each time they are cancelled as well.

    Raises the cancellation when they have. What they raise is noted, and left to the caller.
    """
    watched = tuple(tasks)
    cancelled: asyncio.CancelledError | None = None
    while running := [task for task in watched if not task.done()]:
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError as error:
            cancelled = error
            for task in running:
                task.cancel()
    for task in watched:
        if not task.cancelled():
            task.exception()  # noted: asyncio warns of one that nobody asked for
    if cancelled is not None:
        raise cancelled
