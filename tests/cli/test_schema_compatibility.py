"""What a change of a catalogue does to readers of the one and the other."""

from typing import Any, Literal

import msgspec
import pytest
from msgspec import Struct, defstruct

from rustok_iggy import EventCatalog
from rustok_iggy.cli.schema_compatibility import Exported, Mode, added, incompatibilities
from rustok_iggy.cli.schema_documents import json_schema
from rustok_iggy.events import RUSTOK


def exported(catalog: EventCatalog) -> Exported:
    return Exported(msgspec.json.decode(msgspec.json.encode(json_schema(catalog))))


def of(*fields: Any, version: int = 1, event_type: str = "thing.done", upcasts: tuple[int, ...] = ()) -> Exported:
    """A catalogue of one event type with these fields."""
    catalog = EventCatalog("test")
    done = defstruct("Done", list(fields), frozen=True, kw_only=True)
    catalog.event(event_type, version=version)(done)
    for old in upcasts:
        catalog.upcaster(event_type, version=old, schema=done)(lambda value: value)
    return exported(catalog)


def reasons(saved: Exported, current: Exported, mode: Mode, *, positional: bool = False) -> list[str]:
    return [each.reason for each in incompatibilities(saved, current, mode, positional=positional)]


NUMBER = ("number", int)
OPTIONAL = ("note", str | None, None)


class Address(Struct):
    street: str


class LongAddress(Struct):
    street: str
    zip: str


class Home(Struct, tag="home"):
    at: Address


class Work(Struct, tag="work"):
    at: Address


class LongHome(Struct, tag="home"):
    at: LongAddress


class LongWork(Struct, tag="work"):
    at: LongAddress


# what, saved, current, backward compatible, forward compatible
CHANGES: list[tuple[str, Exported, Exported, bool, bool]] = [
    ("nothing", of(NUMBER), of(NUMBER), True, True),
    ("an optional field is added", of(NUMBER), of(NUMBER, OPTIONAL), True, True),
    ("a required field is added", of(NUMBER), of(NUMBER, ("more", int)), False, True),
    ("a required field is removed", of(NUMBER, ("more", int)), of(NUMBER), True, False),
    ("a field gets another type", of(NUMBER), of(("number", str)), False, False),
    ("an integer becomes any number", of(NUMBER), of(("number", float)), True, False),
    ("a field may be null now", of(("a", str)), of(("a", str | None)), True, False),
    ("a field may be left out now", of(("a", str)), of(("a", str, "")), True, False),
    ("an enumeration grows", of(("a", Literal["x"])), of(("a", Literal["x", "y"])), True, False),
    ("items change", of(("a", list[int])), of(("a", list[str])), False, False),
    ("values change", of(("a", dict[str, int])), of(("a", dict[str, str])), False, False),
    ("a nested field is added", of(("a", Address)), of(("a", LongAddress)), False, True),
    ("a list of nested ones", of(("a", list[Address])), of(("a", list[LongAddress])), False, True),
    ("what each of two may hold", of(("a", Home | Work)), of(("a", LongHome | LongWork)), False, True),
    ("the second of two", of(("a", Work)), of(("a", LongHome | LongWork)), False, False),
    ("one more alternative", of(("a", Home)), of(("a", Home | Work)), True, False),
    ("a version without an upcaster", of(NUMBER), of(NUMBER, version=2), False, False),
    ("a version with one", of(NUMBER), of(NUMBER, version=2, upcasts=(1,)), True, False),
    ("a type is removed", of(NUMBER), of(NUMBER, event_type="other.done"), False, True),
]


@pytest.mark.parametrize(
    ("saved", "current", "backward", "forward"), [each[1:] for each in CHANGES], ids=[each[0] for each in CHANGES]
)
def test_a_change_is_compatible_in_the_directions_it_is(
    saved: Exported, current: Exported, backward: bool, forward: bool
) -> None:
    found = {mode: reasons(saved, current, mode) for mode in Mode}
    assert (not found[Mode.BACKWARD], not found[Mode.FORWARD]) == (backward, forward), found
    assert len(found[Mode.FULL]) == len(found[Mode.BACKWARD]) + len(found[Mode.FORWARD])


def test_the_reason_names_the_field() -> None:
    assert reasons(of(("a", list[Address])), of(("a", list[LongAddress])), Mode.BACKWARD) == [
        "data.a[].zip: is required, and is not written"
    ]


@pytest.mark.parametrize(
    "current",
    [of(NUMBER, OPTIONAL), of(OPTIONAL, NUMBER)],
    ids=["a field is added", "and stands first"],
)
def test_postcard_writes_no_names_so_no_field_may_change(current: Exported) -> None:
    assert reasons(of(NUMBER), current, Mode.BACKWARD, positional=True)
    assert not reasons(of(NUMBER), of(NUMBER), Mode.FULL, positional=True)


def test_postcard_writes_the_index_of_a_type() -> None:
    def two(first: str, second: str) -> Exported:
        catalog = EventCatalog("test")
        for name in (first, second):
            catalog.event(f"{name}.done", name=name)(defstruct(name, [NUMBER]))
        return exported(catalog)

    assert not reasons(two("a", "b"), two("b", "a"), Mode.FULL)
    assert len(reasons(two("a", "b"), two("b", "a"), Mode.BACKWARD, positional=True)) == 2


def test_a_catalogue_fits_itself() -> None:
    assert incompatibilities(exported(RUSTOK), exported(RUSTOK), Mode.FULL, positional=True) == []


def test_new_types_are_told() -> None:
    assert added(of(NUMBER), of(NUMBER, event_type="other.done")) == ["other.done"]


@pytest.mark.parametrize("document", [{}, {"x-rustok-iggy": 3}, {"x-rustok-iggy": {"format": 2, "events": []}}])
def test_what_is_no_export_is_said(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no export"):
        added(Exported(document), of(NUMBER))
