"""Envelopes as JSON, byte for byte as RusToK's serde_json writes them.

No spaces, nulls written, the event as {"type": name, "data": {fields}}. Source: tests/vectors/envelopes.jsonl.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec import Raw, Struct
from msgspec.structs import force_setattr

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


LONGEST_IN_MICROSECONDS = len("2026-01-01T00:00:00.000000Z")
EventT = TypeVar("EventT")


class _IncomingEvent(Struct, Generic[EventT], gc=False):
    type: str
    data: EventT


class _Head(Struct, gc=False):
    """What tells whose an event is and who handles it; and what EventEnvelope's own types do not hold to RusToK's."""

    tenant_id: UUID
    event_type: str
    schema_version: U16
    timestamp: str
    retry_count: U32


class _Ids(Struct, gc=False):
    id: UUID
    correlation_id: UUID


class _Opened(Struct, gc=False):
    """An OpenedEnvelope. Hundreds wait in their lanes: what is not needed there is read with the event.

    Each id that were read would be an object that the garbage collector goes through, again and again; with four of
    them a tenth of the time in which events are handled went into that.
    """

    serializer: JsonSerializer
    payload: bytes
    tenant_id: UUID
    event_type: str
    schema_version: int
    timestamp: str

    @property
    def id(self) -> UUID:
        return self._ids.id

    @property
    def correlation_id(self) -> UUID:
        return self._ids.correlation_id

    @property
    def _ids(self) -> _Ids:
        try:
            return _IDS.decode(self.payload)
        except _UNREADABLE:
            return _NO_IDS

    __repr__ = OpenedEnvelope.__repr__

    def decode(self) -> EventEnvelope:
        serializer, version = self.serializer, self.schema_version
        plan, decoder = serializer._readers.get((self.event_type, version)) or serializer.reader(
            self.event_type, version
        )
        try:
            envelope = decoder.decode(self.payload)
        except _UNREADABLE as error:
            raise self._unreadable(plan, error) from None
        spec, sent = plan.spec, envelope.event
        if sent.type != spec.name:
            raise self._misnamed(plan, sent.type)
        event = plan.lift(sent.data, format=SerializationFormat.JSON) if plan.steps else sent.data
        return self._finished(envelope, event, version=spec.version)

    def decode_raw(self) -> EventEnvelope:
        envelope = self._raw()
        name, data = envelope.event.type, bytes(envelope.event.data)
        event = RawEvent(format=SerializationFormat.JSON, name=name, data=data)
        return self._finished(envelope, event, version=self.schema_version)

    def _finished(self, envelope: EventEnvelope, event: Struct, *, version: int) -> EventEnvelope:
        """Put into the envelope, which nobody else has yet, what it holds; the decoder left {type, data} there."""
        force_setattr(envelope, "event", event)
        if version != self.schema_version:
            force_setattr(envelope, "schema_version", version)
        text = self.timestamp
        # msgspec rounds what is finer than a microsecond, and takes a blank for the T.
        if len(text) > LONGEST_IN_MICROSECONDS or text[10] != "T" or envelope.timestamp.tzinfo is not UTC:
            force_setattr(envelope, "timestamp", self._moment())
        return envelope

    def _moment(self) -> datetime:
        try:
            return parse_timestamp(self.timestamp)
        except ValueError as error:
            raise DecodeError(str(error), format=SerializationFormat.JSON, path="timestamp") from None

    def _raw(self) -> Any:
        try:
            return _RAW.decode(self.payload)
        except _UNREADABLE as error:
            self._moment()
            raise _unreadable(error) from None

    def _unreadable(self, plan: ReadingPlan, error: Exception) -> DecodeError:
        """What is wrong with an event of another name is that name, not its fields."""
        self._moment()
        name = self._raw().event.type
        return _unreadable(error) if name == plan.spec.name else self._misnamed(plan, name)

    def _misnamed(self, plan: ReadingPlan, name: str) -> DecodeError:
        return DecodeError(
            f"{self.event_type} holds a {printable(name)}, not a {plan.spec.name}",
            format=SerializationFormat.JSON,
            path="event.type",
        )


_HEAD = msgspec.json.Decoder(_Head)
_IDS = msgspec.json.Decoder(_Ids)
_NO_IDS = _Ids(UUID(int=0), UUID(int=0))
"""Of an envelope whose ids are none: decode() says what is wrong with it."""


def _envelopes_of(schema: Any) -> msgspec.json.Decoder[Any]:
    """Return what decodes an EventEnvelope whose event is still {type, data}, with fields of this schema."""
    return msgspec.json.Decoder(EventEnvelope[_IncomingEvent[schema]])  # type: ignore[misc]  # not known before it runs


_RAW = _envelopes_of(Raw)
_ENCODER = msgspec.json.Encoder()


class JsonSerializer(EventSerializer):
    """EventSerializer for JSON. Raises ConfigError when the catalogue has an event type that JSON cannot carry."""

    format = SerializationFormat.JSON
    content_type = "application/json"

    def __init__(self, catalog: EventCatalog = RUSTOK) -> None:
        catalog.check()
        self._catalog = catalog
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
            head = _HEAD.decode(data)
        except _UNREADABLE as error:
            raise _unreadable(error) from None
        return _Opened(self, data, head.tenant_id, head.event_type, head.schema_version, head.timestamp)

    def decode(self, data: bytes) -> EventEnvelope:
        return self.open(data).decode()

    def reader(self, event_type: str, version: int) -> tuple[ReadingPlan, msgspec.json.Decoder[Any]]:
        """Return how a version of an event type is read, and the decoder of envelopes that hold it."""
        reader = self._readers.get((event_type, version))
        if reader is None:
            plan = self._catalog.reading_plan(event_type, version)
            try:
                decoder = _envelopes_of(plan.schema)
            except (TypeError, NameError) as error:  # names the type that msgspec cannot read, or that is not there
                raise ConfigError([f"{self._catalog.name}.{event_type} version {version}: {error}"]) from None
            reader = self._readers[event_type, version] = plan, decoder
        return reader


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
