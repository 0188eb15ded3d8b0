"""Times, offsets, tenants as people write them."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import typer

from rustok_iggy.cli.values import moment, offset_or_moment, tenant

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize("text", ["2026-11-21T12:00:00Z", "2026-11-21T14:00:00+02:00", "2026-11-21 12:00+00:00"])
def test_a_time_has_a_zone(text: str) -> None:
    assert moment(text) == NOON


@pytest.mark.parametrize(("text", "ago"), [("90m", 5400), ("2h", 7200), ("3d", 259_200), ("10s", 10)])
def test_a_time_may_be_so_long_ago(text: str, ago: int) -> None:
    assert abs(datetime.now(UTC) - timedelta(seconds=ago) - moment(text)) < timedelta(seconds=5)


@pytest.mark.parametrize("text", ["2026-11-21T12:00:00", "noon", "", "2w", "-1h"])
def test_what_is_no_time_says_how_to_write_one(text: str) -> None:
    with pytest.raises(typer.BadParameter, match=r"time zone|write 2026"):
        moment(text)


@pytest.mark.parametrize(("text", "value"), [("earliest", "earliest"), ("latest", "latest"), ("17", 17)])
def test_a_place_may_be_a_word_or_an_offset(text: str, value: object) -> None:
    assert offset_or_moment(text) == value


def test_a_tenant_is_an_id_and_not_nil() -> None:
    assert tenant("00000000-0000-0000-0000-000000000007") == UUID(int=7)
    for text in ("acme", str(UUID(int=0))):
        with pytest.raises(typer.BadParameter, match="tenant_id"):
            tenant(text)
