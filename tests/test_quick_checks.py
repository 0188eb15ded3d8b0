"""The quick look at an event says yes where the checks one by one have nothing to say, and nowhere else."""

from enum import IntEnum, StrEnum
from typing import Any
from uuid import UUID

import pytest

from rustok_iggy import validation
from rustok_iggy.checks import check_for
from rustok_iggy.events import RUSTOK, U8
from rustok_iggy.quick_checks import quick_test
from tests.test_validation import NIL, TENANT, TYPES, sound

MORE_TYPES: list[tuple[Any, list[Any], list[Any]]] = [
    (UUID, [TENANT], [NIL, str(TENANT), None]),
    (UUID | None, [TENANT, None], [NIL, 5]),
    (str, [StrEnum("Word", ["A"]).A], []),
    (U8, [IntEnum("Digit", ["ONE"]).ONE], [IntEnum("Large", {"ANY": 256}).ANY]),
]


@pytest.mark.parametrize(("annotation", "fitting", "unfit"), TYPES + MORE_TYPES)
def test_it_agrees_with_the_check_of_every_type(annotation: Any, fitting: list[Any], unfit: list[Any]) -> None:
    test = quick_test([(annotation, None)])
    assert all(test(value) for value in fitting)
    assert not any(test(value) for value in unfit)
    assert [check_for(annotation)(value) for value in fitting] == [None] * len(fitting)
    assert None not in [check_for(annotation)(value) for value in unfit]


@pytest.mark.parametrize("spec", RUSTOK, ids=lambda spec: spec.event_type)
def test_it_passes_a_sound_event_of_every_type(spec: Any) -> None:
    event = sound(spec.event_class)
    values = [getattr(event, name) for name in event.__struct_fields__]
    assert validation._rules(spec.event_class).quick_test(*values)


def test_a_rule_is_asked_of_values_of_the_right_type_only() -> None:
    asked = []

    def even(value: Any) -> str | None:
        asked.append(value)
        return "must be even" if value % 2 else None

    test = quick_test([(str, None), (U8 | None, even)])
    assert [test("a", value) for value in (2, 3, None, "4", 256)] == [True, False, True, False, False]
    assert asked == [2, 3]


def test_every_value_counts_and_no_value_is_sound() -> None:
    test = quick_test([(str, None), (bool, None), (UUID, None)])
    assert test("a", False, TENANT)
    assert not any((test(1, False, TENANT), test("a", 0, TENANT), test("a", False, NIL)))
    assert quick_test([])()
