"""What is particular to Postcard: the bytes of each type, which types it takes, how it refuses damaged counts."""

import tracemalloc
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import msgspec
import pytest
from msgspec import Struct

from rustok_iggy.catalog import EventCatalog
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import ConfigError, DecodeError, EncodeError
from rustok_iggy.events import I8, I16, I32, I64, RUSTOK, U8, U16, U32, U64, OrderPlaced
from rustok_iggy.serialization import PostcardSerializer
from rustok_iggy.serialization.postcard_codec import struct_codec
from rustok_iggy.serialization.postcard_values import Malformed
from tests.envelopes import HOST, TENANT, VECTORS, Colour

SERIALIZER = PostcardSerializer()


def codec_of(annotation: Any) -> Any:
    return struct_codec(msgspec.defstruct("Holder", [("value", annotation)]))


# Source: https://postcard.jamesmunns.com/wire-format, and the vectors for UUID, timestamp and zigzag.
BYTES = [
    (bool, True, "01"),
    (U8, 255, "ff"),
    (I8, -1, "ff"),
    (I8, -128, "80"),
    (U16, 127, "7f"),
    (U16, 128, "8001"),
    (U16, 65535, "ffff03"),
    (U32, 2**32 - 1, "ffffffff0f"),
    (U64, 2**64 - 1, "ffffffffffffffffff01"),
    (I16, 0, "00"),
    (I16, -1, "01"),
    (I16, 1, "02"),
    (I16, 63, "7e"),
    (I16, -64, "7f"),
    (I16, 32767, "feff03"),
    (I16, -32768, "ffff03"),
    (I32, -(2**31), "ffffffff0f"),
    (I64, 2**63 - 1, "feffffffffffffffff01"),
    (I64, -(2**63), "ffffffffffffffffff01"),
    (int, -1, "01"),
    (float, -1.5, "000000000000f8bf"),
    (str, "é", "02c3a9"),
    (bytes, b"\x00\xff", "0200ff"),
    (UUID, UUID(int=1), "10" + "00" * 15 + "01"),
    (str | None, None, "00"),
    (str | None, "a", "010161"),
    (list[U16], [1, 300], "0201ac02"),
    (tuple[U16, ...], (1, 300), "0201ac02"),
    (tuple[bool, U8], (True, 7), "0107"),
    (dict[str, U8], {"a": 1}, "01016101"),
    (Colour, Colour.GREEN, "01"),
    (date, date(2026, 2, 14), "0a" + b"2026-02-14".hex()),
    (datetime, datetime(2026, 2, 14, 7, 21, 41, 500_000, UTC), "18" + b"2026-02-14T07:21:41.500Z".hex()),
    (Decimal, Decimal("1.50"), "04" + b"1.50".hex()),
]


@pytest.mark.parametrize(("annotation", "value", "expected"), BYTES)
def test_each_type_has_its_bytes(annotation: Any, value: Any, expected: str) -> None:
    holder = msgspec.defstruct("Holder", [("value", annotation)])
    codec = struct_codec(holder)
    out = bytearray()
    codec.write(holder(value), out)
    assert out.hex() == expected
    read, end = codec.read(bytes(out), 0)
    assert end == len(out)
    assert msgspec.convert(read, holder) == holder(value)
    assert len(out) >= codec.smallest


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (bool, 1),
        (U8, 256),
        (U8, -1),
        (I8, 128),
        (I32, 2**31),
        (I64, True),
        (int, 2**63),
        (int, "1"),
        (float, "1"),
        (float, 10**400),
        (str, b"a"),
        (bytes, "a"),
        (UUID, "668baa35-6989-5e08-9fae-767a9815f2e2"),
        (str | None, 1),
        (list[U8], {1}),
        (list[U8], [256]),
        (dict[str, U8], {1: 1}),
        (tuple[bool, U8], (True,)),
        (Colour, "red"),
        (date, "2026-02-14"),
        (datetime, datetime(2026, 2, 14)),  # noqa: DTZ001  the point
        (Decimal, 1.5),
    ],
)
def test_a_value_that_does_not_fit_its_type_is_not_written(annotation: Any, value: Any) -> None:
    holder = msgspec.defstruct("Holder", [("value", annotation)])
    with pytest.raises(Malformed) as caught:
        struct_codec(holder).write(holder(value), bytearray())
    assert caught.value.path == "value"


@pytest.mark.parametrize(
    ("annotation", "data", "reason"),
    [
        (bool, "02", "neither 0 nor 1"),
        (str | None, "02", "neither 0 nor 1"),
        (U16, "ffff04", "more than 16 bits"),
        (U16, "ffffff", "more than 16 bits"),
        (U16, "ff", "ends early"),
        (U64, "ffffffffffffffffff02", "more than 64 bits"),
        (U8, "", "ends early"),
        (float, "00", "ends early"),
        (str, "0161"[:2], "ends early"),
        (str, "01ff", "UTF-8"),
        (str, "ffffffffffffffffff01", "ends early"),
        (UUID, "0f" + "00" * 15, "16 bytes"),
        (list[U8], "ffffffffffffffffff01", "more items than bytes"),
        (list[str | None], "0300", "more items than bytes"),
        (dict[str, U8], "ffffffff0f", "more entries than bytes"),
        (Colour, "02", "not a variant"),
        (date, "0161", "not a date"),
        (datetime, "0161", "not a point in time"),
        (Decimal, "0161", "not a decimal number"),
    ],
)
def test_damaged_bytes_are_refused_with_a_reason(annotation: Any, data: str, reason: str) -> None:
    with pytest.raises(Malformed, match=reason) as caught:
        codec_of(annotation).read(bytes.fromhex(data), 0)
    assert caught.value.path == "value"


def test_a_count_far_above_the_bytes_allocates_nothing() -> None:
    codec = codec_of(list[U8])
    data = bytes.fromhex("ffffffff0f") + b"\x00" * 100
    tracemalloc.start()
    try:
        with pytest.raises(Malformed):
            codec.read(data, 0)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


class Nothing(Struct):
    pass


class Nested(Struct):
    again: list["Nested"]


@dataclass
class Plain:
    value: int


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (Any, "any"),
        (set[int], "set"),
        (int | str, "union"),
        (dict[int, str], "dict"),
        (Plain, "dataclass"),
        (list[Nothing], "no bytes"),
        (Nested, "contains itself"),
    ],
)
def test_a_type_without_a_form_is_refused_when_the_serializer_is_made(annotation: Any, reason: str) -> None:
    catalog = EventCatalog("odd")
    catalog.event("odd.one")(msgspec.defstruct("OddOne", [("value", annotation)]))
    with pytest.raises(ConfigError, match=rf"odd\.odd\.one version 1: value: .*{reason}"):
        PostcardSerializer(catalog)


def test_an_upcaster_from_plain_data_is_refused_when_the_serializer_is_made() -> None:
    catalog = EventCatalog("odd")
    catalog.event("odd.one", version=2)(msgspec.defstruct("OddOne", [("value", int)]))
    catalog.upcaster("odd.one", version=1, schema=dict)(lambda old: old)
    with pytest.raises(ConfigError, match=r"version 1: Postcard needs a Struct"):
        PostcardSerializer(catalog)


def test_an_event_of_another_variant_is_refused() -> None:
    envelope = EventEnvelope.new(TENANT, OrderPlaced(order_id=TENANT, total=1, currency="EUR"))
    swapped = SERIALIZER.encode(envelope).replace(b"\x0corder.placed", b"\x0enode.published")
    with pytest.raises(DecodeError, match=r"node\.published is variant 3, not 29") as caught:
        SERIALIZER.decode(swapped)
    assert caught.value.path == "event"


def test_the_schemas_own_limits_hold_as_they_do_for_json() -> None:
    limits = msgspec.defstruct("Limited", [("name", str)])
    strict = msgspec.defstruct("Limited", [("name", Annotated[str, msgspec.Meta(max_length=2)])])
    loose_catalog, strict_catalog = EventCatalog("loose"), EventCatalog("strict")
    loose_catalog.event("a.b")(limits)
    strict_catalog.event("a.b")(strict)
    data = PostcardSerializer(loose_catalog).encode(EventEnvelope.new(TENANT, limits("abc")))
    with pytest.raises(DecodeError, match="does not fit its schema"):
        PostcardSerializer(strict_catalog).decode(data)


def test_a_field_that_does_not_fit_is_named() -> None:
    envelope = EventEnvelope.new(TENANT, OrderPlaced(order_id=TENANT, total=2**63, currency="EUR"))
    with pytest.raises(EncodeError) as caught:
        SERIALIZER.encode(envelope)
    assert caught.value.path == "event.total"


def test_the_variant_of_each_vector_is_its_place_in_the_catalogue() -> None:
    assert [(vector.event_type, vector.variant) for vector in VECTORS] == [
        (spec.event_type, spec.variant) for spec in RUSTOK
    ]
    assert list(HOST)[: len(RUSTOK)] == list(RUSTOK)
