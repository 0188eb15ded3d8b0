"""A message's fields, in their order, are its bytes."""

from dataclasses import FrozenInstanceError
from typing import Annotated

import pytest

from rustok_iggy_connector.errors import LocalProtocolError, RemoteProtocolError
from rustok_iggy_connector.wire.fields import Field
from rustok_iggy_connector.wire.layout import (
    U8,
    U32,
    Layout,
    Name,
    OptionalName,
    Options,
    SizedOptions,
    U32List,
    counted,
    message,
    nested,
    repeated,
)


@message
class Point(Layout):
    x: U8
    y: U8


@message
class Shape(Layout):
    name: Name
    first: Point
    more: Annotated[tuple[Point, ...], counted(nested(Point), element_bytes=2)] = ()
    nickname: OptionalName = None
    tail: Annotated[tuple[Point, ...], repeated(nested(Point))] = ()


@message
class Tagged(Layout):
    inner: SizedOptions = ()
    outer: Options = ()


SHAPE = Shape(
    name="ab", first=Point(x=1, y=2), more=(Point(x=3, y=4),), nickname="c", tail=(Point(x=5, y=6), Point(x=7, y=8))
)
SHAPE_BYTES = bytes.fromhex("02 6162  0102  01000000 0304  01 01 63  0506 0708")


def test_fields_are_written_and_read_in_their_order() -> None:
    assert SHAPE.encode() == SHAPE_BYTES
    assert Shape.decode(SHAPE_BYTES) == SHAPE
    assert Shape.decode(memoryview(bytearray(SHAPE_BYTES))) == SHAPE


def test_options_stand_behind_a_length_or_run_to_the_end() -> None:
    value = Tagged(inner=(Field.text("a", "1"),), outer=(Field.text("b", "2"), Field.u32("c", 3)))
    assert value.encode()[:4] == b"\x0c\0\0\0"
    assert Tagged.decode(value.encode()) == value


def test_bytes_left_over_are_an_error() -> None:
    with pytest.raises(RemoteProtocolError, match="left over"):
        Point.decode(b"\x01\x02\x03")


def test_a_count_beyond_the_bytes_is_refused_at_once() -> None:
    with pytest.raises(RemoteProtocolError, match="announced"):
        Shape.decode(bytes.fromhex("01 61 0102 ffffffff 0304"))


def test_a_value_that_does_not_fit_is_the_senders_error() -> None:
    for wrong in (Point(x=256, y=0), Shape(name="", first=Point(x=0, y=0))):
        with pytest.raises(LocalProtocolError):
            wrong.encode()


def test_messages_are_frozen_slotted_and_compare_by_value() -> None:
    with pytest.raises(FrozenInstanceError):
        SHAPE.name = "other"  # type: ignore[misc]
    assert not hasattr(SHAPE, "__dict__")
    assert hash(Point(x=1, y=2)) == hash(Point(x=1, y=2))


def test_an_annotation_without_a_codec_is_a_programming_error() -> None:
    @message
    class Wrong(Layout):
        number: int

    with pytest.raises(AttributeError):
        Wrong(number=1).encode()


def test_a_list_of_numbers_carries_its_count() -> None:
    @message
    class Numbers(Layout):
        values: U32List = ()
        last: U32 = 0

    assert Numbers(values=(1, 2), last=9).encode() == bytes.fromhex("02000000 01000000 02000000 09000000")
