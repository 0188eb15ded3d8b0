"""What a message carries beside its payload: one header, `rk`, for the day the payload cannot be read.

    layout version u8 = 1 · format u8 (1 json, 2 postcard) · tenant id, 16 bytes

Reading headers costs more than decoding an envelope, so nothing reads it while the payload can be read. Messages
without it, from RusToK or written by hand, are in the configured format.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from rustok_iggy.serialization import SerializationFormat

RK_HEADER = "rk"
LAYOUT_VERSION = 1
_FORMAT_CODES = {SerializationFormat.JSON: 1, SerializationFormat.POSTCARD: 2}
_FORMATS = {code: name for name, code in _FORMAT_CODES.items()}
_PREFIXES = {name: bytes((LAYOUT_VERSION, code)) for name, code in _FORMAT_CODES.items()}
_LENGTH = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class RkHeader:
    """What the `rk` header says: the payload's format, and whose event it is."""

    format: SerializationFormat
    tenant_id: UUID


def message_headers(tenant_id: UUID, *, format: SerializationFormat) -> dict[str, bytes]:
    """Return the headers of a message that carries an event of `tenant_id` in `format`."""
    return {RK_HEADER: _PREFIXES[format] + tenant_id.bytes}


def read_rk_header(headers: Mapping[str, bytes]) -> RkHeader | None:
    """Return what the `rk` header says, None when there is none or it has another layout.

    Later layouts may be longer: an unknown one says nothing to this version, and neither does a damaged one.
    """
    value = headers.get(RK_HEADER)
    if value is None or len(value) != _LENGTH or value[0] != LAYOUT_VERSION or value[1] not in _FORMATS:
        return None
    return RkHeader(format=_FORMATS[value[1]], tenant_id=UUID(bytes=bytes(value[2:])))
