"""A handler whose calls are noted, and which meets the faults that were planned for it."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rustok_iggy.consumer.context import DeliveryContext
from rustok_iggy.consumer.subscription import Handler, is_async
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import ConsumerError, RetryLater
from rustok_iggy.testing.faults import Fault, FaultKind, Faults
from rustok_iggy.testing.history import Attempt, History
from rustok_iggy.testing.interruption import interrupted


def observed(handler: Handler, *, history: History, faults: Faults, clock: Callable[[], float]) -> Handler:
    """Return a handler of the same kind and name. An `async def` stays one; a `def` still runs in a thread."""
    watch = _Watch(handler_name(handler), history, faults, clock)
    call: Any = handler

    async def observe(envelope: EventEnvelope, context: DeliveryContext) -> None:
        with watch.call(envelope, context) as fault:
            await _run(call, envelope, context, fault)

    def observe_in_thread(envelope: EventEnvelope, context: DeliveryContext) -> None:
        with watch.call(envelope, context) as fault:
            if fault is not None and fault.kind is FaultKind.CANCEL:
                raise ConsumerError(
                    f"{watch.handler} is no `async def`: it runs in a thread, which cannot be cancelled"
                )
            call(envelope, context)

    chosen: Any = observe if is_async(handler) else observe_in_thread
    functools.update_wrapper(chosen, call)
    chosen.__qualname__ = watch.handler
    watched: Handler = chosen
    return watched


def handler_name(handler: Handler) -> str:
    """Return what logs and messages call a handler."""
    return getattr(handler, "__qualname__", type(handler).__qualname__)


class _Watch:
    """Notes each call of one handler; a redelivery begins where the handler has ended well."""

    def __init__(self, handler: str, history: History, faults: Faults, clock: Callable[[], float]) -> None:
        self.handler = handler
        self._history = history
        self._faults = faults
        self._clock = clock

    @contextmanager
    def call(self, envelope: EventEnvelope, context: DeliveryContext) -> Iterator[Fault | None]:
        attempt = Attempt(handler=self.handler, envelope=envelope, context=context, began=self._clock())
        self._history.begin(attempt)
        fault = self._faults.next_for(envelope, group=context.group)
        try:
            if fault is not None and fault.error is not None:
                raise fault.error
            yield fault
        except BaseException as error:
            attempt.ended(error)
            if isinstance(error, RetryLater) and fault is not None and fault.kind is FaultKind.CANCEL:
                attempt.ended(error.__cause__)
            raise
        attempt.ended(None)
        if fault is not None and fault.kind is FaultKind.REDELIVER:
            raise RetryLater(0)


async def _run(
    handler: Callable[[EventEnvelope, DeliveryContext], Awaitable[None]],
    envelope: EventEnvelope,
    context: DeliveryContext,
    fault: Fault | None,
) -> None:
    if fault is None or fault.kind is not FaultKind.CANCEL:
        await handler(envelope, context)
        return
    ended: Any = await interrupted(_coroutine(handler, envelope, context), at=fault.at)
    if ended.was_cancelled:
        raise RetryLater(0) from ended.error  # the event was not settled, and comes again
    if ended.error is not None:
        raise ended.error


async def _coroutine(
    handler: Callable[[EventEnvelope, DeliveryContext], Awaitable[None]],
    envelope: EventEnvelope,
    context: DeliveryContext,
) -> None:
    await handler(envelope, context)
