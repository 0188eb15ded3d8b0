"""Spans over the OpenTelemetry API, with its conventions for messaging.

publish  PRODUCER, a child of the caller's span; its context travels in the header `traceparent` (W3C)
process  CONSUMER, one for each attempt; its parent is the span that published the event

Attributes: semantic conventions for messaging, version 1.27 (messaging.*), and rustok.* for what they do not name. Ids,
names and numbers only: no payload, no text of an error.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from uuid import UUID

from msgspec.structs import replace
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, NonRecordingSpan, Span, SpanContext, SpanKind, Status, StatusCode, TraceFlags
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

from rustok_iggy.consumer.context import DeliveryContext
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import Reject, RetryLater
from rustok_iggy.tracing.contract import PublishSpan, Tracing
from rustok_iggy_connector import log_context

W3C = TraceContextTextMapPropagator()
MAX_HEADER_BYTES = 255
"""The server's limit for the value of a header; a longer `tracestate` is left out, as W3C allows."""
MAX_LINKS = 128
"""Of one span: OpenTelemetry's own default."""
TRACE_ID_DIGITS = 32
LOW_HALF = (1 << 64) - 1
SIGNALS: dict[type[BaseException], str] = {RetryLater: "retry_later", Reject: "rejected"}
"""What handlers raise on purpose: no errors."""


class OpenTelemetryPublishSpan(PublishSpan):
    """See PublishSpan."""

    def __init__(self, span: Span, context: Context) -> None:
        self._span = span
        self._trace_id = span.get_span_context().trace_id
        self._linked = {self._trace_id}
        self._own = trace.format_trace_id(self._trace_id) if span.get_span_context().is_valid else None
        carrier: dict[str, str] = {}
        W3C.inject(carrier, context)
        encoded = {name: value.encode() for name, value in carrier.items()}
        self._headers = {name: value for name, value in encoded.items() if 0 < len(value) <= MAX_HEADER_BYTES}

    @property
    def headers(self) -> Mapping[str, bytes]:
        return self._headers

    def stamp(self, envelope: EventEnvelope) -> EventEnvelope:
        if envelope.trace_id is None:
            return envelope if self._own is None else replace(envelope, trace_id=self._own)
        origin = origin_of(envelope.trace_id, envelope.id)
        if origin is not None and origin.trace_id not in self._linked and len(self._linked) <= MAX_LINKS:
            self._linked.add(origin.trace_id)
            self._span.add_link(origin)
        return envelope

    def stored(self, *, partition_id: int, offset: int) -> None:
        self._span.set_attribute("messaging.destination.partition.id", str(partition_id))
        self._span.set_attribute("rustok.message.offset", offset)


class OpenTelemetryTracing(Tracing):
    """See Tracing. `provider` None: the process's own."""

    def __init__(self, provider: trace.TracerProvider | None = None) -> None:
        self._tracer = trace.get_tracer("rustok_iggy", tracer_provider=provider)

    @contextmanager
    def publishing(self, *, topic: str | None, count: int) -> Iterator[PublishSpan]:
        attributes: dict[str, AttributeValue] = {
            "messaging.system": "iggy",
            "messaging.operation.name": "publish",
            "messaging.operation.type": "send",
        }
        if topic is None:
            attributes["messaging.batch.message_count"] = count
        else:
            attributes["messaging.destination.name"] = topic
        name = "publish" if topic is None else f"publish {topic}"
        with self._tracer.start_as_current_span(
            name, kind=SpanKind.PRODUCER, attributes=attributes, record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield OpenTelemetryPublishSpan(span, trace.set_span_in_context(span))
            except BaseException as error:
                _failed(span, error)
                raise

    @contextmanager
    def handling(
        self, envelope: EventEnvelope, context: DeliveryContext, headers: Mapping[str, bytes]
    ) -> Iterator[None]:
        parent = _parent(envelope, headers)
        with self._tracer.start_as_current_span(
            f"process {context.topic}",
            context=parent,
            kind=SpanKind.CONSUMER,
            attributes=_delivery_attributes(envelope, context),
            links=_links(envelope, parent),
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            found = span.get_span_context()
            ids = {} if not found.is_valid else _log_ids(found)
            with log_context(**ids):
                try:
                    yield
                except BaseException as error:
                    _failed(span, error)
                    raise


def tracing_over_global_provider() -> Tracing | None:
    """Return tracing over the process's provider, None while nobody has set one."""
    return None if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider) else OpenTelemetryTracing()


def origin_of(trace_id: str | None, event_id: UUID) -> SpanContext | None:
    """Return what stands for the span an event comes from, when only its trace is known.

    `trace_id` is what RusToK's envelope carries: 32 hexadecimal digits; anything else names no trace. The span is one
    that nobody recorded: the event id's low half, so that all who handle the event agree on it.
    """
    if trace_id is None or len(trace_id) != TRACE_ID_DIGITS or not set(trace_id) <= set(string.hexdigits):
        return None
    context = SpanContext(
        trace_id=int(trace_id, 16),
        span_id=event_id.int & LOW_HALF,
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
    )
    return context if context.is_valid else None


def _parent(envelope: EventEnvelope, headers: Mapping[str, bytes]) -> Context:
    """The message's context; the envelope's trace without one; else a trace of its own begins.

    Never the context of the task that runs here: it was started on behalf of something else.
    """
    carrier = {name: headers[name].decode("ascii", "replace") for name in W3C.fields if name in headers}
    parent = W3C.extract(carrier, context=Context())
    if trace.get_current_span(parent).get_span_context().is_valid:
        return parent
    origin = origin_of(envelope.trace_id, envelope.id)
    return Context() if origin is None else trace.set_span_in_context(NonRecordingSpan(origin), Context())


def _links(envelope: EventEnvelope, parent: Context) -> list[Link]:
    """To the trace that the envelope names, when it was published within another."""
    origin = origin_of(envelope.trace_id, envelope.id)
    here = trace.get_current_span(parent).get_span_context().trace_id
    return [Link(origin)] if origin is not None and origin.trace_id != here else []


def _delivery_attributes(envelope: EventEnvelope, context: DeliveryContext) -> dict[str, AttributeValue]:
    attributes: dict[str, AttributeValue] = {
        "messaging.system": "iggy",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": context.topic,
        "messaging.destination.partition.id": str(context.partition_id),
        "messaging.consumer.group.name": context.group,
        "messaging.message.id": str(envelope.id),
        "messaging.message.conversation_id": str(envelope.correlation_id),
        "rustok.message.offset": context.offset,
        "rustok.event.type": envelope.event_type,
        "rustok.tenant.id": str(envelope.tenant_id),
        "rustok.delivery.attempt": context.attempt,
    }
    if context.redrive is not None:
        attributes["rustok.redrive.request_id"] = str(context.redrive.request_id)
        attributes["rustok.redrive.attempt"] = context.redrive.attempt
    if context.replay is not None:
        attributes["rustok.replay.id"] = context.replay
    return attributes


def _log_ids(found: SpanContext) -> dict[str, str]:
    return {"trace_id": trace.format_trace_id(found.trace_id), "span_id": trace.format_span_id(found.span_id)}


def _failed(span: Span, error: BaseException) -> None:
    signal = SIGNALS.get(type(error))
    if signal is not None:
        span.set_attribute("rustok.delivery.signal", signal)
        return
    span.set_attribute("error.type", type(error).__qualname__)
    span.set_status(Status(StatusCode.ERROR))
