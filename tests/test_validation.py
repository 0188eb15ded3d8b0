"""RusToK's rules, the checks every event gets from its types, and rules of a host."""

from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from msgspec import Struct
from msgspec.structs import astuple, fields

from rustok_iggy import events, validation
from rustok_iggy.catalog import EventCatalog
from rustok_iggy.checks import check_for
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import UnknownEventTypeError, ValidationError
from rustok_iggy.events import I8, I32, I64, RUSTOK, U16, U64, OrderPlaced
from rustok_iggy.serialization import JsonSerializer
from rustok_iggy.validation import ValidateEvent, event_problems, validate_envelope, validate_event
from tests.envelopes import HOST, TENANT, Colour, InvoicePaid, Line, envelopes

NIL = UUID(int=0)
SOUND: dict[str, Any] = {
    "kind": "page",
    "locale": "en-US",
    "target_type": "node",
    "mime_type": "image/png",
    "size": 0,
    "email": "a@b.c",
    "old_quantity": 0,
    "new_quantity": 1,
    "remaining": -1,
    "threshold": 0,
    "currency": "EUR",
    "old_amount": 0,
    "new_amount": 0,
    "total": 0,
    "old_status": "new",
    "new_status": "paid",
    "reason": "",
    "index_name": "products",
}
"""A value for every field of RusToK's events that is no id."""


def sound(event_class: type[Struct], **changes: Any) -> Struct:
    values = {field.name: SOUND.get(field.name, TENANT) for field in fields(event_class)}
    return event_class(**{**values, **changes})


@pytest.mark.parametrize("spec", RUSTOK, ids=lambda spec: spec.event_type)
def test_a_sound_event_of_every_type_passes(spec: Any) -> None:
    validate_event(sound(spec.event_class))
    validate_envelope(EventEnvelope.new(TENANT, sound(spec.event_class)))


@pytest.mark.parametrize("spec", RUSTOK, ids=lambda spec: spec.event_type)
def test_no_id_may_be_nil_also_an_optional_one(spec: Any) -> None:
    ids = [field.name for field in fields(spec.event_class) if field.type in (UUID, UUID | None)]
    event = sound(spec.event_class, **dict.fromkeys(ids, NIL))
    assert event_problems(event) == [f"{name}: must not be nil" for name in ids]


@pytest.mark.parametrize("spec", RUSTOK, ids=lambda spec: spec.event_type)
def test_optional_fields_may_be_missing_and_others_not(spec: Any) -> None:
    for field in fields(spec.event_class):
        problems = event_problems(sound(spec.event_class, **{field.name: None}))
        assert [problem.partition(":")[0] for problem in problems] == ([] if field.default is None else [field.name])


# event, field, the last value that passes, the first that does not
LIMITS = [
    ("NodeCreated", "kind", "é" * 64, "é" * 65),
    ("NodeCreated", "kind", "blog-post_2", "blog post"),
    ("NodeCreated", "kind", "страница", "a/b"),
    ("NodeCreated", "kind", "a", ""),
    ("NodeTranslationUpdated", "locale", "a" * 10, "a" * 11),
    ("BodyUpdated", "locale", "a", ""),
    ("LocaleEnabled", "locale", "a" * 10, "a" * 11),
    ("LocaleDisabled", "locale", "a", ""),
    ("TagAttached", "target_type", "a" * 64, "a" * 65),
    ("TagDetached", "target_type", "a", ""),
    ("ReindexRequested", "target_type", "a" * 64, "a" * 65),
    ("IndexUpdated", "index_name", "a" * 64, "a" * 65),
    ("IndexUpdated", "index_name", "a", ""),
    ("MediaUploaded", "mime_type", "a" * 254 + "/", "a" * 255 + "/"),
    ("MediaUploaded", "mime_type", "/", "image"),
    ("MediaUploaded", "size", 2**63 - 1, 2**63),
    ("MediaUploaded", "size", 0, -1),
    ("UserRegistered", "email", "@" + "." * 254, "@" + "." * 255),
    ("UserRegistered", "email", "@.", "a.b"),
    ("UserRegistered", "email", "a@b.c", "a@b"),
    ("OrderStatusChanged", "old_status", "a" * 50, "a" * 51),
    ("OrderStatusChanged", "new_status", "a", ""),
    ("OrderCancelled", "reason", "a" * 500, "a" * 501),
    ("OrderPlaced", "currency", "USD", "usd"),
    ("OrderPlaced", "currency", "XXX", "XXXX"),
    ("PriceUpdated", "currency", "EUR", "EU\n"),
    ("PriceUpdated", "currency", "EUR", "ÄÖÜ"),
    ("OrderPlaced", "total", 0, -1),
    ("PriceUpdated", "old_amount", 0, -1),
    ("PriceUpdated", "new_amount", 0, -1),
    ("InventoryUpdated", "old_quantity", 0, -1),
    ("InventoryUpdated", "new_quantity", 2**31 - 1, 2**31),
]


@pytest.mark.parametrize(("name", "field", "last", "first"), LIMITS)
def test_each_limit_stands_exactly_there(name: str, field: str, last: Any, first: Any) -> None:
    event_class = getattr(events, name)
    assert event_problems(sound(event_class, **{field: last})) == []
    (problem,) = event_problems(sound(event_class, **{field: first}))
    assert problem.startswith(f"{field}: must ")


@pytest.mark.parametrize("name", ["NodeUpdated", "NodePublished", "NodeUnpublished", "NodeDeleted"])
def test_kind_is_checked_for_created_nodes_only(name: str) -> None:
    assert event_problems(sound(getattr(events, name), kind="")) == []


def test_a_status_must_change() -> None:
    event = sound(events.OrderStatusChanged, old_status="paid", new_status="paid")
    assert event_problems(event) == ["new_status: must differ from old_status"]


@pytest.mark.parametrize("remaining", [5, 6])
def test_low_inventory_is_below_its_threshold(remaining: int) -> None:
    event = sound(events.InventoryLow, remaining=remaining, threshold=5)
    assert event_problems(event) == ["remaining: must be below threshold"]


def test_all_problems_of_envelope_and_event_are_reported_together() -> None:
    envelope = EventEnvelope.new(NIL, OrderPlaced(order_id=NIL, total=-1, currency="eur"), actor_id=NIL)
    with pytest.raises(ValidationError) as caught:
        validate_envelope(envelope)
    assert caught.value.problems == (
        "tenant_id: must not be nil",
        "actor_id: must not be nil",
        "event.order_id: must not be nil",
        "event.total: must be at least 0",
        "event.currency: must be three upper-case letters",
    )
    assert (caught.value.event_type, caught.value.event_id) == ("order.placed", envelope.id)


def test_no_value_is_quoted() -> None:
    event = sound(events.UserRegistered, email="secret")
    with pytest.raises(ValidationError) as caught:
        validate_event(event)
    assert "secret" not in str(caught.value)


WRONG = {
    "id": NIL,
    "correlation_id": NIL,
    "causation_id": NIL,
    "trace_id": b"x",
    "timestamp": datetime(2026, 2, 14),  # noqa: DTZ001  the point
    "schema_version": 2,
    "retry_count": 2**32,
    "event_type": "order.lost",
    "tenant_id": "6b7e71b9-aaa7-5081-bbb2-5fcad986b10c",
}


@pytest.mark.parametrize("field", WRONG)
def test_every_field_of_the_envelope_is_checked(field: str) -> None:
    envelope = EventEnvelope.new(TENANT, sound(OrderPlaced))
    values = {name: getattr(envelope, name) for name in envelope.__struct_fields__}
    with pytest.raises(ValidationError) as caught:
        validate_envelope(EventEnvelope(**{**values, field: WRONG[field]}))
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [field]


class Stray(Struct):
    pass


@pytest.mark.parametrize(
    "stray", [Stray(), {"order_id": "x"}, None, OrderPlaced], ids=lambda stray: type(stray).__name__
)
def test_an_event_that_was_never_declared_is_a_problem(stray: Any) -> None:
    envelope = EventEnvelope.new(TENANT, sound(OrderPlaced))
    values = {name: getattr(envelope, name) for name in envelope.__struct_fields__}
    with pytest.raises(ValidationError, match="declare it"):
        validate_envelope(EventEnvelope(**{**values, "event": stray}))
    with pytest.raises(UnknownEventTypeError, match="declare it"):
        validate_event(stray)


# annotation, what fits, what does not
TYPES: list[tuple[Any, list[Any], list[Any]]] = [
    (bool, [True, False], [1, "true", None]),
    (str, ["", "a"], [b"a", 1, None]),
    (float, [1.5, 1], ["1", True, float("nan"), float("inf"), None]),
    (int, [2**63 - 1, -(2**63)], [2**63, 1.0, True, "1"]),
    (I8, [-128, 127], [128, -129]),
    (U64, [0, 2**64 - 1], [-1, 2**64]),
    (I32 | None, [None, 1], [2**31, "1"]),
    (datetime, [datetime.now(UTC)], ["2026-02-14T00:00:00Z", datetime(2026, 1, 1)]),  # noqa: DTZ001  the point
    (date, [date(2026, 2, 14)], [14]),
    (Decimal, [Decimal("1.5")], [None]),
    (list[U16], [[], [1]], [[70_000], ["1"], None]),
    (dict[str, I64], [{"a": 1}], [{"a": "1"}, []]),
    (Colour, [Colour.RED], ["blue"]),
    (Annotated[str, msgspec.Meta(max_length=2)], ["ab"], ["abc"]),
    (list[float], [[1.0]], [[float("nan")]]),
    (Line, [Line(sku="a", count=1)], [Line(sku="a", count=-1), None]),
]


@pytest.mark.parametrize(("annotation", "fitting", "unfit"), TYPES)
def test_every_type_is_checked(annotation: Any, fitting: list[Any], unfit: list[Any]) -> None:
    check = check_for(annotation)
    assert [check(value) for value in fitting] == [None] * len(fitting)
    assert all(check(value) is not None for value in unfit)


@given(envelope=envelopes())
def test_whatever_passes_the_types_can_be_written_and_read(envelope: EventEnvelope) -> None:
    if isinstance(envelope.event, InvoicePaid):
        validate_envelope(envelope)
    serializer = JsonSerializer(HOST)
    assert serializer.decode(serializer.encode(envelope)) == envelope


def test_a_hosts_own_rules_are_asked_once_the_types_are_right() -> None:
    catalog = EventCatalog("shop")

    @catalog.event("shift.planned")
    class ShiftPlanned(Struct, frozen=True, kw_only=True):
        start: I64
        end: I64

        def validate(self) -> Iterator[str]:
            if self.end <= self.start:
                yield "end: must be after start"

    assert isinstance(ShiftPlanned(start=1, end=2), ValidateEvent)
    assert event_problems(ShiftPlanned(start=1, end=2)) == []
    assert event_problems(ShiftPlanned(start=2, end=2)) == ["end: must be after start"]
    assert event_problems(ShiftPlanned(start=2, end="1")) == ["end: must be an integer"]  # type: ignore[arg-type]


def test_rustoks_rules_do_not_bind_a_host() -> None:
    catalog = EventCatalog("shop")
    tip = catalog.event("tip.given")(msgspec.defstruct("TipGiven", [("total", int), ("currency", str)]))
    assert event_problems(tip(-1, "beer")) == []


ODD: dict[str, tuple[Any, ...]] = {
    "id": (NIL, "x", None, type("OtherUuid", (UUID,), {})(int=5)),
    "tenant_id": (NIL, str(TENANT), None),
    "correlation_id": (NIL, 7, None),
    "causation_id": (NIL, "x"),
    "actor_id": (NIL, b"x"),
    "trace_id": (b"x", 1),
    "timestamp": (datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None), date(2026, 1, 1), None),
    "schema_version": (-1, 2**16, True, None),
    "retry_count": (-1, 2**32, False, 1.0),
}


@pytest.mark.parametrize("field", ODD)
def test_the_quick_look_at_an_envelope_agrees_with_the_checks_that_say_what_is_wrong(field: str) -> None:
    sound = EventEnvelope.new(TENANT, OrderPlaced(order_id=TENANT, customer_id=TENANT, total=1, currency="EUR"))
    assert validation._is_sound(*astuple(sound))
    for value in (*ODD[field], getattr(sound, field)):
        envelope = msgspec.structs.replace(sound, **{field: value})
        problems = validation._failures(envelope, validation._ENVELOPE_CHECKS)
        assert validation._is_sound(*astuple(envelope)) is (not problems), f"{field}={value!r}: {problems}"
