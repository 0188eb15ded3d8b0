"""A handler on trial: cancelled where it waits, called again where it was done; what it does wrong is noted."""

from __future__ import annotations

from collections import Counter
from typing import Any
from uuid import UUID

from rustok_iggy.consumer.context import DeliveryContext
from rustok_iggy.consumer.subscription import Handler, is_async
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import Reject, RetryLater
from rustok_iggy.testing.history import describe, describe_error
from rustok_iggy.testing.interruption import StillRunningError, Waits, interrupted


class TrialHandler:
    """Hands each event to a handler `calls` times; `cancel_at` cancels the first of them at that wait.

    Errors are noted and count as ends: a failing handler must not hold up its trial. Reject is an answer, RetryLater
    is done as told.
    """

    def __init__(self, handler: Handler, *, calls: int = 1, cancel_at: int = 0) -> None:
        self._call: Any = handler
        self._calls = calls
        self._cancel_at = cancel_at
        self._begun: Counter[UUID] = Counter()
        self.ended: set[UUID] = set()
        self.reasons: list[str] = []
        self.places: set[str] = set()
        self.waits = 0
        """How often the handler waited for one event, at most."""

    @property
    def handler(self) -> Handler:
        """What to subscribe: of the same kind as the handler on trial."""
        return self._on_loop if is_async(self._call) else self._in_thread

    async def _on_loop(self, envelope: EventEnvelope, context: DeliveryContext) -> None:
        self._begun[envelope.id] += 1
        is_first = self._begun[envelope.id] == 1
        try:
            if self._cancel_at and is_first:
                await self._cancelled(envelope, context)
            else:
                waits = Waits(self._run(envelope, context))
                await waits.run()
                self.waits = max(self.waits, waits.count)
        except RetryLater:
            raise
        except Exception as error:  # noqa: BLE001 - user code; what it raises is what the trial is about
            self._note(envelope, error)
        self._end(envelope)

    def _in_thread(self, envelope: EventEnvelope, context: DeliveryContext) -> None:
        self._begun[envelope.id] += 1
        try:
            self._call(envelope, context)
        except RetryLater:
            raise
        except Exception as error:  # noqa: BLE001 - as above
            self._note(envelope, error)
        self._end(envelope)

    async def _cancelled(self, envelope: EventEnvelope, context: DeliveryContext) -> None:
        try:
            ended = await interrupted(self._run(envelope, context), at=self._cancel_at)
        except StillRunningError as error:
            self.reasons.append(f"{describe(envelope)}: {error}")
            raise RetryLater(0) from error
        if ended.place is None:
            if ended.error is not None:
                raise ended.error
            return
        self.places.add(ended.place)
        if ended.error is None:
            self.reasons.append(
                f"swallows its cancellation at {ended.place}: it goes on although another process may have its events;"
                " let CancelledError through"
            )
            return
        if not ended.was_cancelled:
            self.reasons.append(f"cancelled at {ended.place}, it raises {describe_error(ended.error)} instead")
        raise RetryLater(0) from ended.error

    async def _run(self, envelope: EventEnvelope, context: DeliveryContext) -> None:
        await self._call(envelope, context)

    def _note(self, envelope: EventEnvelope, error: Exception) -> None:
        if not isinstance(error, Reject):
            self.reasons.append(
                f"raises {describe_error(error)} in call {self._begun[envelope.id]} of {describe(envelope)}"
            )

    def _end(self, envelope: EventEnvelope) -> None:
        if self._begun[envelope.id] < self._calls:
            raise RetryLater(0)
        self.ended.add(envelope.id)
