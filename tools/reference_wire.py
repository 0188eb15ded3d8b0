"""docs/reference/wire.md: the bytes of events and of the dead-letter journal, for whoever reads them without us.

Tables of bytes are cut from what the codecs write; a table that does not add up to it fails here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from uuid import UUID

from rustok_iggy import EventEnvelope, JsonSerializer, PostcardSerializer
from rustok_iggy.dead_letters import records
from rustok_iggy.dead_letters.layout import Original, encode_original, encode_record
from rustok_iggy.dead_letters.records import Cause, Epoch, Failure, Letter, Source, letter_id
from rustok_iggy.dead_letters.stored_start import Kept, consumer_name
from rustok_iggy.events import RUSTOK, OrderPlaced
from rustok_iggy.message import RK_HEADER, message_headers
from rustok_iggy.partitioning import partition_for
from rustok_iggy.serialization import SerializationFormat
from tools.source_docs import docstring, fields_of

TEMPLATE = Path(__file__).with_name("wire.template.md")
TENANT = UUID("7e9f99ae-62c1-4d0a-9b1e-0c3f5a6d7b21")
EVENT = EventEnvelope(
    id=UUID("01a1fe66-0000-7000-8000-0000000000aa"),
    event_type="order.placed",
    schema_version=1,
    correlation_id=UUID("01a1fe66-0000-7000-8000-0000000000aa"),
    tenant_id=TENANT,
    timestamp=datetime(2026, 11, 21, 12, 0, 0, 123000, tzinfo=UTC),
    event=OrderPlaced(
        order_id=UUID("0b5d2f60-8d4e-4f1b-8a51-5f0e7c9d1e02"), customer_id=None, total=4200, currency="EUR"
    ),
)
SOURCE = Source(group="billing", topic="domain", partition=3)
LETTER = Letter(
    source=SOURCE,
    epoch=Epoch(group_id=0, generation=7, member="host-1/4711/5f0e"),
    offset=118,
    stored_at=1_795_262_400_125_000,
    event_id=EVENT.id,
    tenant_id=TENANT,
    event_type=EVENT.event_type,
    schema_version=1,
    handler="bill",
    cause=Cause.FAILED,
    parks=True,
    attempts=5,
    first_failed_at=1_795_262_401_000_000,
    last_failed_at=1_795_262_404_000_000,
    failure=Failure(error_type="KeyError", fingerprint="9f3c1a7be0d24c55", message="'rate'", stack=""),
)
RECORDS = (
    records.Claim,
    records.Release,
    records.Letter,
    records.Attempt,
    records.Settlement,
    records.Request,
    records.RequestEnd,
    records.Checkpoint,
)
CHOICES: tuple[type[StrEnum], ...] = (records.Cause, records.Action, records.Outcome)
PARTS = (records.Source, records.Epoch, records.Failure, records.Selection)


def page() -> str:
    """Return the whole page."""
    tables = {
        "partitions": _partitions(),
        "rk": table(("bytes", "what", "here"), rk_rows()),
        "json": _code(JsonSerializer().encode(EVENT).decode()),
        "postcard": table(("field", "encoding", "bytes"), postcard_rows()),
        "types": table(("variant", "event type", "name"), _types()),
        "headers": table(("header", "in the example"), _headers()),
        "letter": table(("bytes", "what", "here"), letter_rows()),
        "metadata": _code(json.dumps(json.loads(metadata()), indent=2)),
        "kinds": _kinds(),
        "consumers": table(("offset", "its name, in the example"), _consumers()),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, lines in tables.items():
        assert text.count(f"{{{{{name}}}}}") == 1, name
        text = text.replace(f"{{{{{name}}}}}", "\n".join(lines))
    return text


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Yield a table."""
    yield from (f"| {' | '.join(head)} |", "|" + "---|" * len(head))
    yield from (f"| {' | '.join(row)} |" for row in rows)
    yield ""


def rk_rows() -> list[tuple[str, str, str]]:
    """Return the bytes of the header `rk`."""
    rows = [("1", "version of this layout", "01"), ("1", "format: 1 JSON, 2 Postcard", "01")]
    rows.append(("16", "tenant id", TENANT.hex))
    _adds_up(rows, message_headers(TENANT, format=SerializationFormat.JSON)[RK_HEADER])
    return [(size, what, f"`{each}`") for size, what, each in rows]


def postcard_rows() -> list[tuple[str, str, str]]:
    """Return the bytes of the example in Postcard, field by field."""
    variant = RUSTOK.by_type(EVENT.event_type).variant
    order: OrderPlaced = EVENT.event  # type: ignore[assignment]
    rows = [
        ("id", "UUID", _uuid(EVENT.id)),
        ("event_type", "text", _text(EVENT.event_type)),
        ("schema_version", "u16", _varint(EVENT.schema_version)),
        ("correlation_id", "UUID", _uuid(EVENT.correlation_id)),
        ("causation_id", "option of UUID", "00"),
        ("tenant_id", "UUID", _uuid(EVENT.tenant_id)),
        ("trace_id", "option of text", "00"),
        ("timestamp", "text", _text("2026-11-21T12:00:00.123Z")),
        ("actor_id", "option of UUID", "00"),
        ("event: variant", "u32", _varint(variant)),
        ("event: order_id", "UUID", _uuid(order.order_id)),
        ("event: customer_id", "option of UUID", "00"),
        ("event: total", "i64", _varint(order.total << 1)),
        ("event: currency", "text", _text(order.currency)),
        ("retry_count", "u32", "00"),
    ]
    _adds_up(rows, PostcardSerializer().encode(EVENT))
    return [(field, encoding, f"`{each}`") for field, encoding, each in rows]


def letter_rows() -> list[tuple[str, str, str]]:
    """Return the bytes of the example's letter."""
    payload, original = letter_payload(), JsonSerializer().encode(EVENT)
    facts, name, value = metadata(), RK_HEADER.encode(), message_headers(TENANT, format=SerializationFormat.JSON)
    block = bytes((len(name),)) + name + bytes((len(value[RK_HEADER]),)) + value[RK_HEADER]
    rows = [
        ("4", "length of the metadata", len(facts).to_bytes(4, "little").hex()),
        (str(len(facts)), "metadata, JSON", facts.hex()),
        ("4", "length of the original headers", len(block).to_bytes(4, "little").hex()),
        ("1", "length of a header's name", block[:1].hex()),
        (str(len(name)), "its name", name.hex()),
        ("1", "length of its value", block[1 + len(name) :][:1].hex()),
        (str(len(value[RK_HEADER])), "its value", value[RK_HEADER].hex()),
        (str(len(original)), "original payload, up to the end", original.hex()),
    ]
    _adds_up(rows, payload)
    return [(size, what, f"`{each}`" if len(each) <= 64 else f"`{each[:12]}…`") for size, what, each in rows]


def letter_payload() -> bytes:
    """Return the example's letter as it stands in the dlq topic."""
    original = Original(
        headers=message_headers(TENANT, format=SerializationFormat.JSON), payload=JsonSerializer().encode(EVENT)
    )
    return encode_record(LETTER, body=encode_original(original)).payload


def metadata() -> bytes:
    """Return the metadata of the example's letter."""
    payload = letter_payload()
    return payload[4 : 4 + int.from_bytes(payload[:4], "little")]


def _headers() -> Iterator[tuple[str, str]]:
    for name, value in encode_record(LETTER).headers.items():
        yield f"`{name}`", f"`{value.decode()}`"
    yield "message id", f"`{letter_id(SOURCE, offset=LETTER.offset)}`"


def _consumers() -> Iterator[tuple[str, str]]:
    for kept in Kept:
        yield kept.value, f"`{consumer_name(SOURCE, kept)}`"


def _partitions() -> Iterator[str]:
    tenants = (TENANT, UUID(int=1), UUID("c0ffee00-0000-4000-8000-000000000000"))
    counts = (1, 4, 8, 12)
    rows = ((f"`{each}`", *(str(partition_for(each, count)) for count in counts)) for each in tenants)
    yield from table(("tenant", *(f"of {count}" for count in counts)), rows)


def _types() -> Iterator[tuple[str, str, str]]:
    for spec in RUSTOK:
        yield str(spec.variant), f"`{spec.event_type}`", f"`{spec.name}`"


def _kinds() -> Iterator[str]:
    for kind in RECORDS:
        tag = kind.__struct_config__.tag
        yield from (f"#### {tag}", "", docstring(kind), "", f"{_keys(kind)}.", "")
    for part in PARTS:
        shape = "an array in this order" if part.__struct_config__.array_like else "an object"
        yield from (f"#### {part.__name__}: {shape}", "", docstring(part), "", f"{_keys(part)}.", "")
    for choice in CHOICES:
        yield from (f"#### {choice.__name__}: text", "", docstring(choice), "")
        yield from (f"- `{each.value}`{_why(choice, each.name)}" for each in choice)
        yield ""


def _why(choice: type[StrEnum], name: str) -> str:
    said = {field.name: field.description for field in fields_of(choice)}[name]
    return f": {said}" if said else ""


def _keys(kind: type) -> str:
    return ", ".join(f"`{field.name}` {_bare(field.type)}" for field in fields_of(kind))


def _bare(annotation: str) -> str:
    """Return a type without the bounds behind it."""
    bounded = re.fullmatch(r"Annotated\[(.*), Meta\(.*\)\]", annotation)
    return (bounded.group(1) if bounded else annotation).replace("None", "null").replace("|", "or")


def _adds_up(rows: Iterable[tuple[str, ...]], expected: bytes) -> None:
    written = "".join(row[-1] for row in rows)
    assert written == expected.hex(), f"the table says {written}, the codec writes {expected.hex()}"


def _code(text: str) -> tuple[str, ...]:
    return ("```json", text, "```", "")


def _uuid(value: UUID) -> str:
    return f"10{value.hex}"


def _text(value: str) -> str:
    return _varint(len(value.encode())) + value.encode().hex()


def _varint(value: int) -> str:
    written = bytearray()
    while value > 0x7F:
        written.append(value & 0x7F | 0x80)
        value >>= 7
    return (bytes(written) + bytes((value,))).hex()
