"""The ASGI application says what the server says, mounted or by itself."""

from collections.abc import MutableMapping
from typing import Any

import pytest

from rustok_iggy.health_app import health_app
from rustok_iggy_connector import MemoryServer
from tests.consumer.hosts import transport

pytestmark = pytest.mark.anyio


async def call(
    app: Any, path: str, *, method: str = "GET", root_path: str = ""
) -> tuple[int, dict[bytes, bytes], bytes]:
    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    await app({"type": "http", "method": method, "path": path, "root_path": root_path}, receive, send)
    assert [each["type"] for each in sent] == ["http.response.start", "http.response.body"]
    return sent[0]["status"], dict(sent[0]["headers"]), sent[1]["body"]


async def test_it_answers_alone_and_mounted() -> None:
    async with transport(MemoryServer()) as host:
        app = health_app(host)
        assert (await call(app, "/livez"))[0] == 200
        assert (await call(app, "/internal/readyz", root_path="/internal"))[0] == 200
        assert (await call(app, "/other"))[0] == 404
        status, headers, _ = await call(app, "/livez", method="DELETE")
        assert (status, headers[b"allow"]) == (405, b"GET, HEAD")
        status, headers, body = await call(app, "/healthz", method="HEAD")
        assert (status, body) == (200, b"")
        assert int(headers[b"content-length"]) > 0
        assert (await call(app, "/metrics"))[1][b"content-type"].startswith(b"text/plain")


async def test_it_can_run_by_itself() -> None:
    """A server that runs it asks it to begin and to end."""
    incoming = iter(["lifespan.startup", "lifespan.shutdown"])
    sent: list[str] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": next(incoming)}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message["type"])

    async with transport(MemoryServer()) as host:
        await health_app(host)({"type": "lifespan"}, receive, send)
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        with pytest.raises(ValueError, match="websocket"):
            await health_app(host)({"type": "websocket"}, receive, send)
