"""Formats of the envelope: the same surface for each."""

from rustok_iggy.serialization.json import JsonSerializer
from rustok_iggy.serialization.postcard import PostcardSerializer
from rustok_iggy.serialization.serializer import EventSerializer, OpenedEnvelope, RawEvent, SerializationFormat

__all__ = [
    "EventSerializer",
    "JsonSerializer",
    "OpenedEnvelope",
    "PostcardSerializer",
    "RawEvent",
    "SerializationFormat",
]
