"""What the transport asks of tracing, whoever records the spans. Nothing here needs a tracing library."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager

from rustok_iggy.consumer.context import DeliveryContext
from rustok_iggy.envelope import EventEnvelope


class PublishSpan(ABC):
    """One publish() or publish_batch() on its way."""

    @property
    @abstractmethod
    def headers(self) -> Mapping[str, bytes]:
        """What each of its messages carries beside `rk`: the W3C trace context. Empty when nothing is traced."""

    @abstractmethod
    def stamp(self, envelope: EventEnvelope) -> EventEnvelope:
        """Return the envelope with the trace's id, if it has none; one of another trace keeps it, and is linked."""

    @abstractmethod
    def stored(self, *, partition_id: int, offset: int) -> None:
        """Note where a single event was stored."""


class Tracing(ABC):
    """Records spans. Calls are made in the event loop, and never fail because of what a message carries."""

    @abstractmethod
    def publishing(self, *, topic: str | None, count: int) -> AbstractContextManager[PublishSpan]:
        """Return the span of publishing `count` events; `topic` None: those of a batch."""

    @abstractmethod
    def handling(
        self, envelope: EventEnvelope, context: DeliveryContext, headers: Mapping[str, bytes]
    ) -> AbstractContextManager[None]:
        """Return the span of one delivery, within the trace that its message's `headers` or envelope names.

        Inside, log lines carry `trace_id` and `span_id`. An exception that leaves it is noted by its type only.
        """
