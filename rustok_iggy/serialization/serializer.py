"""The contract of a format: an envelope to bytes and back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from msgspec import Struct

from rustok_iggy.envelope import EventEnvelope


class SerializationFormat(StrEnum):
    """How envelopes are written."""

    JSON = "json"
    POSTCARD = "postcard"


class RawEvent(Struct, frozen=True, kw_only=True):
    """An event of a type or version that is not known here, as its publisher wrote it (unknown="deliver_raw").

    JSON: `name` is its type's name there, `data` the JSON of its fields. Postcard: `variant` is its number in the
    publisher's catalogue, `data` its fields, and behind them, since nobody here knows where they end, the envelope's
    retry count, which reads as 0.
    """

    format: SerializationFormat
    data: bytes
    name: str | None = None
    variant: int | None = None

    def __repr__(self) -> str:
        known = f"name={self.name!r}" if self.variant is None else f"variant={self.variant}"
        return f"RawEvent(format={str(self.format)!r}, {known}, {len(self.data)} bytes)"


class OpenedEnvelope(Protocol):
    """An encoded envelope of which only the ids were read: enough to route, filter and park.

    The attributes are those of EventEnvelope; `decode()` gives the whole. A protocol, because what msgspec makes of
    JSON is one as it is.
    """

    __slots__ = ("event_type", "schema_version", "tenant_id")

    event_type: str
    schema_version: int
    tenant_id: UUID

    @property
    @abstractmethod
    def id(self) -> UUID:
        """All zeros when the bytes have none; then decode() says so."""

    @property
    @abstractmethod
    def correlation_id(self) -> UUID:
        """As `id`."""

    @abstractmethod
    def decode(self) -> EventEnvelope:
        """Decode the rest, at the event type's current version. Raises what EventSerializer.decode raises."""

    @abstractmethod
    def decode_raw(self) -> EventEnvelope:
        """Decode all but the event, which is a RawEvent; the version is the publisher's. Raises DecodeError."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(id={self.id}, event_type={self.event_type!r}, tenant_id={self.tenant_id})"


class EventSerializer(ABC):
    """Envelopes to bytes and back, for the event types of one catalogue.

    Stateless apart from caches, and safe for several threads. The same envelope always gives the same bytes. A format
    refuses bytes of another one rather than misread them.
    """

    format: SerializationFormat
    content_type: str
    """As an HTTP Content-Type."""

    @abstractmethod
    def encode(self, envelope: EventEnvelope) -> bytes:
        """Write an envelope.

        Raises EncodeError when a field does not fit its type, UnknownEventTypeError when the event's class is not in
        the catalogue. JSON finds wrong types only as far as it cannot write them: validate before you publish.
        """

    @abstractmethod
    def open(self, data: bytes) -> OpenedEnvelope:
        """Read the ids only, for a fraction of the cost of decode. Raises DecodeError."""

    @abstractmethod
    def decode(self, data: bytes) -> EventEnvelope:
        """Read an envelope; an older schema version is lifted to the current one by the catalogue's upcasters.

        Whatever the bytes are, raises only DecodeError, UnknownEventTypeError or UnsupportedVersionError.
        """
