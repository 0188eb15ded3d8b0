"""What stands for something else on a page, and what has to be the same."""

import pytest

from tests.documentation.expected import Names

ADA, BOB = "21495524-a02f-5695-82e2-b117addc0b1e", "01a1fed7-8106-3691-0d80-0c9b669f1576"
HERE, THERE = "0f8fad5b-d9cb-469f-a165-70867728950e", "7c9e6679-7425-40de-944b-e07fc1f90ae7"


@pytest.mark.parametrize(
    ("page", "printed"),
    [
        ("billed 42.00 EUR\n", "billed 42.00 EUR\n"),
        ("a   b\n\nc\n", "a b\nc\n"),
        (f"{ADA} then {BOB} then {ADA}\n", f"{HERE} then {THERE} then {HERE}\n"),
        ("kind cfaf72115a6d4294\n", "kind 0123456789abcdef\n"),
        ("at 2026-11-21 16:01:38.569 UTC\n", "at 2027-01-02 03:04:05.678 UTC\n"),
        ("8 s old, 1 passed in 0.64s\n", "11 s old, 1 passed in 12.01s\n"),
        ("8 s old\n", "1 min 5 s old\n"),
        ("error=KeyError …\n", "error=KeyError again_in=0.2\n"),
        ("a\n…\nb\n", "a\n1\n2\nb\n"),
        ("a\n…\nb\n", "a\nb\n"),
    ],
)
def test_what_is_meant_by_the_page_is_taken(page: str, printed: str) -> None:
    assert Names().match(page, printed)


@pytest.mark.parametrize(
    ("page", "printed"),
    [
        ("billed 42.00 EUR\n", "billed 43.00 EUR\n"),
        ("a.b\n", "aXb\n"),
        ("a\n", "a\nb\n"),
        ("a\nb\n", "a\n"),
        (f"{ADA} and {ADA}\n", f"{HERE} and {THERE}\n"),
        ("8 s old\n", "8 B old\n"),
        ("a\n…\nb\n", "a\nc\n"),
    ],
)
def test_anything_else_is_not(page: str, printed: str) -> None:
    assert not Names().match(page, printed)


def test_an_id_of_the_page_is_the_same_one_from_then_on() -> None:
    names = Names()
    assert names.match(f"stored {ADA}\n", f"stored {HERE}\n")
    assert names.fill_in(f"show {ADA} --not {BOB}") == f"show {HERE} --not {BOB}"
    assert not names.match(f"shown {ADA}\n", f"shown {THERE}\n")


def test_a_running_program_has_to_print_it_somewhere() -> None:
    assert Names().match("billed 1\n", "started\nbilled 1\nbilled 2\n", whole=False)
    assert not Names().match("illed 1\n", "started\nbilled 1\n", whole=False)
