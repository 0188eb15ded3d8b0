"""From a stored message to a handler's return: filter by type, decode, call."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from functools import partial
from typing import Any

from rustok_iggy.consumer.context import DeliveryContext
from rustok_iggy.consumer.subscription import Handler, Subscription, is_async
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import DecodeError
from rustok_iggy.message import read_rk_header
from rustok_iggy.serialization import EventSerializer, SerializationFormat
from rustok_iggy_connector import Position, ReceivedMessage

Run = Callable[[EventEnvelope, DeliveryContext], Any]
"""Hands one event to one handler; returns an awaitable."""


class EnvelopeReader:
    """Reads messages in the configured format; in the one its `rk` header names when that fails."""

    def __init__(self, serializers: Mapping[SerializationFormat, EventSerializer], format: SerializationFormat) -> None:
        self._serializers = serializers
        self._serializer = serializers[format]

    def read(
        self, message: ReceivedMessage, wanted: Callable[[str], Run | None], position: Position
    ) -> tuple[EventEnvelope, Run] | None:
        """Decode a message if its event type is `wanted`; None when it is not.

        Raises DecodeError that names the position; UnknownEventTypeError, UnsupportedVersionError with it as a note.
        """
        try:
            return self._read(self._serializer, message.payload, wanted)
        except DecodeError as error:
            other = self._named_by_header(message)
            if other is None:
                raise _at(position, error) from error
        try:
            return self._read(other, message.payload, wanted)
        except DecodeError as error:
            raise _at(position, error) from error

    def decode(self, payload: bytes) -> EventEnvelope:
        """Decode in the configured format. Raises what EventSerializer.decode raises."""
        return self._serializer.decode(payload)

    def _read(
        self, serializer: EventSerializer, payload: bytes, wanted: Callable[[str], Run | None]
    ) -> tuple[EventEnvelope, Run] | None:
        opened = serializer.open(payload)
        run = wanted(opened.event_type)
        return None if run is None else (opened.decode(), run)

    def _named_by_header(self, message: ReceivedMessage) -> EventSerializer | None:
        header = read_rk_header(message.headers)
        if header is None or header.format is self._serializer.format:
            return None
        return self._serializers.get(header.format)


class Router:
    """Which handler takes which event type, within one group on one topic."""

    def __init__(self, subscriptions: Iterable[Subscription], threads: Executor) -> None:
        self._by_type: dict[str, Run] = {}
        self._any: Run | None = None
        for subscription in subscriptions:
            run = runner(subscription.handler, threads)
            if subscription.event_types is None:
                self._any = run
            else:
                self._by_type.update(dict.fromkeys(subscription.event_types, run))

    def __call__(self, event_type: str) -> Run | None:
        return self._by_type.get(event_type, self._any)


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


def _at(position: Position, error: DecodeError) -> DecodeError:
    return DecodeError(
        f"the message at topic {position.topic}, partition {position.partition_id}, offset {position.offset}"
        f" cannot be read: {error}",
        format=error.format,
        path=error.path,
    )
