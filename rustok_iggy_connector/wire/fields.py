"""Options of a resource and user headers of a message: the same fields, one after the other.

    key kind u8, length u32, key, value kind u8, length u32, value

Options allow text keys only, none twice.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from rustok_iggy_connector.errors import LocalProtocolError, RemoteProtocolError
from rustok_iggy_connector.wire.primitives import Buffer, Writer, utf8

_PART: Final = struct.Struct("<BI")

MAX_FIELD_BYTES = 255
"""The protocol's limit for one key or one value, although their lengths take four bytes."""
MAX_OPTIONS = 1024
"""Options of one resource."""
MAX_FIELDS_BYTES = 100_000
"""All options of one resource, and all user headers of one message, encoded."""


class ValueKind(IntEnum):
    """How the bytes of a field are meant. Kinds beyond these are passed on, not refused."""

    RAW = 1
    STRING = 2
    BOOL = 3
    INT8 = 4
    INT16 = 5
    INT32 = 6
    INT64 = 7
    INT128 = 8
    UINT8 = 9
    UINT16 = 10
    UINT32 = 11
    UINT64 = 12
    UINT128 = 13
    FLOAT32 = 14
    FLOAT64 = 15


@dataclass(frozen=True, slots=True)
class Field:
    """One option or one user header. Key and value are 1–255 bytes each; numbers are little endian."""

    key: bytes
    value: bytes = field(repr=False)
    value_kind: int = ValueKind.RAW
    key_kind: int = ValueKind.STRING

    @classmethod
    def text(cls, key: str, value: str) -> Field:
        return cls(utf8(key), utf8(value), ValueKind.STRING)

    @classmethod
    def u32(cls, key: str, value: int) -> Field:
        return cls(utf8(key), _little_endian(value, 4), ValueKind.UINT32)

    @classmethod
    def u64(cls, key: str, value: int) -> Field:
        return cls(utf8(key), _little_endian(value, 8), ValueKind.UINT64)

    @classmethod
    def boolean(cls, key: str, value: bool) -> Field:
        return cls(utf8(key), b"\x01" if value else b"\x00", ValueKind.BOOL)


def _little_endian(value: int, length: int) -> bytes:
    try:
        return value.to_bytes(length, "little")
    except OverflowError as error:
        raise LocalProtocolError(f"number does not fit its field: {error}") from error


def decode_fields(data: Buffer) -> tuple[Field, ...]:
    """All fields of a block, which they fill exactly. Raises RemoteProtocolError."""
    if len(data) > MAX_FIELDS_BYTES:
        raise RemoteProtocolError(f"{len(data)} bytes of headers or options where {MAX_FIELDS_BYTES} are allowed")
    data, position = bytes(data), 0  # headers are read per message: no Reader, which takes four times as long
    fields: list[Field] = []
    while position < len(data):
        key_kind, key, position = _read_field_part(data, position)
        value_kind, value, position = _read_field_part(data, position)
        fields.append(Field(key, value, value_kind, key_kind))
    return tuple(fields)


def encode_fields(fields: Iterable[Field]) -> bytes:
    """The block of these fields, in their order. Raises LocalProtocolError."""
    writer = Writer()
    for entry in fields:
        _write_field_part(writer, entry.key_kind, entry.key)
        _write_field_part(writer, entry.value_kind, entry.value)
    data = writer.getvalue()
    if len(data) > MAX_FIELDS_BYTES:
        raise LocalProtocolError(f"{len(data)} bytes of headers or options where {MAX_FIELDS_BYTES} are allowed")
    return data


def _read_field_part(data: bytes, position: int) -> tuple[int, bytes, int]:
    """Kind and bytes of a key or a value, and where it ends."""
    start = position + _PART.size
    if start > len(data):
        raise RemoteProtocolError(f"header or option part cut short: {len(data) - position} bytes left")
    kind, length = _PART.unpack_from(data, position)
    if not kind or not 1 <= length <= MAX_FIELD_BYTES:
        raise RemoteProtocolError(f"header or option part of kind {kind} and length {length}")
    end = start + length
    if end > len(data):
        raise RemoteProtocolError(f"{length} bytes expected, {len(data) - start} left")
    return kind, data[start:end], end


def _write_field_part(writer: Writer, kind: int, data: bytes) -> None:
    if not kind or not 1 <= len(data) <= MAX_FIELD_BYTES:
        raise LocalProtocolError(f"header or option part of kind {kind} and length {len(data)}")
    writer.u8(kind)
    writer.long_bytes(data)


def decode_options(data: Buffer) -> tuple[Field, ...]:
    """Fields under the stricter rules of options: UTF-8 keys, none twice, at most MAX_OPTIONS."""
    fields = decode_fields(data)
    keys = {entry.key for entry in fields if entry.key_kind == ValueKind.STRING and _is_utf8(entry.key)}
    if len(keys) != len(fields) or len(fields) > MAX_OPTIONS:
        raise RemoteProtocolError(f"{len(fields)} options: too many, one key twice, or a key that is not text")
    return fields


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
