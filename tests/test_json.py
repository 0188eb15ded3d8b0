"""What is particular to JSON: the keys, the nulls, what serde writes, what msgspec says."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from rustok_iggy.catalog import EventCatalog
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import DecodeError, UnknownEventTypeError
from rustok_iggy.events import NodeCreated, OrderPlaced
from rustok_iggy.serialization import JsonSerializer
from rustok_iggy.serialization.timestamp import format_timestamp
from tests.envelopes import TENANT, VECTORS

SERIALIZER = JsonSerializer()
ORDER = EventEnvelope.new(TENANT, OrderPlaced(order_id=TENANT, total=1, currency="EUR"))


def row(**changes: Any) -> dict[str, Any]:
    return {**json.loads(SERIALIZER.encode(ORDER)), **changes}


def test_keys_stand_in_wire_order_and_nulls_are_written() -> None:
    written = json.loads(SERIALIZER.encode(ORDER))
    assert list(written) == list(EventEnvelope.__struct_fields__)
    assert written["causation_id"] is written["trace_id"] is written["actor_id"] is None
    assert written["event"] == {
        "type": "OrderPlaced",
        "data": {"order_id": str(TENANT), "customer_id": None, "total": 1, "currency": "EUR"},
    }


def test_text_is_escaped_as_serde_escapes_it() -> None:
    event = NodeCreated(node_id=TENANT, kind='"\\/\b\f\n\r\t\x00\x1f\x7fé\u2028🚀', author_id=None)
    written = SERIALIZER.encode(EventEnvelope.new(TENANT, event))
    assert '"kind":"\\"\\\\/\\b\\f\\n\\r\\t\\u0000\\u001f\x7fé\u2028🚀"'.encode() in written


def test_keys_in_another_order_missing_nulls_and_unknown_keys_are_read() -> None:
    written = row(later_field=[1])
    for key in ("causation_id", "trace_id", "actor_id"):
        del written[key]
    assert SERIALIZER.decode(json.dumps(dict(reversed(written.items())), indent=1).encode()) == ORDER


@pytest.mark.parametrize(
    ("changes", "path", "reason"),
    [
        ({"id": "x"}, "id", "does not fit"),
        ({"tenant_id": None}, "tenant_id", "Expected `uuid`, got `null`"),
        ({"schema_version": 65536}, "schema_version", "<= 65535"),
        ({"retry_count": -1}, "retry_count", ">= 0"),
        ({"timestamp": "2026-02-14"}, "timestamp", "RFC 3339"),
        ({"event": {"type": "OrderPlaced"}}, "event", "missing required field `data`"),
        ({"event": {"type": "OrderLost", "data": {}}}, "event.type", "'OrderLost', not a OrderPlaced"),
        ({"event": {"type": "OrderPlaced", "data": {}}}, "event.data", "missing required field `order_id`"),
        ({"event": {"type": "OrderPlaced", "data": None}}, "event.data", "Expected `object`, got `null`"),
    ],
)
def test_a_wrong_field_is_named_with_what_is_wrong(changes: dict[str, Any], path: str, reason: str) -> None:
    with pytest.raises(DecodeError) as caught:
        SERIALIZER.decode(json.dumps(row(**changes)).encode())
    assert caught.value.path == path
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "microsecond"),
    [
        ("2026-02-14T10:00:00.1234569Z", 123456),
        ("2026-02-14T11:00:00.123456+01:00", 123456),
        ("2026-02-14t10:00:00z", 0),
    ],
)
def test_a_timestamp_of_another_writer_is_cut_off_and_in_utc(text: str, microsecond: int) -> None:
    moment = SERIALIZER.decode(json.dumps(row(timestamp=text)).encode()).timestamp
    assert moment == datetime(2026, 2, 14, 10, 0, 0, microsecond, UTC)
    assert moment.tzinfo is UTC


@pytest.mark.parametrize("text", ["2026-02-14 10:00:00Z", "2026-02-14T10:00:00", "2026-02-14T10:00:00.1234567890Z"])
def test_a_timestamp_that_only_the_decoder_takes_is_refused(text: str) -> None:
    with pytest.raises(DecodeError, match="RFC 3339"):
        SERIALIZER.decode(json.dumps(row(timestamp=text)).encode())


def test_what_is_opened_has_its_ids_and_zeros_where_there_are_none() -> None:
    opened = SERIALIZER.open(json.dumps(row()).encode())
    assert (opened.id, opened.correlation_id, opened.tenant_id) == (ORDER.id, ORDER.correlation_id, TENANT)
    opened = SERIALIZER.open(json.dumps(row(correlation_id="x")).encode())
    assert (opened.id, opened.correlation_id, opened.tenant_id) == (UUID(int=0), UUID(int=0), TENANT)
    with pytest.raises(DecodeError) as caught:
        opened.decode()
    assert caught.value.path == "correlation_id"


def test_an_integer_out_of_its_width_is_refused() -> None:
    written = row(event={"type": "OrderPlaced", "data": {"order_id": str(TENANT), "total": 2**63, "currency": "EUR"}})
    with pytest.raises(DecodeError) as caught:
        SERIALIZER.decode(json.dumps(written).encode())
    assert caught.value.path == "event.data.total"


@pytest.mark.parametrize("deep", [b"[" * 100_000, b'{"event":' * 100_000])
def test_deep_nesting_is_refused(deep: bytes) -> None:
    with pytest.raises(DecodeError):
        SERIALIZER.decode(deep)


def test_deep_nesting_inside_an_event_is_refused() -> None:
    data = VECTORS[0].json.replace(b'"author_id":null', b'"author_id":' + b"[" * 100_000 + b"]" * 100_000)
    with pytest.raises(DecodeError, match="nested too deeply"):
        SERIALIZER.decode(data)


def test_a_long_event_type_is_cut_in_the_error() -> None:
    with pytest.raises(UnknownEventTypeError) as caught:
        SERIALIZER.decode(json.dumps(row(event_type="x\n" * 10_000)).encode())
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


def test_event_types_declared_after_the_serializer_was_made_are_known() -> None:
    catalog = EventCatalog("late")
    serializer = JsonSerializer(catalog)
    late = catalog.event("late.comer", name="LateComer")(type("LateComer", (OrderPlaced,), {}))
    envelope = EventEnvelope.new(TENANT, late(order_id=TENANT, total=1, currency="EUR"))
    assert serializer.decode(serializer.encode(envelope)) == envelope


@pytest.mark.parametrize("microsecond", [0, 1, 10, 999, 1000, 1001, 123_000, 999_000, 100_000, 123_456, 999_999])
@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=30))])
@pytest.mark.parametrize("year", [1, 999, 2026, 9999])
def test_every_timestamp_is_written_as_chrono_writes_it(microsecond: int, zone: timezone, year: int) -> None:
    moment = datetime(year, 2, 14, 23, 59, 59, microsecond, tzinfo=zone)
    written = json.loads(SERIALIZER.encode(replace(ORDER, timestamp=moment)))
    assert written["timestamp"] == format_timestamp(moment)
