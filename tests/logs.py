"""What a test reads in a log record of this library."""

from __future__ import annotations

import logging
from typing import Any


def event_of(record: logging.LogRecord) -> str | None:
    """The constant name of what happened; None for records of others."""
    return vars(record).get("event")


def facts_of(record: logging.LogRecord) -> dict[str, Any]:
    """The values that came with it."""
    found: dict[str, Any] = vars(record).get("facts", {})
    return found
