"""A transport for as long as a web application lives: for FastAPI, Starlette and whatever takes their `lifespan`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from rustok_iggy.transport import EventTransport

Lifespan = Callable[[Any], AbstractAsyncContextManager[Mapping[str, EventTransport]]]
"""Takes the application, gives its state: handlers of requests find the transport as `request.state.events`."""
STATE_KEY = "events"


def lifespan(
    make_transport: Callable[[], EventTransport], *, subscribe: Callable[[EventTransport], None] | None = None
) -> Lifespan:
    """Return what to pass as `FastAPI(lifespan=...)` or `Starlette(lifespan=...)`; neither has to be installed.

    On start-up the transport is made and opened, so that an application without a server does not start; then
    `subscribe` registers handlers and the transport consumes, or only publishes when it is None. On shutdown what is
    in flight is finished and committed. A subscription that fails for good ends the lifespan with its error, and the
    transport is closed: web servers log that and go on serving, so let readiness follow `transport.health()`.
    """

    @asynccontextmanager
    async def live(app: Any) -> AsyncIterator[Mapping[str, EventTransport]]:  # noqa: ARG001 - given, and not needed
        async with make_transport() as transport:
            if subscribe is None:
                yield {STATE_KEY: transport}
                return
            subscribe(transport)
            async with transport.consuming():
                yield {STATE_KEY: transport}

    return live
