"""Loggers of this library: structlog's keywords in front, the standard library's logging behind.

A host configures the standard library's logging as it always does, and sees what happens here like everything else;
structlog's global configuration is neither read nor written. Each record's message is `event key=value …`; as
attributes it carries `event`, a constant name, and `facts`, the values, for formatters that write JSON.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from typing import cast

import structlog
from structlog.typing import EventDict, WrappedLogger

FOR_LOGGING = ("exc_info", "stack_info")
"""Keywords that the standard library takes itself."""
CALLERS_FRAME = 4
"""How far above the standard library's logger the line stands that logs: three frames of structlog lie between."""


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module. Values bound in structlog's context variables come with each record."""
    logger = structlog.wrap_logger(
        logging.getLogger(name),
        wrapper_class=structlog.stdlib.BoundLogger,
        processors=[structlog.stdlib.filter_by_level, structlog.contextvars.merge_contextvars, _to_record],
        context_class=dict,
        cache_logger_on_first_use=True,
    )
    return cast("structlog.stdlib.BoundLogger", logger)


def log_context(**values: str) -> AbstractContextManager[None]:
    """Bind values in structlog's context variables while inside: every record made there carries them."""
    return structlog.contextvars.bound_contextvars(**values)


def _to_record(_: WrappedLogger, __: str, facts: EventDict) -> tuple[tuple[str, ...], dict[str, object]]:
    """Return what the standard library's logger is called with."""
    event = facts.pop("event")
    keywords = {name: facts.pop(name) for name in FOR_LOGGING if name in facts}
    message = " ".join((str(event), *(f"{name}={value}" for name, value in facts.items())))
    # As an argument, so that a % in a value is no placeholder.
    return ("%s", message), {**keywords, "stacklevel": CALLERS_FRAME, "extra": {"event": event, "facts": dict(facts)}}
