"""What people write on a command line, read into values: times, offsets, tenants. Typer says which option was wrong."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import typer

from rustok_iggy.consumer_groups import ResetTo
from rustok_iggy.errors import ValidationError
from rustok_iggy.tenants import tenant_uuid

_AGO = re.compile(r"(\d{1,6})(s|m|h|d)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
MOMENT = "TIME"
"""How a time is shown in help texts."""


def moment(text: Any) -> datetime:
    """Read `2026-11-21T12:00:00Z`, or `90m`, `2h`, `3d`: so long ago."""
    if isinstance(text, datetime):
        return text
    ago = _AGO.fullmatch(text.strip())
    if ago:
        return datetime.now(UTC) - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no time: write 2026-11-21T12:00:00Z, or how long ago: 90m, 2h, 3d"
        ) from None
    if found.tzinfo is None:
        raise typer.BadParameter(f"{text!r} has no time zone: append Z for UTC, or +02:00")
    return found


def offset_or_moment(text: Any) -> Any:
    """Read `earliest`, `latest`, an offset, or a time: where a group or a reader begins."""
    if not isinstance(text, str):
        return text
    if text in {"earliest", "latest"}:
        return text
    return int(text) if text.isdecimal() else moment(text)


def reset_to(text: Any) -> ResetTo:
    """The same, for groups."""
    found: ResetTo = offset_or_moment(text)
    return found


def tenant(text: Any) -> UUID:
    """Read a tenant's id."""
    if isinstance(text, UUID):
        return text
    try:
        return tenant_uuid(text)
    except ValidationError as error:
        raise typer.BadParameter("; ".join(error.problems)) from None
