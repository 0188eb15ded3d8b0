"""The health paths as an ASGI application, for a host's own: app.mount("/internal", health_app(transport))."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from rustok_iggy.health_responses import HealthResponses
from rustok_iggy.metrics import REGISTRY, CollectorRegistry
from rustok_iggy.transport import EventTransport

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def health_app(transport: EventTransport, *, registry: CollectorRegistry = REGISTRY) -> Application:
    """Return an ASGI 3 application with the paths of health_responses.py. For the transport's event loop."""
    responses = HealthResponses(transport, registry=registry)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            raise ValueError(f"health is asked over http, not {scope['type']}")
        path = str(scope["path"]).removeprefix(scope.get("root_path", ""))
        response = await responses.respond(scope["method"], path)
        headers = [(b"content-type", response.content_type.encode()), (b"cache-control", b"no-store")]
        if response.allow is not None:
            headers.append((b"allow", response.allow.encode()))
        headers.append((b"content-length", str(len(response.body)).encode()))
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else response.body})

    return application


async def _lifespan(receive: Receive, send: Send) -> None:
    """Run by itself it has nothing to begin and nothing to end."""
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
