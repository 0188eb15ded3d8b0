"""From a stored message to a handler's return: filter by type, decode, call."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from functools import partial
from typing import Any

from msgspec import Struct

from rustok_iggy.consumer.context import DeliveryContext
from rustok_iggy.consumer.failure import FailurePolicy
from rustok_iggy.consumer.subscription import Ack, Handler, Subscription, is_async
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import DecodeError
from rustok_iggy.message import read_rk_header
from rustok_iggy.serialization import EventSerializer, OpenedEnvelope, SerializationFormat
from rustok_iggy_connector import Position, ReceivedMessage

Run = Callable[[EventEnvelope, DeliveryContext], Any]
"""Hands one event to one handler; returns an awaitable."""


class EnvelopeReader:
    """Reads messages in the configured format; in the one its `rk` header names when that fails."""

    def __init__(self, serializers: Mapping[SerializationFormat, EventSerializer], format: SerializationFormat) -> None:
        self._serializers = serializers
        self._serializer = serializers[format]

    def open(self, message: ReceivedMessage) -> OpenedEnvelope:
        """Read a message's ids. Raises DecodeError."""
        try:
            return self._serializer.open(message.payload)
        except DecodeError:
            other = self._named_by_header(message)
            if other is None:
                raise
        return other.open(message.payload)

    def decode(self, payload: bytes) -> EventEnvelope:
        """Decode in the configured format. Raises what EventSerializer.decode raises."""
        return self._serializer.decode(payload)

    def _named_by_header(self, message: ReceivedMessage) -> EventSerializer | None:
        header = read_rk_header(message.headers)
        if header is None or header.format is self._serializer.format:
            return None
        return self._serializers.get(header.format)


class Route(Struct, frozen=True, kw_only=True):
    """What is done with an event type: which call, and what follows from it."""

    run: Run
    policy: FailurePolicy
    timeout: float
    """Seconds; 0: none. A thread cannot be stopped and has none."""
    manual: bool


class Router:
    """Which handler takes which event type, within one group on one topic."""

    def __init__(self, subscriptions: Iterable[Subscription], threads: Executor, *, timeout: float) -> None:
        self._by_type: dict[str, Route] = {}
        self._any: Route | None = None
        self.timeouts: set[float] = set()
        for each in subscriptions:
            chosen = timeout if each.handler_timeout is None else each.handler_timeout
            route = Route(
                run=runner(each.handler, threads),
                policy=each.on_failure,
                timeout=chosen if is_async(each.handler) else 0,
                manual=each.ack is Ack.MANUAL,
            )
            self.timeouts.add(route.timeout)
            if each.event_types is None:
                self._any = route
            else:
                self._by_type.update(dict.fromkeys(each.event_types, route))

    def __call__(self, event_type: str) -> Route | None:
        return self._by_type.get(event_type, self._any)


class Delivery(Struct, kw_only=True, gc=False):
    """One event on its way to its handler, over all its attempts. Times in seconds of the consumer's clock."""

    offset: int
    stored_at: int
    opened: OpenedEnvelope
    route: Route
    attempt: int = 0
    failures: int = 0
    first_failed_at: float = 0.0
    started_at: float = 0.0
    is_slow: bool = False
    timed_out: bool = False
    acked: bool = False


def runner(handler: Handler, threads: Executor) -> Run:
    """Return what calls a handler: an `async def` in the loop, everything else in a thread.

    A thread cannot be stopped: a cancelled call ends when its handler returns.
    """
    if is_async(handler):
        return handler

    async def run(envelope: EventEnvelope, context: DeliveryContext) -> None:
        loop = asyncio.get_running_loop()
        variables = contextvars.copy_context()
        running = loop.run_in_executor(threads, partial(variables.run, handler, envelope, context))
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            await _ended(running)
            raise

    return run


async def _ended(running: asyncio.Future[Any]) -> None:
    """Wait for a thread, whatever else is cancelled: its partition must not go on beside it."""
    while not running.done():
        try:
            await asyncio.wait({running})
        except asyncio.CancelledError:
            continue  # the first cancellation is raised by the caller once the thread has ended
    if not running.cancelled():
        running.exception()  # noted as seen; the cancellation says more


def at_position(position: Position, error: DecodeError) -> DecodeError:
    """Return the same error with the message's position."""
    return DecodeError(
        f"the message at topic {position.topic}, partition {position.partition_id}, offset {position.offset}"
        f" cannot be read: {error}",
        format=error.format,
        path=error.path,
    )
