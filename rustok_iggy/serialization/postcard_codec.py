"""Postcard for types: one codec a type, made once from the annotations of a Struct.

Source: the Postcard 1.x wire format (postcard.jamesmunns.com/wire-format) over serde's data model.

    Optional: 0, or 1 and the value · list, dict: count as varint, then the content
    struct, tuple: the fields, nothing around them · enum: index of the variant as varint

Reading gives plain values (a dict for a Struct), which msgspec then checks against the Struct as it does for JSON.
"""

from __future__ import annotations

from typing import Any

import msgspec.inspect as types
from msgspec import Struct

from rustok_iggy.integers import WIDTH
from rustok_iggy.serialization.postcard_values import (
    BOOL,
    BYTES,
    DATE,
    DECIMAL,
    FLOAT,
    ID,
    INTEGERS,
    MOMENT,
    TEXT,
    Codec,
    Malformed,
    read_choice,
    read_text,
    read_varint,
    write_text,
    write_varint,
)

_LEAVES: dict[type[types.Type], Codec] = {
    types.BoolType: BOOL,
    types.IntType: INTEGERS["i64"],
    types.FloatType: FLOAT,
    types.StrType: TEXT,
    types.BytesType: BYTES,
    types.UUIDType: ID,
    types.DateTimeType: MOMENT,
    types.DateType: DATE,
    types.DecimalType: DECIMAL,
}


class Unsupported(Exception):  # noqa: N818  leaves this package as ConfigError
    """A type that Postcard cannot carry."""


def struct_codec(struct_class: type[Struct]) -> Codec:
    """Make the codec of a Struct. Raises Unsupported, with the path of the field."""
    try:
        info = types.type_info(struct_class)
    except (TypeError, NameError) as error:  # names the type that msgspec cannot read, or that is not there
        raise Unsupported(str(error)) from None
    assert isinstance(info, types.StructType)
    return _struct(info, ())


def _codec(info: types.Type, outer: tuple[type, ...]) -> Codec:
    """Make the codec of a type. `outer` are the Structs around it."""
    if type(info) in _LEAVES:
        return _LEAVES[type(info)]
    match info:
        case types.Metadata(type=inner, extra=extra):
            return INTEGERS[extra[WIDTH]] if extra and WIDTH in extra else _codec(inner, outer)
        case types.StructType():
            return _struct(info, outer)
        case types.EnumType():
            return _enum(info)
        case types.UnionType(types=members) if len(members) == 2 and info.includes_none:
            return _optional(_codec(next(one for one in members if not isinstance(one, types.NoneType)), outer))
        case types.ListType(item_type=item) | types.VarTupleType(item_type=item):
            return _sequence(_item(_codec(item, outer)))
        case types.DictType(key_type=types.StrType(), value_type=item):
            return _mapping(_codec(item, outer))
        case types.TupleType(item_types=items):
            return _tuple(tuple(_codec(item, outer) for item in items))
    what = type(info).__name__.removesuffix("Type").lower()
    raise Unsupported(f"Postcard has no form for {what} types; use Structs, lists, dicts with text keys, Optional")


def _item(codec: Codec) -> Codec:
    # A count of items that take no bytes could not be checked against what is left.
    if codec.smallest == 0:
        raise Unsupported("a list of values that take no bytes")
    return codec


def _optional(inner: Codec) -> Codec:
    def write(value: Any, out: bytearray) -> None:
        if value is None:
            out.append(0)
        else:
            out.append(1)
            inner.write(value, out)

    def read(data: bytes, at: int) -> tuple[Any, int]:
        present, at = read_choice(data, at)
        return inner.read(data, at) if present else (None, at)

    return Codec(write=write, read=read, smallest=1)


def _sequence(item: Codec) -> Codec:
    def write(value: Any, out: bytearray) -> None:
        if not isinstance(value, list | tuple):
            raise Malformed("must be a list")
        write_varint(len(value), out)
        for one in value:
            item.write(one, out)

    def read(data: bytes, at: int) -> tuple[list[Any], int]:
        count, at = read_varint(data, at)
        if count * item.smallest > len(data) - at:
            raise Malformed("more items than bytes")
        items = []
        for _ in range(count):
            one, at = item.read(data, at)
            items.append(one)
        return items, at

    return Codec(write=write, read=read, smallest=1)


def _mapping(item: Codec) -> Codec:
    """Build the codec of a dict with text keys, in its own order."""

    def write(value: Any, out: bytearray) -> None:
        if not isinstance(value, dict):
            raise Malformed("must be a dict")
        write_varint(len(value), out)
        for key, one in value.items():
            write_text(key, out)
            item.write(one, out)

    def read(data: bytes, at: int) -> tuple[dict[str, Any], int]:
        count, at = read_varint(data, at)
        if count * (1 + item.smallest) > len(data) - at:
            raise Malformed("more entries than bytes")
        items = {}
        for _ in range(count):
            key, at = read_text(data, at)
            items[key], at = item.read(data, at)
        return items, at

    return Codec(write=write, read=read, smallest=1)


def _tuple(codecs: tuple[Codec, ...]) -> Codec:
    def write(value: Any, out: bytearray) -> None:
        if not isinstance(value, tuple) or len(value) != len(codecs):
            raise Malformed(f"must be a tuple of {len(codecs)}")
        for codec, one in zip(codecs, value, strict=True):
            codec.write(one, out)

    def read(data: bytes, at: int) -> tuple[list[Any], int]:
        items = []
        for codec in codecs:
            one, at = codec.read(data, at)
            items.append(one)
        return items, at

    return Codec(write=write, read=read, smallest=sum(codec.smallest for codec in codecs))


def _enum(info: types.EnumType) -> Codec:
    members = list(info.cls)

    def write(value: Any, out: bytearray) -> None:
        if not isinstance(value, info.cls):
            raise Malformed(f"must be a {info.cls.__name__}")
        write_varint(members.index(value), out)

    def read(data: bytes, at: int) -> tuple[Any, int]:
        index, at = read_varint(data, at, 32)
        if index >= len(members):
            raise Malformed(f"not a variant of {info.cls.__name__}")
        return members[index].value, at

    return Codec(write=write, read=read, smallest=1)


def _struct(info: types.StructType, outer: tuple[type, ...]) -> Codec:
    if info.cls in outer:
        raise Unsupported(f"{info.cls.__name__} contains itself")
    fields = []
    for field in info.fields:
        try:
            fields.append((field.name, field.encode_name, _codec(field.type, (*outer, info.cls))))
        except Unsupported as error:
            raise Unsupported(f"{field.name}: {error}") from None

    def write(value: Any, out: bytearray) -> None:
        if not isinstance(value, info.cls):
            raise Malformed(f"must be a {info.cls.__name__}")
        for name, _, codec in fields:
            try:
                codec.write(getattr(value, name), out)
            except Malformed as error:
                raise error.within(name) from None

    def read(data: bytes, at: int) -> tuple[dict[str, Any], int]:
        values = {}
        for name, key, codec in fields:
            try:
                values[key], at = codec.read(data, at)
            except Malformed as error:
                raise error.within(name) from None
        return values, at

    return Codec(write=write, read=read, smallest=sum(codec.smallest for *_, codec in fields))
