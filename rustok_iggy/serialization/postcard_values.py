"""Postcard's plain values: numbers, text, bytes, and what is written as text. Each is a pair of write and read.

Source: the Postcard 1.x wire format (postcard.jamesmunns.com/wire-format).

    bool, u8, i8: 1 byte · wider integers: varint, signed ones zigzag first · f64: 8 bytes, little endian
    str, bytes: count as varint, then the content · UUID: as 16 bytes (uuid's serde)
    datetime, date, Decimal: as text (serde of chrono and rust_decimal)

Counts are checked against the bytes that are left before anything is allocated.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from rustok_iggy.integers import RANGES
from rustok_iggy.serialization.timestamp import format_timestamp, parse_timestamp


class Malformed(Exception):  # noqa: N818  leaves this package as EncodeError or DecodeError
    """A value that does not fit its type, or bytes that do not; `path` grows on the way out."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.path = ""
        super().__init__(reason)

    def within(self, name: str) -> Malformed:
        """Note the field this happened in."""
        self.path = f"{name}.{self.path}" if self.path else name
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Codec:
    """Writes a value at the end of a buffer; reads one at an offset and says where it ended.

    `smallest` is the least number of bytes a value takes. Both directions raise Malformed and nothing else.
    """

    write: Callable[[Any, bytearray], None]
    read: Callable[[bytes, int], tuple[Any, int]]
    smallest: int


def write_varint(value: int, out: bytearray) -> None:
    """Seven bits a byte, the lowest first; the top bit says that more follow."""
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def read_varint(data: bytes, at: int, bits: int = 64) -> tuple[int, int]:
    value = shift = 0
    longest = (bits + 6) // 7
    for position in range(at, min(at + longest, len(data))):
        byte = data[position]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> bits:
                raise Malformed(f"a number of more than {bits} bits")
            return value, position + 1
        shift += 7
    raise Malformed("ends early" if len(data) - at < longest else f"a number of more than {bits} bits")


def _integer_codec(width: str) -> Codec:
    low, high = RANGES[width]
    signed, bits = width[0] == "i", int(width[1:])

    def write(value: Any, out: bytearray) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            raise Malformed("must be an integer")
        if not low <= value <= high:
            raise Malformed(f"must be between {low} and {high}")
        if bits == 8:
            out.append(value & 0xFF)
        else:
            write_varint((value << 1) ^ (value >> bits - 1) if signed else value, out)

    def read(data: bytes, at: int) -> tuple[int, int]:
        if bits == 8:
            byte = read_byte(data, at)
            return (byte - 256 if signed and byte > 127 else byte), at + 1
        value, at = read_varint(data, at, bits)
        return (value >> 1) ^ -(value & 1) if signed else value, at

    return Codec(write=write, read=read, smallest=1)


def read_byte(data: bytes, at: int) -> int:
    if at >= len(data):
        raise Malformed("ends early")
    return data[at]


def read_choice(data: bytes, at: int) -> tuple[bool, int]:
    byte = read_byte(data, at)
    if byte > 1:
        raise Malformed("neither 0 nor 1")
    return byte == 1, at + 1


def write_bool(value: Any, out: bytearray) -> None:
    if not isinstance(value, bool):
        raise Malformed("must be true or false")
    out.append(value)


def write_float(value: Any, out: bytearray) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Malformed("must be a number")
    try:
        out += struct.pack("<d", float(value))
    except OverflowError:
        raise Malformed("must fit 64 bits") from None


def read_float(data: bytes, at: int) -> tuple[float, int]:
    if len(data) - at < 8:
        raise Malformed("ends early")
    return struct.unpack_from("<d", data, at)[0], at + 8


def write_bytes(value: Any, out: bytearray) -> None:
    if not isinstance(value, bytes):
        raise Malformed("must be bytes")
    write_varint(len(value), out)
    out += value


def read_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    length, at = read_varint(data, at)
    if length > len(data) - at:
        raise Malformed("ends early")
    return data[at : at + length], at + length


def write_text(value: Any, out: bytearray) -> None:
    if not isinstance(value, str):
        raise Malformed("must be text")
    try:
        write_bytes(value.encode(), out)
    except UnicodeEncodeError:
        raise Malformed("has half a surrogate pair") from None


def read_text(data: bytes, at: int) -> tuple[str, int]:
    content, at = read_bytes(data, at)
    try:
        return content.decode(), at
    except UnicodeDecodeError:
        raise Malformed("not UTF-8") from None


def write_uuid(value: Any, out: bytearray) -> None:
    if not isinstance(value, UUID):
        raise Malformed("must be a UUID")
    out.append(16)
    out += value.bytes


def read_uuid(data: bytes, at: int) -> tuple[UUID, int]:
    content, at = read_bytes(data, at)
    if len(content) != 16:
        raise Malformed("a UUID has 16 bytes")
    return UUID(bytes=content), at


def _text_codec(to_text: Callable[[Any], str], from_text: Callable[[str], Any], what: str) -> Codec:
    def write(value: Any, out: bytearray) -> None:
        try:
            text = to_text(value)
        except (AttributeError, TypeError, ValueError, OverflowError):
            raise Malformed(f"must be {what}") from None
        write_text(text, out)

    def read(data: bytes, at: int) -> tuple[Any, int]:
        text, at = read_text(data, at)
        try:
            return from_text(text), at
        except (ValueError, OverflowError, InvalidOperation):
            raise Malformed(f"not {what}") from None

    return Codec(write=write, read=read, smallest=1)


INTEGERS = {width: _integer_codec(width) for width in RANGES}
BOOL = Codec(write=write_bool, read=read_choice, smallest=1)
FLOAT = Codec(write=write_float, read=read_float, smallest=8)
TEXT = Codec(write=write_text, read=read_text, smallest=1)
BYTES = Codec(write=write_bytes, read=read_bytes, smallest=1)
ID = Codec(write=write_uuid, read=read_uuid, smallest=17)
MOMENT = _text_codec(format_timestamp, parse_timestamp, "a point in time with a time zone")
DATE = _text_codec(date.isoformat, date.fromisoformat, "a date")
DECIMAL = _text_codec(Decimal.__str__, Decimal, "a decimal number")
