"""Hands deliveries to their handlers: time limits, cancellations, and what does not count as success."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from msgspec import Struct

from rustok_iggy.consumer.context import DeliveryContext
from rustok_iggy.consumer.delivery import Delivery, at_position
from rustok_iggy.consumer.statistics import PartitionServices
from rustok_iggy.consumer.subscription import OnUnknown
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import (
    ConsumerError,
    DecodeError,
    SerializationError,
    UnknownEventTypeError,
    UnsupportedVersionError,
)
from rustok_iggy_connector import Position, get_logger

log = get_logger(__name__)


class Unread(Struct, frozen=True):
    """The event could not be decoded, and its handler never saw it."""

    error: SerializationError


class Handling:
    """What of one partition is being handled now, each in a task of its lane runner."""

    def __init__(self, services: PartitionServices, partition_id: int) -> None:
        self._services = services
        self._partition_id = partition_id
        self._running: dict[asyncio.Task[None], Delivery] = {}

    @property
    def running(self) -> Iterator[Delivery]:
        """Deliveries whose handlers have not ended."""
        yield from self._running.values()

    @property
    def count(self) -> int:
        """How many handlers run."""
        return len(self._running)

    async def run(
        self, delivery: Delivery, context: DeliveryContext, task: asyncio.Task[None]
    ) -> Exception | Unread | None:
        """Return how a delivery failed, None when it succeeded.

        Raises CancelledError when `task` was cancelled; ConsumerError when the handler raised what ends a process or a
        generator: no failure policy decides on that, and nothing is settled.
        """
        self._running[task] = delivery
        try:
            try:
                envelope = delivery.opened.decode()
            except SerializationError as error:
                raw = self._raw(delivery, error)
                if isinstance(raw, Unread):
                    return raw
                envelope = raw
            tracing = self._services.tracing
            if tracing is None:
                await delivery.route.run(envelope, context)
            else:
                with tracing.handling(envelope, context, delivery.message.headers):
                    await delivery.route.run(envelope, context)
        except asyncio.CancelledError:
            if delivery.timed_out and task.uncancel() == 0:
                delivery.timed_out = False
                return self._timeout(delivery)
            if task.cancelling():
                raise
            # Nobody cancelled this task: a handler let a cancellation of its own escape, which is no success.
            return ConsumerError("a handler raised CancelledError")
        except Exception as error:  # noqa: BLE001 - user code; what it raises is decided upon
            self._forget_timeout(delivery, task)
            return error
        except (KeyboardInterrupt, SystemExit, GeneratorExit) as error:
            if asyncio.current_task(task.get_loop()) is not task:
                raise  # not the handler's: the loop is gone, and this task is taken down
            raise self._end(delivery, error) from error
        except BaseException as error:  # noqa: BLE001 - such as pytest's outcomes; let out, it would hold the lane for ever
            self._forget_timeout(delivery, task)
            return no_exception(error)
        else:
            return self._returned(delivery, task) if delivery.timed_out or task.cancelling() else None
        finally:
            del self._running[task]

    def running_for(self, seconds: float, *, now: float) -> int:
        """How many handlers have run for at least so long."""
        return sum(now - delivery.started_at >= seconds for delivery in self._running.values())

    def watch(self, now: float) -> None:
        """Cancel handlers that run too long; log those that run long."""
        for task, delivery in tuple(self._running.items()):
            seconds, limit = now - delivery.started_at, delivery.route.timeout
            if limit and seconds >= limit and not delivery.timed_out:
                delivery.timed_out = True
                self._services.statistics.timed_out += 1
                task.cancel()
            elif seconds >= self._services.config.slow_handler_after and not delivery.is_slow:
                delivery.is_slow = True
                log.warning("handler_slow", **self.ids(delivery), seconds=round(seconds, 1))

    def ids(self, delivery: Delivery) -> dict[str, object]:
        """What logs say of a delivery."""
        return {
            "group": self._services.group,
            **self._position(delivery)._asdict(),
            "event_id": str(delivery.event_id),
            "attempt": delivery.attempt,
        }

    def where(self, delivery: Delivery) -> str:
        """The same in words, and what becomes of an event that was not settled."""
        topic, partition_id, offset = self._position(delivery)
        return (
            f"group {self._services.group}, topic {topic}, partition {partition_id}, offset {offset};"
            " it was not committed and comes again"
        )

    def _raw(self, delivery: Delivery, error: SerializationError) -> EventEnvelope | Unread:
        """Return what is handed over instead of an event that could not be decoded, if anything."""
        is_unknown = isinstance(error, (UnknownEventTypeError, UnsupportedVersionError))
        if not is_unknown or self._services.unknown is not OnUnknown.DELIVER_RAW:
            return Unread(self._located(delivery, error))
        try:
            return delivery.opened.decode_raw()
        except SerializationError as worse:
            return Unread(self._located(delivery, worse))

    def _position(self, delivery: Delivery) -> Position:
        return Position(self._services.topic, self._partition_id, delivery.offset)

    def _located(self, delivery: Delivery, error: SerializationError) -> SerializationError:
        if isinstance(error, DecodeError) and not delivery.is_unreadable:
            return at_position(self._position(delivery), error)
        return error

    def _forget_timeout(self, delivery: Delivery, task: asyncio.Task[None]) -> bool:
        """Undo the cancellation of a handler that ran too long and made something else of it; return whether it did."""
        if not delivery.timed_out:
            return False
        delivery.timed_out = False
        task.uncancel()
        return True

    def _end(self, delivery: Delivery, error: BaseException) -> ConsumerError:
        failure = ConsumerError(
            f"a handler raised {type(error).__name__}, which ends its subscription: raise an Exception for what a"
            " failure policy should decide, and cancel run() to end the service"
        )
        failure.add_note(self.where(delivery))
        return failure

    def _returned(self, delivery: Delivery, task: asyncio.Task[None]) -> Exception | None:
        """Return the failure of a handler that returned: one that swallowed its cancellation did not succeed."""
        if self._forget_timeout(delivery, task):
            return self._timeout(delivery)
        if task.cancelling():
            raise asyncio.CancelledError
        return None

    def _timeout(self, delivery: Delivery) -> Exception:
        return TimeoutError(f"the handler ran longer than {delivery.route.timeout:g} s")


def no_exception(error: BaseException) -> ConsumerError:
    """Return the failure that a handler's raised BaseException is."""
    failure = ConsumerError(f"a handler raised {type(error).__name__}, which is no Exception")
    failure.__cause__ = error
    return failure
