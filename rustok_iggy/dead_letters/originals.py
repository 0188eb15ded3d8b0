"""The event in a dead letter: decoded where that is possible."""

from __future__ import annotations

from collections.abc import Mapping

from rustok_iggy.dead_letters.layout import Original
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import SerializationError
from rustok_iggy.message import read_rk_header
from rustok_iggy.serialization import EventSerializer, SerializationFormat


class OriginalReader:
    """Decodes original messages in the format their `rk` header names; without one, in the configured format."""

    def __init__(self, serializers: Mapping[SerializationFormat, EventSerializer], format: SerializationFormat) -> None:
        self._serializers = serializers
        self._format = format

    def envelope(self, original: Original) -> EventEnvelope | None:
        """Return the event, None when it cannot be decoded: that may be why it is a letter."""
        header = read_rk_header(original.headers)
        serializer = self._serializers.get(self._format if header is None else header.format)
        if serializer is None:
            return None
        try:
            return serializer.decode(original.payload)
        except SerializationError:
            return None

    def as_json(self, envelope: EventEnvelope | None) -> bytes | None:
        """Return the event's envelope in JSON, None when it cannot be written so."""
        serializer = self._serializers.get(SerializationFormat.JSON)
        if serializer is None or envelope is None:
            return None
        try:
            return serializer.encode(envelope)
        except SerializationError:
            return None
