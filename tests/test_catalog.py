"""Declaring events: names, versions, order, what is refused and when."""

from typing import Any
from uuid import UUID

import pytest
from msgspec import Struct, defstruct

from rustok_iggy import events
from rustok_iggy.catalog import EventCatalog, declared
from rustok_iggy.errors import ConfigError, UnknownEventTypeError, UnsupportedVersionError
from rustok_iggy.events import RUSTOK, DomainEvent, OrderPlaced
from tests.envelopes import VECTORS


def struct(name: str = "Done", **config: Any) -> type[Struct]:
    return defstruct(name, [("value", int, 0)], **config)


def identity(value: Any) -> Any:
    return value


def test_rustok_has_its_types_in_the_order_of_its_enum() -> None:
    assert [spec.event_type for spec in RUSTOK] == [vector.event_type for vector in VECTORS]
    assert [spec.variant for spec in RUSTOK] == list(range(39))
    assert {spec.version for spec in RUSTOK} == {1}
    assert all(spec.name == spec.event_class.__name__ for spec in RUSTOK)


def test_every_rustok_type_can_be_imported_and_is_a_domain_event() -> None:
    assert all(getattr(events, spec.name) is spec.event_class and spec.name in events.__all__ for spec in RUSTOK)
    assert isinstance(OrderPlaced(order_id=UUID(int=1), total=1, currency="EUR"), DomainEvent)


def test_a_declared_class_is_found_by_type_and_by_class() -> None:
    catalog = EventCatalog("shop")
    done = catalog.event("thing.done", version=2, name="ThingDone")(struct())
    spec = catalog.by_type("thing.done")
    assert catalog.by_class(done) is spec
    assert (spec.event_type, spec.version, spec.name, spec.variant) == ("thing.done", 2, "ThingDone", 0)
    assert "thing.done" in catalog
    assert "thing.lost" not in catalog
    assert declared(done).version == 2


def test_a_catalogue_that_extends_another_goes_on_behind_it() -> None:
    catalog = EventCatalog("shop", extends=RUSTOK)
    catalog.event("thing.done")(struct())
    assert catalog.by_type("thing.done").variant == len(RUSTOK) == 39
    assert catalog.by_class(OrderPlaced) == RUSTOK.by_class(OrderPlaced)
    assert "thing.done" not in RUSTOK


@pytest.mark.parametrize(
    "event_type", ["", "done", "Thing.done", "thing.", ".done", "thing..done", "thing done.x", "thing.done\n", "1.a"]
)
def test_a_malformed_event_type_is_refused(event_type: str) -> None:
    with pytest.raises(ConfigError, match="lower-case words joined by dots"):
        EventCatalog("shop").event(event_type)(struct())


@pytest.mark.parametrize("version", [0, -1, 65536])
def test_a_version_the_wire_cannot_carry_is_refused(version: int) -> None:
    with pytest.raises(ConfigError, match="between 1 and 65535"):
        EventCatalog("shop").event("thing.done", version=version)(struct())


def test_a_taken_event_type_and_a_taken_name_are_refused_together() -> None:
    catalog = EventCatalog("shop")
    catalog.event("thing.done")(struct())
    with pytest.raises(ConfigError) as caught:
        catalog.event("thing.done")(struct())
    assert len(caught.value.problems) == 2
    assert all(problem.startswith("shop.thing.done: ") for problem in caught.value.problems)
    assert len(catalog) == 1


@pytest.mark.parametrize("option", [{"array_like": True}, {"omit_defaults": True}, {"tag": True}])
def test_a_struct_whose_json_would_not_be_all_its_fields_is_refused(option: dict[str, bool]) -> None:
    with pytest.raises(ConfigError, match=f"cannot use {next(iter(option))}"):
        EventCatalog("shop").event("thing.done")(struct(**option))


def test_a_class_that_is_no_struct_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"is not a msgspec\.Struct"):
        EventCatalog("shop").event("thing.done")(dict)  # type: ignore[type-var]


def test_one_class_is_one_event_type() -> None:
    done = EventCatalog("shop").event("thing.done")(struct())
    EventCatalog("twin").event("thing.done")(done)
    with pytest.raises(ConfigError, match=r"declared as thing\.done version 1 already"):
        EventCatalog("other").event("thing.ended")(done)


def test_what_is_not_there_is_named() -> None:
    catalog = EventCatalog("shop")
    with pytest.raises(UnknownEventTypeError, match=r"'thing\.lost' is not in the shop catalogue"):
        catalog.by_type("thing.lost")
    with pytest.raises(UnknownEventTypeError, match="OrderPlaced is not in the shop catalogue"):
        catalog.by_class(OrderPlaced)


def test_a_name_from_outside_cannot_break_a_log_line() -> None:
    with pytest.raises(UnknownEventTypeError) as caught:
        RUSTOK.by_type("a\nb" + "x" * 10_000)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_a_plan_runs_the_steps_from_its_version_up() -> None:
    catalog = EventCatalog("shop")
    catalog.event("thing.done", version=4)(struct())
    first, second = struct("V1"), struct("V2")
    catalog.upcaster("thing.done", version=1, schema=first, to_version=2)(identity)
    catalog.upcaster("thing.done", version=2, schema=second, to_version=4)(identity)
    catalog.check()
    assert catalog.reading_plan("thing.done", 1).schema is first
    assert len(catalog.reading_plan("thing.done", 1).steps) == 2
    assert len(catalog.reading_plan("thing.done", 2).steps) == 1
    assert catalog.reading_plan("thing.done", 4).steps == ()
    assert [plan.version for plan in catalog.reading_plans()] == [1, 2, 4]
    with pytest.raises(UnsupportedVersionError, match="declare an upcaster") as caught:
        catalog.reading_plan("thing.done", 3)
    assert caught.value.supported == (1, 2, 4)


@pytest.mark.parametrize("to_version", [1, 2])
def test_a_step_that_does_not_lead_up_is_refused_so_there_are_no_cycles(to_version: int) -> None:
    with pytest.raises(ConfigError, match="leads to a higher version"):
        EventCatalog("shop").upcaster("thing.done", version=2, schema=struct(), to_version=to_version)(identity)


def test_a_second_step_from_a_version_is_refused() -> None:
    catalog = EventCatalog("shop")
    catalog.upcaster("thing.done", version=1, schema=struct())(identity)
    with pytest.raises(ConfigError, match="has an upcaster already"):
        catalog.upcaster("thing.done", version=1, schema=struct(), to_version=3)(identity)


def test_every_step_that_leads_nowhere_is_reported_at_once() -> None:
    catalog = EventCatalog("shop")
    catalog.event("thing.done", version=5)(struct())
    catalog.upcaster("thing.done", version=1, schema=struct())(identity)
    catalog.upcaster("thing.done", version=4, schema=struct(), to_version=6)(identity)
    catalog.upcaster("thing.lost", version=1, schema=struct())(identity)
    with pytest.raises(ConfigError) as caught:
        catalog.check()
    assert [problem.rpartition(": ")[2] for problem in caught.value.problems] == [
        "the upcaster from version 1 leads to 2, from which none goes on to 5",
        "the upcaster from version 4 leads to 6, above the current version 5",
        "an upcaster for an event type that is not declared",
    ]
