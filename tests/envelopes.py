"""Envelopes to test with: the Rust crates' own, random ones of every type, and a host's catalogue with every shape."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any
from uuid import UUID

from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import fields

from rustok_iggy.catalog import EventCatalog, declared
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.events import I8, I16, I32, I64, RUSTOK, U8, U16, U32, U64
from rustok_iggy.serialization import EventSerializer, JsonSerializer, PostcardSerializer

TENANT = UUID("6b7e71b9-aaa7-5081-bbb2-5fcad986b10c")


@dataclass(frozen=True, kw_only=True)
class Vector:
    """One envelope as the Rust crates wrote it in both formats."""

    event_type: str
    variant: int
    json: bytes
    postcard: bytes

    @property
    def timestamp(self) -> str:
        return str(json.loads(self.json)["timestamp"])

    @property
    def has_nanoseconds(self) -> bool:
        return len(self.timestamp) == len("2023-11-14T22:13:20.123456789Z")

    def bytes_of(self, serializer: EventSerializer) -> bytes:
        return {"json": self.json, "postcard": self.postcard}[serializer.format]

    def bytes_with_timestamp(self, serializer: EventSerializer, text: str) -> bytes:
        before, after = self.timestamp.encode(), text.encode()
        if serializer.format == "postcard":  # a count of bytes stands before it
            before, after = bytes([len(before)]) + before, bytes([len(after)]) + after
        return self.bytes_of(serializer).replace(before, after)


def read_vectors() -> list[Vector]:
    lines = (Path(__file__).parent / "vectors" / "envelopes.jsonl").read_text(encoding="utf-8").splitlines()
    return [
        Vector(
            event_type=row["event_type"],
            variant=row["variant"],
            json=row["json"].encode(),
            postcard=bytes.fromhex(row["postcard_hex"]),
        )
        for row in map(json.loads, lines)
    ]


VECTORS = read_vectors()


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Line(Struct, frozen=True, kw_only=True):
    sku: str
    count: U32
    price: Decimal | None = None


HOST = EventCatalog("host", extends=RUSTOK)


@HOST.event("invoice.paid")
class InvoicePaid(Struct, frozen=True, kw_only=True):
    """One field of every kind a host may use."""

    invoice_id: UUID
    paid: bool
    rate: float
    small: I8
    short: I16
    medium: I32
    plain: int
    byte: U8
    word: U16
    wide: U64
    note: str | None
    raw: bytes
    due: date
    at: datetime
    lines: list[Line]
    tags: dict[str, str]
    pair: tuple[str, I64]
    colour: Colour


SERIALIZERS: list[EventSerializer] = [JsonSerializer(HOST), PostcardSerializer(HOST)]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
moments = st.datetimes(timezones=st.just(UTC))
ids = st.uuids(allow_nil=False)


def integers(bits: int, *, signed: bool) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else st.integers(0, 2**bits - 1)


FIELD_VALUES: dict[Any, st.SearchStrategy[Any]] = {
    UUID: ids,
    UUID | None: st.none() | ids,
    str: texts,
    str | None: st.none() | texts,
    bool: st.booleans(),
    float: st.floats(allow_nan=False, allow_infinity=False),
    int: integers(64, signed=True),
    I8: integers(8, signed=True),
    I16: integers(16, signed=True),
    I32: integers(32, signed=True),
    I64: integers(64, signed=True),
    I64 | None: st.none() | integers(64, signed=True),
    U8: integers(8, signed=False),
    U16: integers(16, signed=False),
    U32: integers(32, signed=False),
    U64: integers(64, signed=False),
    bytes: st.binary(max_size=40),
    date: st.dates(),
    datetime: moments,
    Decimal | None: st.none() | st.decimals(allow_nan=False, allow_infinity=False, places=2),
    dict[str, str]: st.dictionaries(texts, texts, max_size=4),
    tuple[str, I64]: st.tuples(texts, integers(64, signed=True)),
    Colour: st.sampled_from(Colour),
}


def structs(struct_class: type[Struct]) -> st.SearchStrategy[Struct]:
    return st.builds(struct_class, **{field.name: FIELD_VALUES[field.type] for field in fields(struct_class)})


FIELD_VALUES[list[Line]] = st.lists(structs(Line), max_size=4)


@st.composite
def envelopes(draw: st.DrawFn) -> EventEnvelope:
    """An envelope of any event type of the host's catalogue, which starts with RusToK's 39."""
    event = draw(st.sampled_from([spec.event_class for spec in HOST]).flatmap(structs))
    declaration = declared(type(event))
    return EventEnvelope(
        id=draw(ids),
        event_type=declaration.event_type,
        schema_version=declaration.version,
        correlation_id=draw(ids),
        causation_id=draw(st.none() | ids),
        tenant_id=draw(ids),
        trace_id=draw(st.none() | texts),
        timestamp=draw(moments),
        actor_id=draw(st.none() | ids),
        event=event,
        retry_count=draw(integers(32, signed=False)),
    )
