"""A message is a frozen dataclass whose fields, in their order, are its bytes.

    @message
    class CreateTopic(Layout):
        stream: Identifier
        partitions_count: U32
        name: Name
        options: Options = ()

An annotation names the Python type for the type checker and, as its metadata, the codec of the field. A field typed
with another layout nests it. Bytes left over after the last field are an error.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol, Self, TypeVar, dataclass_transform, get_args, get_type_hints

from rustok_iggy_connector.wire import fields, primitives
from rustok_iggy_connector.wire.primitives import Buffer, Reader, Writer


@dataclass(frozen=True, slots=True)
class Codec:
    """How one field is read and written."""

    read: Callable[[Reader], Any]
    write: Callable[[Writer, Any], None]


_Message = TypeVar("_Message", bound="Layout")


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def message(cls: type[_Message]) -> type[_Message]:
    """A frozen, slotted, keyword-only dataclass."""
    return dataclass(frozen=True, slots=True, kw_only=True)(cls)


class Layout:
    """Bytes ↔ value by the fields' codecs."""

    __slots__ = ()

    def encode(self) -> bytes:
        """Raises LocalProtocolError for a value that does not fit its field."""
        writer = Writer()
        self.write(writer)
        return writer.getvalue()

    @classmethod
    def decode(cls, data: Buffer) -> Self:
        """`data` is exactly one message. Raises RemoteProtocolError."""
        reader = Reader(data)
        value = cls.read(reader)
        reader.finish()
        return value

    def write(self, writer: Writer) -> None:
        for name, codec in _codecs_of(type(self)):
            codec.write(writer, getattr(self, name))

    @classmethod
    def read(cls, reader: Reader) -> Self:
        return cls(**{name: codec.read(reader) for name, codec in _codecs_of(cls)})


# Filled at first use of each class: the annotations are text until then.
_CODECS: dict[type[Layout], tuple[tuple[str, Codec], ...]] = {}


def _codecs_of(cls: type[Layout]) -> tuple[tuple[str, Codec], ...]:
    codecs = _CODECS.get(cls)
    if codecs is None:
        hints = get_type_hints(cls, include_extras=True)
        codecs = _CODECS[cls] = tuple((name, _codec_of(hint)) for name, hint in hints.items())
    return codecs


def _codec_of(hint: Any) -> Codec:
    for metadata in get_args(hint)[1:]:
        if isinstance(metadata, Codec):
            return metadata
    return nested(hint)


class _Value(Protocol):
    """What has its own bytes: messages, and the values in primitives.py."""

    @classmethod
    def read(cls, reader: Reader) -> Any: ...

    def write(self, writer: Writer) -> None: ...


def nested(cls: type[_Value]) -> Codec:
    """A value with bytes of its own, in place."""
    return Codec(cls.read, _write_value)


def _write_value(writer: Writer, value: _Value) -> None:
    value.write(writer)


def repeated(element: Codec) -> Codec:
    """Elements until the bytes end; how many is told elsewhere or nowhere."""

    def read(reader: Reader) -> tuple[Any, ...]:
        elements = []
        while reader.remaining:
            elements.append(element.read(reader))
        return tuple(elements)

    def write(writer: Writer, elements: tuple[Any, ...]) -> None:
        for value in elements:
            element.write(writer, value)

    return Codec(read, write)


def counted(element: Codec, *, element_bytes: int) -> Codec:
    """A u32 count, then so many elements of at least `element_bytes` each."""

    def read(reader: Reader) -> tuple[Any, ...]:
        return tuple(element.read(reader) for _ in range(reader.count(element_bytes=element_bytes)))

    def write(writer: Writer, elements: tuple[Any, ...]) -> None:
        writer.u32(len(elements))
        for value in elements:
            element.write(writer, value)

    return Codec(read, write)


def optional(element: Codec) -> Codec:
    """A flag, then the element if the flag is 1."""

    def read(reader: Reader) -> Any:
        return element.read(reader) if reader.flag() else None

    def write(writer: Writer, value: Any) -> None:
        writer.flag(value is not None)
        if value is not None:
            element.write(writer, value)

    return Codec(read, write)


def _write_options(writer: Writer, options: tuple[fields.Field, ...]) -> None:
    writer.raw(fields.encode_fields(options))


def _write_sized_options(writer: Writer, options: tuple[fields.Field, ...]) -> None:
    writer.long_bytes(fields.encode_fields(options))


NAME_CODEC = Codec(Reader.name, Writer.name)
U8_CODEC = Codec(Reader.u8, Writer.u8)
U32_CODEC = Codec(Reader.u32, Writer.u32)

U8 = Annotated[int, U8_CODEC]
U16 = Annotated[int, Codec(Reader.u16, Writer.u16)]
U32 = Annotated[int, U32_CODEC]
U64 = Annotated[int, Codec(Reader.u64, Writer.u64)]
F32 = Annotated[float, Codec(Reader.f32, Writer.f32)]
Flag = Annotated[bool, Codec(Reader.flag, Writer.flag)]
Name = Annotated[str, NAME_CODEC]
OptionalName = Annotated[str | None, optional(NAME_CODEC)]
OptionalU8 = Annotated[int | None, optional(U8_CODEC)]
ShortText = Annotated[str, Codec(Reader.short_text, Writer.short_text)]
LongText = Annotated[str, Codec(Reader.long_text, Writer.long_text)]
LongBytes = Annotated[bytes, Codec(Reader.long_bytes, Writer.long_bytes)]
U32List = Annotated[tuple[int, ...], counted(U32_CODEC, element_bytes=4)]
Identifier = Annotated[int | str, Codec(primitives.read_identifier, primitives.write_identifier)]
Consumer = Annotated[primitives.Consumer, nested(primitives.Consumer)]
PartitionChoice = Annotated[int | None, Codec(primitives.read_partition, primitives.write_partition)]
Strategy = Annotated[primitives.PollingStrategy, nested(primitives.PollingStrategy)]
Options = Annotated[
    tuple[fields.Field, ...], Codec(lambda reader: fields.decode_options(reader.rest()), _write_options)
]
"""Options that run to the end of the message, as requests carry them."""
SizedOptions = Annotated[
    tuple[fields.Field, ...],
    Codec(lambda reader: fields.decode_options(reader.view(reader.u32())), _write_sized_options),
]
"""Options behind a u32 length, as replies carry them."""
