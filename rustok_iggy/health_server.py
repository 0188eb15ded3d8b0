"""A tiny HTTP server for the health paths, where no web framework runs: one request a connection, all bounded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

from rustok_iggy.health_responses import TEXT, HealthResponses, Response
from rustok_iggy.metrics import REGISTRY, CollectorRegistry
from rustok_iggy.transport import EventTransport
from rustok_iggy_connector import get_logger

log = get_logger(__name__)

MAX_HEAD_BYTES = 8 * 1024
"""Of a request's line and headers: probes and Prometheus send a few hundred."""
MAX_CONNECTIONS = 32
"""At once: a kubelet's three probes and some scrapers; more is a mistake or an attack, and gets 503."""
HEAD_TIMEOUT = 5.0
"""Seconds for a request to arrive: who connects and says nothing must not keep a place."""
SEND_TIMEOUT = 5.0
"""Seconds for the response to leave."""

BAD_REQUEST = Response(status=400, content_type=TEXT, body=b"not an HTTP/1 request\n")
TOO_LATE = Response(status=408, content_type=TEXT, body=b"the request did not arrive in time\n")
TOO_LARGE = Response(status=431, content_type=TEXT, body=b"the request's head is too large\n")
TOO_MANY = Response(status=503, content_type=TEXT, body=b"too many connections\n")
PARTS = 3


@asynccontextmanager
async def serve_health(
    transport: EventTransport, *, host: str = "127.0.0.1", port: int = 9464, registry: CollectorRegistry = REGISTRY
) -> AsyncIterator[str]:
    """Answer the paths of health_responses.py while inside; yields `host:port`, with the real port where 0 was given.

    Runs in the transport's event loop: when that hangs, probes time out, which is what they are for. Raises OSError
    when the port is taken.
    """
    server = HealthServer(HealthResponses(transport, registry=registry))
    listening = await asyncio.start_server(server.serve, host, port, limit=MAX_HEAD_BYTES)
    address = listening.sockets[0].getsockname()
    log.info("health_served", address=f"{address[0]}:{address[1]}")
    try:
        yield f"{address[0]}:{address[1]}"
    finally:
        listening.close()
        await server.aclose()


class HealthServer:
    """Serves connections, each within its deadlines."""

    def __init__(self, responses: HealthResponses) -> None:
        self._responses = responses
        self._connections: set[asyncio.Task[None]] = set()
        self._closed = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request, answer it, close."""
        task = asyncio.current_task()
        assert task is not None, "runs as a task"
        self._connections.add(task)
        try:
            if not self._closed:  # it may have come as the server closed, and have its first turn only now
                await self._exchange(reader, writer)
        except (OSError, TimeoutError) as error:
            log.debug("health_connection_lost", error=type(error).__name__)
        finally:
            self._connections.discard(task)
            writer.close()

    async def aclose(self) -> None:
        """Cut what is open, and what still comes. Idempotent."""
        self._closed = True
        tasks = tuple(self._connections)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) > MAX_CONNECTIONS:
            await _send(writer, TOO_MANY, with_body=True)
            return
        method, response = await self._response(reader)
        await _send(writer, response, with_body=method != "HEAD")

    async def _response(self, reader: asyncio.StreamReader) -> tuple[str, Response]:
        try:
            async with asyncio.timeout(HEAD_TIMEOUT):
                head = await reader.readuntil(b"\r\n\r\n")
        except TimeoutError:
            return "", TOO_LATE
        except asyncio.LimitOverrunError:
            return "", TOO_LARGE
        except asyncio.IncompleteReadError:
            return "", BAD_REQUEST
        parts = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
        if len(parts) != PARTS or not parts[2].startswith("HTTP/1."):
            return "", BAD_REQUEST
        method, path, _ = parts
        return method, await self._responses.respond(method, path.partition("?")[0])


async def _send(writer: asyncio.StreamWriter, response: Response, *, with_body: bool) -> None:
    lines = [
        f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}",
        f"Content-Type: {response.content_type}",
        f"Content-Length: {len(response.body)}",
        "Cache-Control: no-store",
        "Connection: close",
        *([f"Allow: {response.allow}"] if response.allow else []),
    ]
    writer.write("\r\n".join([*lines, "", ""]).encode() + (response.body if with_body else b""))
    async with asyncio.timeout(SEND_TIMEOUT):
        await writer.drain()
        with suppress(ConnectionError):
            writer.write_eof()
