"""Envelopes as Postcard: the fields in order, the event as its variant index in the catalogue and its fields.

Source: tests/vectors/envelopes.jsonl, written by the Rust crates. A Rust reader needs the event enum without serde's
`tag` and `content` attributes: Postcard refuses to decode those (it answers WontImplement).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
from msgspec import Struct

from rustok_iggy.catalog import EventCatalog, EventSpec, ReadingPlan
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import ConfigError, DecodeError, EncodeError
from rustok_iggy.events import RUSTOK
from rustok_iggy.integers import U16, U32
from rustok_iggy.serialization.postcard_codec import Unsupported, struct_codec
from rustok_iggy.serialization.postcard_values import Codec, Malformed
from rustok_iggy.serialization.serializer import EventSerializer, OpenedEnvelope, RawEvent, SerializationFormat


# The envelope's fields in wire order, cut where reading stops to look: at the ids, at the event, behind it.
class _Ids(Struct):
    id: UUID
    event_type: str
    schema_version: U16
    correlation_id: UUID
    causation_id: UUID | None
    tenant_id: UUID


class _Circumstances(Struct):
    trace_id: str | None
    timestamp: datetime
    actor_id: UUID | None
    variant: U32


class _Tail(Struct):
    retry_count: U32


_IDS = struct_codec(_Ids)
_CIRCUMSTANCES = struct_codec(_Circumstances)
_TAIL = struct_codec(_Tail)


class _OpenedPostcard(OpenedEnvelope):
    __slots__ = ("_at", "_causation_id", "_data", "_serializer", "correlation_id", "id")

    id: UUID
    correlation_id: UUID

    def __init__(self, serializer: PostcardSerializer, data: bytes) -> None:
        ids, self._at = _read(_IDS, data, 0)
        self._serializer = serializer
        self._data = data
        self._causation_id = ids["causation_id"]
        self.id = ids["id"]
        self.event_type = ids["event_type"]
        self.schema_version = ids["schema_version"]
        self.correlation_id = ids["correlation_id"]
        self.tenant_id = ids["tenant_id"]

    def decode(self) -> EventEnvelope:
        plan, body = self._serializer.reader(self.event_type, self.schema_version)
        circumstances, at = _read(_CIRCUMSTANCES, self._data, self._at)
        variant = circumstances.pop("variant")
        if variant != plan.spec.variant:
            raise _broken(f"{self.event_type} is variant {plan.spec.variant}, not {variant}", path="event")
        fields, at = _read(body, self._data, at, within="event")
        tail, at = _read(_TAIL, self._data, at)
        if at != len(self._data):
            raise _broken(f"{len(self._data) - at} bytes behind the envelope")
        try:
            event = msgspec.convert(fields, plan.schema)
        except (msgspec.ValidationError, RecursionError):
            raise _broken("does not fit its schema", path="event") from None
        return EventEnvelope(
            id=self.id,
            event_type=self.event_type,
            schema_version=plan.spec.version,
            correlation_id=self.correlation_id,
            causation_id=self._causation_id,
            tenant_id=self.tenant_id,
            event=plan.lift(event, format=SerializationFormat.POSTCARD) if plan.steps else event,
            **circumstances,
            **tail,
        )

    def decode_raw(self) -> EventEnvelope:
        circumstances, at = _read(_CIRCUMSTANCES, self._data, self._at)
        variant = circumstances.pop("variant")
        raw = RawEvent(format=SerializationFormat.POSTCARD, variant=variant, data=bytes(self._data[at:]))
        return EventEnvelope(
            id=self.id,
            event_type=self.event_type,
            schema_version=self.schema_version,
            correlation_id=self.correlation_id,
            causation_id=self._causation_id,
            tenant_id=self.tenant_id,
            event=raw,
            **circumstances,
        )


class PostcardSerializer(EventSerializer):
    """EventSerializer for Postcard.

    Raises ConfigError when the catalogue has an event type, or an old version of one, that Postcard cannot carry.
    """

    format = SerializationFormat.POSTCARD
    content_type = "application/postcard"

    def __init__(self, catalog: EventCatalog = RUSTOK) -> None:
        catalog.check()
        self._catalog = catalog
        self._writers: dict[type[Struct], tuple[EventSpec, Codec]] = {}
        self._readers: dict[tuple[str, int], tuple[ReadingPlan, Codec]] = {}
        problems: list[str] = []
        for plan in catalog.reading_plans():
            try:
                self.reader(plan.spec.event_type, plan.version)
            except ConfigError as error:
                problems += error.problems
        if problems:
            raise ConfigError(problems)

    def encode(self, envelope: EventEnvelope) -> bytes:
        spec, body = self._writer(type(envelope.event))
        out = bytearray()
        _write(_IDS, _ids_of(envelope), out)
        _write(_CIRCUMSTANCES, _circumstances_of(envelope, spec.variant), out)
        _write(body, envelope.event, out, within="event")
        _write(_TAIL, _Tail(envelope.retry_count), out)
        return bytes(out)

    def open(self, data: bytes) -> OpenedEnvelope:
        return _OpenedPostcard(self, data)

    def decode(self, data: bytes) -> EventEnvelope:
        return _OpenedPostcard(self, data).decode()

    def reader(self, event_type: str, version: int) -> tuple[ReadingPlan, Codec]:
        """Return how a version of an event type is read, and the codec of its fields."""
        reader = self._readers.get((event_type, version))
        if reader is None:
            plan = self._catalog.reading_plan(event_type, version)
            reader = self._readers[event_type, version] = plan, self._codec(plan)
        return reader

    def _writer(self, event_class: type[Struct]) -> tuple[EventSpec, Codec]:
        writer = self._writers.get(event_class)
        if writer is None:
            spec = self._catalog.by_class(event_class)
            writer = self._writers[event_class] = spec, self.reader(spec.event_type, spec.version)[1]
        return writer

    def _codec(self, plan: ReadingPlan) -> Codec:
        where = f"{self._catalog.name}.{plan.spec.event_type} version {plan.version}"
        if not issubclass(plan.schema, Struct):
            raise ConfigError([f"{where}: Postcard needs a Struct with that version's fields as the upcaster's schema"])
        try:
            return struct_codec(plan.schema)
        except Unsupported as error:
            raise ConfigError([f"{where}: {error}"]) from None


def _ids_of(envelope: EventEnvelope) -> _Ids:
    return _Ids(
        envelope.id,
        envelope.event_type,
        envelope.schema_version,
        envelope.correlation_id,
        envelope.causation_id,
        envelope.tenant_id,
    )


def _circumstances_of(envelope: EventEnvelope, variant: int) -> _Circumstances:
    return _Circumstances(envelope.trace_id, envelope.timestamp, envelope.actor_id, variant)


def _write(codec: Codec, value: Struct, out: bytearray, *, within: str | None = None) -> None:
    try:
        codec.write(value, out)
    except Malformed as error:
        path = error.within(within).path if within else error.path
        raise EncodeError(error.reason, format=SerializationFormat.POSTCARD, path=path or None) from None


def _read(codec: Codec, data: bytes, at: int, *, within: str | None = None) -> tuple[dict[str, Any], int]:
    try:
        return codec.read(data, at)
    except Malformed as error:
        raise _broken(error.reason, path=error.within(within).path if within else error.path) from None


def _broken(reason: str, *, path: str | None = None) -> DecodeError:
    return DecodeError(reason, format=SerializationFormat.POSTCARD, path=path or None)
