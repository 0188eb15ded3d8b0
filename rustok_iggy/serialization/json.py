"""Envelopes as JSON, byte for byte as RusToK's serde_json writes them.

No spaces, nulls written, the event as {"type": name, "data": {fields}}. Source: tests/vectors/envelopes.jsonl.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, ClassVar
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from rustok_iggy.catalog import EventCatalog, ReadingPlan, printable
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import ConfigError, DecodeError, EncodeError
from rustok_iggy.events import RUSTOK
from rustok_iggy.integers import U16, U32
from rustok_iggy.serialization.serializer import EventSerializer, OpenedEnvelope, RawEvent, SerializationFormat
from rustok_iggy.serialization.timestamp import format_timestamp, parse_timestamp

# What msgspec raises for bytes that are not JSON of the wanted shape; deep nesting ends in RecursionError.
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_PATH = re.compile(r" - at `\$?\.?([^`]*)`$")
_EXPECTATION = re.compile(
    r"Expected `[^`]*`(?:, got `[^`]*`| (?:of length )?[<>]=? -?[\d.]+)?|Object missing required field `[^`]*`"
)


class _OutgoingEvent(Struct, gc=False):
    type: str
    data: Struct


class _Outgoing(Struct, gc=False):
    """EventEnvelope's wire form; the order of the fields is the order of the keys.

    `timestamp` is a datetime where msgspec writes it as chrono does: half the time of an encode went into its text.
    Not tracked by the garbage collector: each lives for one call, and is in no cycle.
    """

    id: UUID
    event_type: str
    schema_version: int
    correlation_id: UUID
    causation_id: UUID | None
    tenant_id: UUID
    trace_id: str | None
    timestamp: datetime | str
    actor_id: UUID | None
    event: _OutgoingEvent
    retry_count: int


class _IncomingEvent(Struct, gc=False):
    type: str
    data: Raw


class _Incoming(Struct, gc=False):
    """An OpenedEnvelope: all but the event itself is read, since nearly always the rest is wanted too.

    Each serializer has a subclass that knows it, so that nothing has to be made beside what the decoder makes. Not
    tracked either: hundreds wait in their lanes, and each collection would go through all of them.
    """

    serializer: ClassVar[JsonSerializer]
    id: UUID
    event_type: str
    schema_version: U16
    correlation_id: UUID
    tenant_id: UUID
    timestamp: str
    event: _IncomingEvent
    retry_count: U32
    causation_id: UUID | None = None
    trace_id: str | None = None
    actor_id: UUID | None = None

    __repr__ = OpenedEnvelope.__repr__

    def decode(self) -> EventEnvelope:
        plan, decoder = self.serializer.reader(self.event_type, self.schema_version)
        spec, sent = plan.spec, self.event
        if sent.type != spec.name:
            raise DecodeError(
                f"{self.event_type} holds a {printable(sent.type)}, not a {spec.name}",
                format=SerializationFormat.JSON,
                path="event.type",
            )
        try:
            event = decoder.decode(sent.data)
        except _UNREADABLE as error:
            raise _unreadable(error, within="event.data") from None
        if plan.steps:
            event = plan.lift(event, format=SerializationFormat.JSON)
        return _envelope(self, event, version=spec.version)

    def decode_raw(self) -> EventEnvelope:
        raw = RawEvent(format=SerializationFormat.JSON, name=self.event.type, data=bytes(self.event.data))
        return _envelope(self, raw, version=self.schema_version)


_ENCODER = msgspec.json.Encoder()


class JsonSerializer(EventSerializer):
    """EventSerializer for JSON. Raises ConfigError when the catalogue has an event type that JSON cannot carry."""

    format = SerializationFormat.JSON
    content_type = "application/json"

    def __init__(self, catalog: EventCatalog = RUSTOK) -> None:
        class Incoming(_Incoming, gc=False):
            serializer = self

        catalog.check()
        self._catalog = catalog
        self._decoder = msgspec.json.Decoder(Incoming)
        self._names = {spec.event_class: spec.name for spec in catalog}
        self._readers: dict[tuple[str, int], tuple[ReadingPlan, msgspec.json.Decoder[Any]]] = {}
        problems: list[str] = []
        for plan in catalog.reading_plans():
            try:
                self.reader(plan.spec.event_type, plan.version)
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigError(problems)

    def encode(self, envelope: EventEnvelope) -> bytes:
        event = envelope.event
        name = self._names.get(type(event))
        if name is None:
            name = self._catalog.by_class(type(event)).name
        timestamp = envelope.timestamp
        try:
            return _ENCODER.encode(
                _Outgoing(
                    envelope.id,
                    envelope.event_type,
                    envelope.schema_version,
                    envelope.correlation_id,
                    envelope.causation_id,
                    envelope.tenant_id,
                    envelope.trace_id,
                    timestamp if _is_written_alike(timestamp) else format_timestamp(timestamp),
                    envelope.actor_id,
                    _OutgoingEvent(name, event),
                    envelope.retry_count,
                )
            )
        except (TypeError, AttributeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            # The texts of these errors may show a value, so only their kind is passed on.
            raise EncodeError(
                f"{envelope.event_type} has a value JSON cannot write ({type(error).__name__}): validate it first",
                format=self.format,
            ) from None

    def open(self, data: bytes) -> OpenedEnvelope:
        try:
            return self._decoder.decode(data)
        except _UNREADABLE as error:
            raise _unreadable(error) from None

    def decode(self, data: bytes) -> EventEnvelope:
        return self.open(data).decode()

    def reader(self, event_type: str, version: int) -> tuple[ReadingPlan, msgspec.json.Decoder[Any]]:
        """Return how a version of an event type is read, and the decoder of its fields."""
        reader = self._readers.get((event_type, version))
        if reader is None:
            plan = self._catalog.reading_plan(event_type, version)
            try:
                decoder = msgspec.json.Decoder(plan.schema)
            except (TypeError, NameError) as error:  # names the type that msgspec cannot read, or that is not there
                raise ConfigError([f"{self._catalog.name}.{event_type} version {version}: {error}"]) from None
            reader = self._readers[event_type, version] = plan, decoder
        return reader


def _envelope(wire: _Incoming, event: Struct, *, version: int) -> EventEnvelope:
    try:
        timestamp = parse_timestamp(wire.timestamp)
    except ValueError as error:
        raise DecodeError(str(error), format=SerializationFormat.JSON, path="timestamp") from None
    return EventEnvelope(
        id=wire.id,
        event_type=wire.event_type,
        schema_version=version,
        correlation_id=wire.correlation_id,
        causation_id=wire.causation_id,
        tenant_id=wire.tenant_id,
        trace_id=wire.trace_id,
        timestamp=timestamp,
        actor_id=wire.actor_id,
        event=event,
        retry_count=wire.retry_count,
    )


def _is_written_alike(moment: datetime) -> bool:
    """Whether msgspec, which writes 0 or 6 fraction digits, writes the same as chrono, which can do with 3."""
    return moment.tzinfo is UTC and (moment.microsecond % 1000 != 0 or moment.microsecond == 0)


def _unreadable(error: Exception, *, within: str | None = None) -> DecodeError:
    """Say what is wrong and where, without a value: some of msgspec's texts quote them."""
    text = str(error)
    found = _PATH.search(text)
    path = ".".join(part for part in (within, found.group(1) if found else None) if part) or None
    if isinstance(error, msgspec.ValidationError):
        expectation = _EXPECTATION.match(text)
        return DecodeError(
            expectation.group() if expectation else "does not fit its schema",
            format=SerializationFormat.JSON,
            path=path,
        )
    if isinstance(error, msgspec.MsgspecError):
        return DecodeError(text, format=SerializationFormat.JSON, path=path)
    reason = "nested too deeply" if isinstance(error, RecursionError) else "not UTF-8"
    return DecodeError(reason, format=SerializationFormat.JSON, path=path)
