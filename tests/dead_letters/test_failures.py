from __future__ import annotations

from itertools import pairwise
from types import FunctionType, ModuleType
from typing import Any

import pytest

from rustok_iggy.dead_letters.failures import MAX_CHAIN, MAX_FRAMES, describe_failure
from rustok_iggy.dead_letters.records import Failure

SOURCE = """
def query(depth, error):
    if depth:
        return query(depth - 1, error)
    raise error

def bill(call, *arguments):
    return call(*arguments)

def refund(call, *arguments):
    return call(*arguments)
"""


def module(name: str, *, before: str = "") -> Any:
    made = ModuleType(name)
    exec(compile(before + SOURCE, f"{name}.py", "exec"), made.__dict__)
    assert isinstance(made.bill, FunctionType)
    return made


shop = module("shop.billing")
driver = module("driver.pool")
transport = module("rustok_iggy.consumer.delivery")


def described(call: Any, *arguments: Any, event_type: str | None = "order.placed", version: int | None = 1) -> Failure:
    with pytest.raises(BaseException) as caught:
        call(*arguments)
    return describe_failure(caught.value, user_package="shop", event_type=event_type, schema_version=version)


def test_a_failure_says_what_was_raised_and_where() -> None:
    failure = described(shop.bill, driver.query, 1, ValueError("no such order"))
    assert failure.error_type == "ValueError"
    assert failure.message == "no such order"
    lines = failure.stack.splitlines()
    assert lines[-4:] == [
        "shop.billing.py:8 in bill",
        "driver.pool.py:4 in query",
        "driver.pool.py:5 in query",
        "ValueError",
    ]
    assert "no such order" not in failure.stack


def test_failures_of_one_kind_have_one_fingerprint() -> None:
    one = described(shop.bill, driver.query, 0, ValueError("a"))
    assert described(shop.bill, driver.query, 3, ValueError("b")).fingerprint == one.fingerprint
    moved = module("shop.billing", before="\n" * 40)
    assert described(moved.bill, driver.query, 0, ValueError("a")).fingerprint == one.fingerprint
    within_us = described(transport.bill, shop.bill, driver.query, 0, ValueError("a"))
    assert within_us.fingerprint == one.fingerprint


def test_failures_that_differ_have_other_fingerprints() -> None:
    calls = [
        described(shop.bill, driver.query, 0, ValueError("a")),
        described(shop.refund, driver.query, 0, ValueError("a")),
        described(shop.bill, driver.query, 0, KeyError("a")),
        described(shop.bill, driver.query, 0, ValueError("a"), event_type="order.completed"),
        described(shop.bill, driver.query, 0, ValueError("a"), version=2),
        described(driver.bill, driver.query, 0, ValueError("a")),
        described(transport.bill, transport.query, 0, ValueError("a"), event_type=None, version=None),
    ]
    assert len({failure.fingerprint for failure in calls}) == len(calls)


def test_causes_come_first_as_python_prints_them() -> None:
    def wrap() -> None:
        try:
            driver.query(0, KeyError("k"))
        except KeyError as error:
            raise RuntimeError("wrapped") from error

    stack = described(shop.bill, wrap).stack.splitlines()
    assert stack.index("KeyError") < stack.index("RuntimeError")


def test_suppressed_causes_are_left_out() -> None:
    def wrap() -> None:
        try:
            driver.query(0, KeyError("k"))
        except KeyError:
            raise RuntimeError("alone") from None

    assert "KeyError" not in described(shop.bill, wrap).stack


def test_deep_recursions_and_endless_chains_stay_short() -> None:
    deep = described(shop.bill, driver.query, 300, ValueError("a"))
    assert len(deep.stack.splitlines()) == MAX_FRAMES + 2
    assert "frames left out" in deep.stack

    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    assert described(shop.bill, driver.query, 0, first).stack.count("ValueError") == 2

    chain = [ValueError(str(number)) for number in range(40)]
    for above, below in pairwise(chain):
        above.__cause__ = below
    assert described(shop.bill, driver.query, 0, chain[0]).stack.count("ValueError") == MAX_CHAIN


def test_an_error_that_cannot_be_shown_is_described_all_the_same() -> None:
    class OddError(Exception):
        def __str__(self) -> str:
            raise TypeError("no")

        def __eq__(self, other: object) -> bool:
            raise TypeError("no")

        __hash__ = None  # type: ignore[assignment]

    failure = described(shop.bill, driver.query, 0, OddError())
    assert failure.message == ""
    assert failure.error_type.endswith("OddError")


def test_an_error_with_an_endless_name_fits() -> None:
    endless = type("E" * 1000, (Exception,), {})
    assert len(described(shop.bill, driver.query, 0, endless()).error_type) == 255
