"""From a stored message to a handler's return: filter by type, decode, call."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import Executor
from typing import Any
from uuid import UUID

from msgspec import Struct

from rustok_iggy.consumer.context import DeliveryContext, Redrive
from rustok_iggy.consumer.failure import DeadLetter, FailurePolicy, Stop
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

    def unreadable(self, message: ReceivedMessage, error: DecodeError, *, position: Position) -> OpenedEnvelope:
        """Return what stands for a message that open() refused: whose it is, if its header says so."""
        header = read_rk_header(message.headers)
        tenant_id = None if header is None else header.tenant_id
        return Unreadable(at_position(position, error), message_id=message.id, tenant_id=tenant_id)

    def decode(self, payload: bytes) -> EventEnvelope:
        """Decode in the configured format. Raises what EventSerializer.decode raises."""
        return self._serializer.decode(payload)

    def _named_by_header(self, message: ReceivedMessage) -> EventSerializer | None:
        header = read_rk_header(message.headers)
        if header is None or header.format is self._serializer.format:
            return None
        return self._serializers.get(header.format)


class Unreadable(OpenedEnvelope):
    """Stands for an envelope of which not even the ids can be read. Without a tenant, its tenant id is all zeros."""

    __slots__ = ("_error", "correlation_id", "has_tenant", "id")

    id: UUID
    correlation_id: UUID

    def __init__(self, error: DecodeError, *, message_id: int, tenant_id: UUID | None) -> None:
        self._error = error
        self.has_tenant = tenant_id is not None
        self.id = self.correlation_id = UUID(int=message_id)
        self.event_type, self.schema_version = "", 0
        self.tenant_id = tenant_id or NO_TENANT

    def decode(self) -> EventEnvelope:
        raise self._error

    def decode_raw(self) -> EventEnvelope:
        raise self._error


NO_TENANT = UUID(int=0)


class Route(Struct, frozen=True, kw_only=True):
    """What is done with an event type: which call, and what follows from it."""

    run: Run
    policy: FailurePolicy
    timeout: float
    """Seconds; 0: none. A thread cannot be stopped and has none."""
    manual: bool
    name: str
    """How logs and letters call the handler."""
    package: str
    """The first part of its module's name: whose code it is."""


class Router:
    """Which handler takes which event type, within one group on one topic."""

    def __init__(self, subscriptions: Iterable[Subscription], threads: Executor, *, timeout: float) -> None:
        self._by_type: dict[str, Route] = {}
        self._any: Route | None = None
        routes: list[Route] = []
        for each in subscriptions:
            route = _route(each, threads, timeout=timeout)
            routes.append(route)
            if each.event_types is None:
                self._any = route
            else:
                self._by_type.update(dict.fromkeys(each.event_types, route))
        self.timeouts = {route.timeout for route in routes}
        self.unreadable = min(routes, key=lambda route: _CARE.get(type(route.policy), 0))
        """For what no type is known of: the policy of the group that keeps most order."""

    def __call__(self, event_type: str) -> Route | None:
        return self._by_type.get(event_type, self._any)

    @property
    def event_types(self) -> frozenset[str] | None:
        """What is handled; None: all."""
        return None if self._any is not None else frozenset(self._by_type)


_CARE: dict[type, int] = {DeadLetter: 1, Stop: 2}
"""Policies that keep less order than the others, worst last: Stop is for groups that have nothing else."""


def _route(subscription: Subscription, threads: Executor, *, timeout: float) -> Route:
    handler = subscription.handler
    chosen = timeout if subscription.handler_timeout is None else subscription.handler_timeout
    module = getattr(handler, "__module__", None) or type(handler).__module__
    return Route(
        run=runner(handler, threads),
        policy=subscription.on_failure,
        timeout=chosen if is_async(handler) else 0,
        manual=subscription.ack is Ack.MANUAL,
        name=subscription.name,
        package=module.partition(".")[0],
    )


class NotRun(Exception):  # noqa: N818  an outcome, not an error
    """A dead letter was taken out of its lane again: an event before it became one."""


class Redriving(Struct, kw_only=True):
    """A delivery of a dead letter: what its handler is told, and who is told how it ended."""

    told: Redrive
    ended: asyncio.Future[Exception | None]
    """The error; None when it was handled."""

    def end(self, error: Exception | None) -> None:
        """Tell whoever waits, unless he is gone."""
        if not self.ended.done():
            self.ended.set_result(error)


class Delivery(Struct, kw_only=True, gc=False):
    """One event on its way to its handler, over all its attempts. Times in seconds of the consumer's clock."""

    offset: int
    message: ReceivedMessage
    opened: OpenedEnvelope
    route: Route
    redriving: Redriving | None = None
    attempt: int = 0
    failures: int = 0
    first_failed_at: float = 0.0
    started_at: float = 0.0
    is_slow: bool = False
    timed_out: bool = False
    acked: bool = False

    @property
    def is_unreadable(self) -> bool:
        """Whether not even its ids can be read."""
        return type(self.opened) is Unreadable  # of a protocol's child, isinstance takes twenty times as long

    @property
    def event_id(self) -> UUID | None:
        """None when it cannot be read, which may show only when the whole is decoded."""
        event_id = self.opened.id
        return None if self.is_unreadable or not event_id.int else event_id

    @property
    def tenant_id(self) -> UUID | None:
        """Whose event it is; None when that cannot be read."""
        opened = self.opened
        return None if type(opened) is Unreadable and not opened.has_tenant else opened.tenant_id


def runner(handler: Handler, threads: Executor) -> Run:
    """Return what calls a handler: an `async def` in the loop, everything else in a thread.

    What a handler in a thread returns is awaited in the loop if it can be: a lambda or a decorator may stand before an
    `async def`, of which nothing has run yet. A thread cannot be stopped: a cancelled call ends when its handler
    returns. One that still waits for a thread never begins: its partition may be another's by then.
    """
    if is_async(handler):
        return handler

    async def run(envelope: EventEnvelope, context: DeliveryContext) -> None:
        variables = contextvars.copy_context()
        call = threads.submit(variables.run, _in_thread, handler, envelope, context)
        running = asyncio.wrap_future(call)
        try:
            returned = await asyncio.shield(running)
        except asyncio.CancelledError:
            if not call.cancel():
                await _ended(running)
            raise
        if inspect.isawaitable(returned):
            await returned

    return run


def _in_thread(handler: Handler, envelope: EventEnvelope, context: DeliveryContext) -> Awaitable[None] | None:
    try:
        return handler(envelope, context)
    except StopIteration as error:  # no future can hold one (PEP 479): before Python 3.12 it would never be done
        raise RuntimeError("a handler raised StopIteration") from error


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
