"""Timestamps as chrono writes them."""

import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustok_iggy.serialization.timestamp import format_timestamp, parse_timestamp

# A zone may move a moment by a day, and Python holds no year before 1 or after 9999.
EARLIEST, LATEST = datetime(1, 1, 3), datetime(9999, 12, 29)  # noqa: DTZ001  hypothesis adds the zone
ZONES = st.timezones() | st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@pytest.mark.parametrize(
    ("microsecond", "text"),
    [
        (0, "2026-02-14T07:21:41Z"),
        (500_000, "2026-02-14T07:21:41.500Z"),
        (123_000, "2026-02-14T07:21:41.123Z"),
        (1, "2026-02-14T07:21:41.000001Z"),
        (123_400, "2026-02-14T07:21:41.123400Z"),
    ],
)
def test_as_few_digits_in_threes_as_hold_it(microsecond: int, text: str) -> None:
    moment = datetime(2026, 2, 14, 7, 21, 41, microsecond, UTC)
    assert format_timestamp(moment) == text
    assert parse_timestamp(text) == moment


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-02-14T07:21:41.123456999Z", datetime(2026, 2, 14, 7, 21, 41, 123456, UTC)),
        ("1969-12-31T23:59:59.999999999Z", datetime(1969, 12, 31, 23, 59, 59, 999999, UTC)),
        ("2026-02-14T07:21:41.1Z", datetime(2026, 2, 14, 7, 21, 41, 100000, UTC)),
        ("2026-02-14t07:21:41z", datetime(2026, 2, 14, 7, 21, 41, 0, UTC)),
        ("2026-02-14T07:21:41+02:00", datetime(2026, 2, 14, 5, 21, 41, 0, UTC)),
        ("2026-02-14T07:21:41-00:00", datetime(2026, 2, 14, 7, 21, 41, 0, UTC)),
    ],
)
def test_other_writers_are_read_and_digits_cut_off_never_rounded_up(text: str, expected: datetime) -> None:
    assert parse_timestamp(text) == expected
    assert parse_timestamp(text).tzinfo is UTC


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-02-14",
        "2026-02-14T07:21:41",
        "2026-02-14 07:21:41Z",
        "2026-02-14T07:21:41,5Z",
        "2026-02-14T07:21:41.Z",
        "2026-02-14T07:21:41.1234567890Z",
        "2026-W07-6T07:21:41Z",
        "2026-02-30T07:21:41Z",
        "2026-02-14T24:00:00Z",
        "2026-02-14T07:21:60Z",
        "2026-02-14T07:21Z",
        "2026-02-14T07:21:41+0200",
        "+12026-02-14T07:21:41Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "٢٠٢٦-02-14T07:21:41Z",
        "2026-02-14T07:21:41Z\n",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"timestamp|range|hour|second|day|year"):
        parse_timestamp(text)


@given(moment=st.datetimes(EARLIEST, LATEST, timezones=ZONES))
def test_any_moment_reads_back_equal(moment: datetime) -> None:
    text = format_timestamp(moment)
    assert parse_timestamp(text) == moment.astimezone(UTC)
    assert text.endswith("Z")


def test_a_moment_without_a_time_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        format_timestamp(datetime(2026, 2, 14))  # noqa: DTZ001  the point


@given(st.lists(st.tuples(st.integers(0, 26), st.sampled_from("0123456789-:.TZ+, Wtz/_٣")), min_size=1, max_size=3))
def test_the_usual_form_is_taken_for_nothing_else(changes: list[tuple[int, str]]) -> None:
    """It is told by its length and the places of its signs, without the expression."""
    text = list("2026-02-14T07:21:41.123456Z")
    for at, sign in changes:
        text[at] = sign
    changed = "".join(text)
    try:
        parse_timestamp(changed)
    except ValueError:
        return
    assert re.fullmatch(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d\.\d+(?:[Zz]|[+-]\d\d:\d\d)", changed, re.ASCII)
