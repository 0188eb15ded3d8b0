"""RusToK's rules for its own events (RusToK, events/validation.rs), beyond the types of their fields."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from rustok_iggy.checks import Check

_CURRENCY = re.compile("[A-Z]{3}")


def _length(low: int, high: int, *required: str) -> Check:
    def check(value: Any) -> str | None:
        if not low <= len(value) <= high:
            return f"must have {low} to {high} characters"
        missing = [text for text in required if text not in value]
        return f"must contain {' and '.join(missing)}" if missing else None

    return check


def _kind(value: Any) -> str | None:
    problem = _length(1, 64)(value)
    if problem is None and not all(character.isalnum() or character in "-_" for character in value):
        problem = "must consist of letters, digits, - and _"
    return problem


def _currency(value: Any) -> str | None:
    return None if _CURRENCY.fullmatch(value) else "must be three upper-case letters"


def _not_negative(value: Any) -> str | None:
    return None if value >= 0 else "must be at least 0"


# Field of a RusToK event → its rule (RusToK, events/validation.rs). Checked only when the field is not None.
FIELD_RULES: dict[str, Check] = {
    "locale": _length(1, 10),
    "target_type": _length(1, 64),
    "index_name": _length(1, 64),
    "mime_type": _length(1, 255, "/"),
    "email": _length(1, 255, "@", "."),
    "old_status": _length(1, 50),
    "new_status": _length(1, 50),
    "reason": _length(0, 500),
    "currency": _currency,
    "size": _not_negative,
    "total": _not_negative,
    "old_quantity": _not_negative,
    "new_quantity": _not_negative,
    "old_amount": _not_negative,
    "new_amount": _not_negative,
}
# Rules of a field in one event type only.
TYPE_RULES: dict[tuple[str, str], Check] = {("node.created", "kind"): _kind}
# Rules between the fields of one event type: what must hold, and what to say when it does not.
RELATIONS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "order.status_changed": (
        lambda event: event.old_status != event.new_status,
        "new_status: must differ from old_status",
    ),
    "inventory.low": (lambda event: event.remaining < event.threshold, "remaining: must be below threshold"),
}
