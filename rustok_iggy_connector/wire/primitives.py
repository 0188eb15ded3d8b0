"""The values that commands are made of, and the bounded reader and writer under them. Little endian.

name         length u8 (1–255), UTF-8
identifier   kind u8 (1 number, 2 name), length u8, value; here an int or a str
consumer     kind u8 (1 single, 2 group), identifier
strategy     kind u8, value u64
partitioning kind u8 (1 balanced, 2 partition, 3 key), length u8, value
fields       key kind u8, length u32, key, value kind u8, length u32, value; repeated. Options and user headers
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import Final

from rustok_iggy_connector.errors import LocalProtocolError, RemoteProtocolError

MAX_NAME_BYTES = 255
"""A name's length is one byte."""
MAX_PARTITION_KEY_BYTES = 255
"""So is a partition key's."""

_U8: Final = struct.Struct("<B")
_U16: Final = struct.Struct("<H")
_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")
_F32: Final = struct.Struct("<f")

Buffer = bytes | bytearray | memoryview
Identifier = int | str


class Reader:
    """Takes values off the front of `data`. Every length is checked against what is there before it is used.

    Every method raises RemoteProtocolError when the bytes end early or break a rule.
    """

    __slots__ = ("_end", "_position", "_view")

    def __init__(self, data: Buffer) -> None:
        self._view = memoryview(data)
        self._position = 0
        self._end = len(self._view)

    @property
    def remaining(self) -> int:
        return self._end - self._position

    def finish(self) -> None:
        """Bytes left over mean that both sides disagree on the layout."""
        if self.remaining:
            raise RemoteProtocolError(f"{self.remaining} bytes left over")

    def view(self, length: int) -> memoryview:
        """The next `length` bytes, not copied."""
        start = self._advance(length)
        return self._view[start : start + length]

    def take(self, length: int) -> bytes:
        return bytes(self.view(length))

    def rest(self) -> memoryview:
        return self.view(self.remaining)

    def _advance(self, length: int) -> int:
        """Where the next `length` bytes start."""
        start = self._position
        if length > self._end - start:
            raise RemoteProtocolError(f"{length} bytes expected, {self._end - start} left")
        self._position = start + length
        return start

    def u8(self) -> int:
        return self._view[self._advance(1)]

    def u16(self) -> int:
        value: int = _U16.unpack_from(self._view, self._advance(2))[0]
        return value

    def u32(self) -> int:
        value: int = _U32.unpack_from(self._view, self._advance(4))[0]
        return value

    def u64(self) -> int:
        value: int = _U64.unpack_from(self._view, self._advance(8))[0]
        return value

    def f32(self) -> float:
        value: float = _F32.unpack_from(self._view, self._advance(4))[0]
        return value

    def flag(self) -> bool:
        value = self.u8()
        if value > 1:
            raise RemoteProtocolError(f"flag of value {value}")
        return value == 1

    def count(self, *, element_bytes: int) -> int:
        """A u32 count of elements, each at least `element_bytes` long, that the rest can hold."""
        count = self.u32()
        if count * element_bytes > self.remaining:
            raise RemoteProtocolError(f"{count} elements announced, {self.remaining} bytes left")
        return count

    def text(self, length: int) -> str:
        try:
            return str(self.view(length), "utf-8")
        except UnicodeDecodeError as error:
            raise RemoteProtocolError("text is not UTF-8") from error

    def name(self) -> str:
        length = self.u8()
        if not length:
            raise RemoteProtocolError("empty name")
        return self.text(length)

    def short_text(self) -> str:
        """Length u8, may be empty: passwords."""
        return self.text(self.u8())

    def long_text(self) -> str:
        """Length u32, may be empty."""
        return self.text(self.u32())

    def long_bytes(self) -> bytes:
        """Length u32, may be empty."""
        return self.take(self.u32())


class Writer:
    """The mirror of Reader. Every method raises LocalProtocolError for a value that does not fit."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = bytearray()

    def getvalue(self) -> bytes:
        return bytes(self._data)

    def raw(self, data: Buffer) -> None:
        self._data += data

    def _pack(self, form: struct.Struct, value: float) -> None:
        try:
            self._data += form.pack(value)
        except (struct.error, OverflowError) as error:
            raise LocalProtocolError(f"number does not fit its field: {error}") from error

    def u8(self, value: int) -> None:
        self._pack(_U8, value)

    def u16(self, value: int) -> None:
        self._pack(_U16, value)

    def u32(self, value: int) -> None:
        self._pack(_U32, value)

    def u64(self, value: int) -> None:
        self._pack(_U64, value)

    def f32(self, value: float) -> None:
        self._pack(_F32, value)

    def flag(self, value: bool) -> None:
        self.u8(1 if value else 0)

    def name(self, value: str) -> None:
        if not value:
            raise LocalProtocolError("empty name")
        self.short_text(value)

    def short_text(self, value: str) -> None:
        data = utf8(value)
        if len(data) > MAX_NAME_BYTES:
            raise LocalProtocolError(f"text of {len(data)} bytes where {MAX_NAME_BYTES} fit")
        self.u8(len(data))
        self.raw(data)

    def long_text(self, value: str) -> None:
        self.long_bytes(utf8(value))

    def long_bytes(self, value: Buffer) -> None:
        self.u32(len(value))
        self.raw(value)


def utf8(value: str) -> bytes:
    """Raises LocalProtocolError for a text with lone surrogates."""
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise LocalProtocolError("text cannot be encoded as UTF-8") from error


_NUMBER, _NAME = 1, 2
_KNOWN_IDENTIFIERS: Final = 256
"""Identifiers whose bytes are remembered, at most 257 each: a consumer repeats its three a thousand times a second."""


def read_identifier(reader: Reader) -> Identifier:
    kind, length = reader.u8(), reader.u8()
    if kind == _NUMBER and length == _U32.size:
        return reader.u32()
    if kind == _NAME and length:
        return reader.text(length)
    raise RemoteProtocolError(f"identifier of kind {kind} and length {length}")


def write_identifier(writer: Writer, value: Identifier) -> None:
    writer.raw(_identifier(value))


@lru_cache(_KNOWN_IDENTIFIERS)
def _identifier(value: Identifier) -> bytes:
    writer = Writer()
    if isinstance(value, str):
        writer.u8(_NAME)
        writer.name(value)
    else:
        writer.u8(_NUMBER)
        writer.u8(_U32.size)
        writer.u32(value)
    return writer.getvalue()


def read_partition(reader: Reader) -> int | None:
    """Flag u8, partition u32 that is 0 without the flag."""
    present, partition = reader.flag(), reader.u32()
    if partition and not present:
        raise RemoteProtocolError("partition given without its flag")
    return partition if present else None


def write_partition(writer: Writer, value: int | None) -> None:
    writer.flag(value is not None)
    writer.u32(value or 0)


class ConsumerKind(IntEnum):
    SINGLE = 1
    GROUP = 2


@dataclass(frozen=True, slots=True)
class Consumer:
    """Who polls and whose offsets are meant: a single consumer, or a group through one of its members."""

    kind: ConsumerKind
    id: Identifier

    @classmethod
    def read(cls, reader: Reader) -> Consumer:
        kind = reader.u8()
        if kind not in (ConsumerKind.SINGLE, ConsumerKind.GROUP):
            raise RemoteProtocolError(f"consumer of kind {kind}")
        return cls(ConsumerKind(kind), read_identifier(reader))

    def write(self, writer: Writer) -> None:
        writer.u8(self.kind)
        write_identifier(writer, self.id)


class StrategyKind(IntEnum):
    """Where a poll starts. TIMESTAMP is microseconds; NEXT is the stored offset + 1; LAST counts from the end."""

    OFFSET = 1
    TIMESTAMP = 2
    FIRST = 3
    LAST = 4
    NEXT = 5


_STRATEGIES = {int(kind): kind for kind in StrategyKind}


@dataclass(frozen=True, slots=True)
class PollingStrategy:
    """`value` is the offset or the timestamp; the other kinds carry 0."""

    kind: StrategyKind
    value: int = 0

    @classmethod
    def read(cls, reader: Reader) -> PollingStrategy:
        number, value = reader.u8(), reader.u64()
        kind = _STRATEGIES.get(number)
        if kind is None:
            raise RemoteProtocolError(f"polling strategy of kind {number}")
        return cls(kind, value)

    def write(self, writer: Writer) -> None:
        writer.u8(self.kind)
        writer.u64(self.value)


class PartitioningKind(IntEnum):
    BALANCED = 1
    PARTITION = 2
    KEY = 3


@dataclass(frozen=True, slots=True)
class Partitioning:
    """Which partition a send goes to; `partition_id` with PARTITION only, `key` (1–255 bytes) with KEY only."""

    kind: PartitioningKind
    partition_id: int = 0
    key: bytes = field(default=b"", repr=False)

    @classmethod
    def to_partition(cls, partition_id: int) -> Partitioning:
        return cls(PartitioningKind.PARTITION, partition_id)

    @classmethod
    def read(cls, reader: Reader) -> Partitioning:
        kind, length = reader.u8(), reader.u8()
        if kind == PartitioningKind.BALANCED and not length:
            return cls(PartitioningKind.BALANCED)
        if kind == PartitioningKind.PARTITION and length == _U32.size:
            return cls(PartitioningKind.PARTITION, reader.u32())
        if kind == PartitioningKind.KEY and length:
            return cls(PartitioningKind.KEY, 0, reader.take(length))
        raise RemoteProtocolError(f"partitioning of kind {kind} and length {length}")

    def write(self, writer: Writer) -> None:
        writer.u8(self.kind)
        if self.kind is PartitioningKind.BALANCED:
            writer.u8(0)
        elif self.kind is PartitioningKind.PARTITION:
            writer.u8(_U32.size)
            writer.u32(self.partition_id)
        else:
            if not 1 <= len(self.key) <= MAX_PARTITION_KEY_BYTES:
                raise LocalProtocolError(f"partition key of {len(self.key)} bytes")
            writer.u8(len(self.key))
            writer.raw(self.key)
