"""Whether anybody records spans in this process. Imports no tracing library unless somebody else did."""

from __future__ import annotations

import sys

from rustok_iggy.tracing.contract import Tracing

API_MODULE = "opentelemetry.trace"
"""Without it nobody can have set a provider, and spans would go nowhere: then it is not imported here either."""


def find_tracing() -> Tracing | None:
    """Return tracing over the process's tracer provider, None when none was set."""
    if API_MODULE not in sys.modules:
        return None
    # Not at the top of the file: importing it costs 20 ms and needs the extra [otel].
    from rustok_iggy.tracing.spans import tracing_over_global_provider  # noqa: PLC0415  see the line above

    return tracing_over_global_provider()
