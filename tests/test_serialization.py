"""One test body over both formats."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct, defstruct

from rustok_iggy.catalog import EventCatalog
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import (
    ConfigError,
    DecodeError,
    EncodeError,
    UnknownEventTypeError,
    UnsupportedVersionError,
)
from rustok_iggy.events import I64, RUSTOK, OrderPlaced, UserRegistered
from rustok_iggy.serialization import EventSerializer, JsonSerializer, PostcardSerializer
from rustok_iggy.serialization.timestamp import format_timestamp, parse_timestamp
from tests.envelopes import HOST, SERIALIZERS, TENANT, VECTORS, Vector, envelopes, ids

pytestmark = pytest.mark.parametrize("serializer", SERIALIZERS, ids=lambda serializer: serializer.format)
each_vector = pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector.event_type)

DOCUMENTED_FAILURES = (DecodeError, UnknownEventTypeError, UnsupportedVersionError)


def decodes_or_says_why(serializer: EventSerializer, data: bytes) -> None:
    """Garbage gives a documented error and never another; what was read can be written."""
    try:
        envelope = serializer.decode(data)
    except DOCUMENTED_FAILURES:
        return
    serializer.encode(envelope)


@each_vector
def test_an_envelope_from_rust_is_written_byte_for_byte(serializer: EventSerializer, vector: Vector) -> None:
    written = serializer.encode(serializer.decode(vector.bytes_of(serializer)))
    # Python keeps microseconds: of nanoseconds the timestamp alone may differ.
    kept = vector.timestamp if not vector.has_nanoseconds else format_timestamp(parse_timestamp(vector.timestamp))
    assert written == vector.bytes_with_timestamp(serializer, kept)


@each_vector
def test_both_formats_say_the_same(serializer: EventSerializer, vector: Vector) -> None:
    assert serializer.decode(vector.bytes_of(serializer)) == JsonSerializer().decode(vector.json)


@each_vector
def test_opening_reads_the_ids_and_decoding_goes_on_from_there(serializer: EventSerializer, vector: Vector) -> None:
    data = vector.bytes_of(serializer)
    opened, envelope = serializer.open(data), serializer.decode(data)
    assert (opened.id, opened.tenant_id, opened.event_type) == (envelope.id, envelope.tenant_id, vector.event_type)
    assert (opened.schema_version, opened.correlation_id) == (1, envelope.correlation_id)
    assert opened.decode() == envelope


@given(envelope=envelopes())
def test_what_is_written_reads_back_equal(serializer: EventSerializer, envelope: EventEnvelope) -> None:
    data = serializer.encode(envelope)
    decoded = serializer.decode(data)
    assert decoded == envelope
    assert serializer.encode(decoded) == data


@given(envelope=envelopes(), data=st.data())
def test_a_truncated_envelope_is_a_decode_error(
    serializer: EventSerializer, envelope: EventEnvelope, data: st.DataObject
) -> None:
    whole = serializer.encode(envelope)
    with pytest.raises(DecodeError) as caught:
        serializer.decode(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert caught.value.format == serializer.format


@given(garbage=st.binary(max_size=300))
def test_garbage_gives_a_documented_error(serializer: EventSerializer, garbage: bytes) -> None:
    decodes_or_says_why(serializer, garbage)


@given(envelope=envelopes(), data=st.data())
def test_damaged_bytes_give_a_documented_error_or_an_envelope(
    serializer: EventSerializer, envelope: EventEnvelope, data: st.DataObject
) -> None:
    whole = bytearray(serializer.encode(envelope))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    decodes_or_says_why(serializer, bytes(whole))


@given(envelope=envelopes())
def test_bytes_of_the_other_format_are_refused(serializer: EventSerializer, envelope: EventEnvelope) -> None:
    (other,) = (one for one in SERIALIZERS if one is not serializer)
    with pytest.raises(DecodeError):
        serializer.decode(other.encode(envelope))


def test_bytes_behind_the_envelope_are_refused(serializer: EventSerializer) -> None:
    with pytest.raises(DecodeError):
        serializer.decode(VECTORS[0].bytes_of(serializer) + b"\x01")


def test_an_event_of_no_catalogue_is_refused(serializer: EventSerializer) -> None:
    class Stray(Struct):
        pass

    envelope = SERIALIZERS[0].decode(VECTORS[0].json)
    with pytest.raises(UnknownEventTypeError, match="Stray"):
        serializer.encode(_with(envelope, event=Stray()))


def test_an_event_type_of_another_catalogue_is_named(serializer: EventSerializer) -> None:
    small = EventCatalog("small")

    @small.event("thing.done")
    class ThingDone(Struct, frozen=True, kw_only=True):
        thing: str

    data = type(serializer)(small).encode(EventEnvelope.new(TENANT, ThingDone(thing="x")))
    with pytest.raises(UnknownEventTypeError) as caught:
        serializer.decode(data)
    assert caught.value.event_type == "thing.done"


def test_a_timestamp_without_a_time_zone_is_not_written(serializer: EventSerializer) -> None:
    envelope = serializer.decode(VECTORS[0].bytes_of(serializer))
    with pytest.raises(EncodeError) as caught:
        serializer.encode(_with(envelope, timestamp=envelope.timestamp.replace(tzinfo=None)))
    assert caught.value.format == serializer.format


def test_half_a_surrogate_pair_is_not_written_and_not_quoted(serializer: EventSerializer) -> None:
    envelope = EventEnvelope.new(TENANT, UserRegistered(user_id=TENANT, email="secret\ud800"))
    with pytest.raises(EncodeError) as caught:
        serializer.encode(envelope)
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_errors_never_quote_the_event(serializer: EventSerializer) -> None:
    event = UserRegistered(user_id=TENANT, email="secret@example.org")
    whole = serializer.encode(EventEnvelope.new(TENANT, event))
    for at in range(len(whole)):
        with pytest.raises(DOCUMENTED_FAILURES) as caught:
            serializer.decode(whole[:at] + b"\xff" + whole[at + 1 :])
            raise DecodeError("it may be read all the same", format=serializer.format)
        assert "secret" not in str(caught.value)


# --- old versions --------------------------------------------------------------------------------------------------


class RefundV1(Struct, frozen=True, kw_only=True):
    cents: I64


class RefundV2(Struct, frozen=True, kw_only=True):
    amount: I64


def refunds(*, version: int) -> tuple[EventCatalog, type[Struct]]:
    """A catalogue as it was when `version` of refund.made was current; version 3 reads all of them."""
    catalog = EventCatalog("shop")
    if version == 1:
        return catalog, catalog.event("refund.made", name="Refund")(type("Refund", (RefundV1,), {}))
    if version == 2:
        return catalog, catalog.event("refund.made", version=2, name="Refund")(type("Refund", (RefundV2,), {}))

    @catalog.event("refund.made", version=3, name="Refund")
    class Refund(Struct, frozen=True, kw_only=True):
        amount: I64
        currency: str

    @catalog.upcaster("refund.made", version=1, schema=RefundV1)
    def to_v2(old: RefundV1) -> RefundV2:
        return RefundV2(amount=old.cents)

    @catalog.upcaster("refund.made", version=2, schema=RefundV2)
    def to_v3(old: RefundV2) -> Refund:
        if old.amount < 0:
            raise ValueError(f"secret amount {old.amount}")
        return Refund(amount=old.amount, currency="EUR")

    return catalog, Refund


@pytest.mark.parametrize(("version", "fields"), [(1, {"cents": 5}), (2, {"amount": 5})])
def test_an_old_version_is_lifted_to_the_current_one(
    serializer: EventSerializer, version: int, fields: dict[str, int]
) -> None:
    old_catalog, old_class = refunds(version=version)
    data = type(serializer)(old_catalog).encode(EventEnvelope.new(TENANT, old_class(**fields)))
    catalog, current = refunds(version=3)
    opened = type(serializer)(catalog).open(data)
    envelope = opened.decode()
    assert opened.schema_version == version
    assert envelope.schema_version == 3
    assert envelope.event == current(amount=5, currency="EUR")


def test_a_version_from_the_future_is_refused(serializer: EventSerializer) -> None:
    catalog, current = refunds(version=3)
    data = type(serializer)(catalog).encode(EventEnvelope.new(TENANT, current(amount=1, currency="EUR")))
    with pytest.raises(UnsupportedVersionError, match="upgrade") as caught:
        type(serializer)(refunds(version=1)[0]).decode(data)
    assert (caught.value.version, caught.value.supported) == (3, (1,))


def test_a_failing_upcaster_is_a_decode_error_that_quotes_nothing(serializer: EventSerializer) -> None:
    old_catalog, old_class = refunds(version=1)
    data = type(serializer)(old_catalog).encode(EventEnvelope.new(TENANT, old_class(cents=-77)))
    with pytest.raises(DecodeError, match=r"to_v3 raised ValueError") as caught:
        type(serializer)(refunds(version=3)[0]).decode(data)
    assert "77" not in str(caught.value)


def test_upcasters_that_end_in_another_class_are_a_decode_error(serializer: EventSerializer) -> None:
    catalog = EventCatalog("shop")
    catalog.event("refund.made", version=2, name="Refund")(type("Refund", (RefundV2,), {}))
    catalog.upcaster("refund.made", version=1, schema=RefundV1)(lambda old: old)
    old_catalog, old_class = refunds(version=1)
    data = type(serializer)(old_catalog).encode(EventEnvelope.new(TENANT, old_class(cents=5)))
    with pytest.raises(DecodeError, match="its upcasters end in RefundV1"):
        type(serializer)(catalog).decode(data)


def test_a_broken_upcaster_chain_is_found_when_the_serializer_is_made(serializer: EventSerializer) -> None:
    catalog = EventCatalog("shop")
    catalog.event("refund.made", version=3, name="Refund")(type("Refund", (RefundV2,), {}))
    catalog.upcaster("refund.made", version=1, schema=RefundV1)(lambda old: RefundV2(amount=old.cents))
    with pytest.raises(ConfigError, match="from which none goes on to 3"):
        type(serializer)(catalog)


@pytest.mark.parametrize(
    "annotation",
    [list[int] | tuple[str, ...], "NotThere"],  # neither format could tell which it reads; a name nobody defined
)
def test_a_type_that_cannot_be_carried_is_found_when_the_serializer_is_made(
    serializer: EventSerializer, annotation: object
) -> None:
    catalog = EventCatalog("odd")
    catalog.event("odd.one")(defstruct("OddOne", [("value", annotation)]))
    with pytest.raises(ConfigError, match=r"odd\.odd\.one version 1"):
        type(serializer)(catalog)


def test_the_order_of_a_catalogue_that_extends_another_is_kept(serializer: EventSerializer) -> None:
    envelope = EventEnvelope.new(TENANT, OrderPlaced(order_id=TENANT, total=1, currency="EUR"))
    assert type(serializer)(RUSTOK).encode(envelope) == type(serializer)(HOST).encode(envelope)


@given(value=ids)
def test_a_body_of_the_wrong_shape_names_its_path(serializer: EventSerializer, value: object) -> None:
    if isinstance(serializer, JsonSerializer):
        row = json.loads(VECTORS[13].json)
        row["event"]["data"]["size"] = str(value)
        data, path = json.dumps(row).encode(), "event.data.size"
    else:
        assert isinstance(serializer, PostcardSerializer)
        data, path = VECTORS[13].postcard[:-2] + b"\xff" * 11, "event.size"
    with pytest.raises(DecodeError) as caught:
        serializer.decode(data)
    assert caught.value.path == path


def _with(envelope: EventEnvelope, **changes: object) -> EventEnvelope:
    values = {name: getattr(envelope, name) for name in envelope.__struct_fields__}
    return EventEnvelope(**{**values, **changes})
