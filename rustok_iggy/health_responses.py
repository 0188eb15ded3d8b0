"""What is answered to whoever asks how a transport is: paths, statuses, bodies. The ASGI app and the server send it.

    GET /livez    200 while loop and lanes move, else 503: restart the process
    GET /readyz   200 while events are published and handled, else 503: send no traffic; degraded is ready
    GET /healthz  200 when both, else 503; the body is the whole report
    GET /metrics  every metric of the registry, in the format that Prometheus reads

Bodies of the first three are JSON: status, live, ready, and the reasons. They name groups, tenants and event ids, so
bind the server to an address that is not public.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from rustok_iggy.health import HealthReport
from rustok_iggy.metrics import REGISTRY, CollectorRegistry, render_metrics
from rustok_iggy.transport import EventTransport

REPORT_AGE = 1.0
"""Seconds for which a report is answered again: probes of several kinds come at once."""
SCRAPE_TIMEOUT = 5.0
"""Seconds for one scrape, the waiting for another one included; Prometheus gives up after 10."""
JSON = "application/json"
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """An HTTP response; `body` may be withheld for HEAD."""

    status: int
    content_type: str
    body: bytes = field(repr=False)
    allow: str | None = None


NOT_FOUND = Response(status=404, content_type=TEXT, body=b"not found: /livez /readyz /healthz /metrics\n")
NOT_ALLOWED = Response(status=405, content_type=TEXT, body=b"only GET and HEAD\n", allow="GET, HEAD")
TOO_SLOW = Response(status=503, content_type=TEXT, body=b"another scrape is under way\n")
METHODS = ("GET", "HEAD")


def answer(path: str, report: HealthReport) -> Response:
    """Return the response to a health path. Decides only."""
    verdicts = {"/livez": report.is_live, "/readyz": report.is_ready, "/healthz": report.is_live and report.is_ready}
    if path not in verdicts:
        return NOT_FOUND
    body: dict[str, object] = {"status": report.status, "live": report.is_live, "ready": report.is_ready}
    if path == "/livez":
        body["reasons"] = report.stalled
    elif path == "/readyz":
        body["reasons"] = report.reasons
    else:
        body |= {
            "engine": report.engine,
            "durability": report.durability,
            "stalled": report.stalled,
            "components": {name: _part(part.status, part.reasons) for name, part in report.components.items()},
        }
    return Response(status=200 if verdicts[path] else 503, content_type=JSON, body=msgspec.json.encode(body) + b"\n")


class HealthResponses:
    """Answers for one transport. For its event loop. Never waits for the server; `clock` gives seconds."""

    def __init__(
        self,
        transport: EventTransport,
        *,
        registry: CollectorRegistry = REGISTRY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._transport = transport
        self._registry = registry
        self._clock = clock
        self._report: tuple[float, HealthReport] | None = None
        self._scraping = asyncio.Lock()

    async def respond(self, method: str, path: str) -> Response:
        """Return the response to a request; `path` without its query."""
        if method not in METHODS:
            return NOT_ALLOWED
        if path == "/metrics":
            return await self._metrics()
        return answer(path, self._current())

    def _current(self) -> HealthReport:
        now = self._clock()
        if self._report is None or now - self._report[0] >= REPORT_AGE:
            self._report = now, self._transport.health()
        return self._report[1]

    async def _metrics(self) -> Response:
        """Written in a thread, which asks this loop for the numbers; one scrape at a time."""
        try:
            async with asyncio.timeout(SCRAPE_TIMEOUT), self._scraping:
                content_type, body = await asyncio.to_thread(render_metrics, self._registry)
        except TimeoutError:
            return TOO_SLOW
        return Response(status=200, content_type=content_type, body=body)


def _part(status: str, reasons: tuple[str, ...]) -> dict[str, object]:
    return {"status": status, "reasons": reasons}
