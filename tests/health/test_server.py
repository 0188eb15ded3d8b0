"""The health server answers like HTTP, and stays within its bounds whatever comes."""

import asyncio
import json

import pytest
from prometheus_client import CollectorRegistry

from rustok_iggy.health_responses import HealthResponses
from rustok_iggy.health_server import MAX_CONNECTIONS, MAX_HEAD_BYTES, HealthServer, serve_health
from rustok_iggy.metrics import expose_metrics
from rustok_iggy_connector import MemoryServer
from tests.consumer.hosts import Recorder, counted, transport
from tests.waiting import until

pytestmark = pytest.mark.anyio


async def ask(address: str, request: bytes, *, then_close: bool = False) -> tuple[int, dict[str, str], bytes]:
    host, port = address.split(":")
    async with asyncio.timeout(20):
        reader, writer = await asyncio.open_connection(host, int(port))
        try:
            writer.write(request)
            if then_close:
                writer.write_eof()
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
    first, *lines = head.decode().split("\r\n")
    return int(first.split(" ")[1]), dict(line.lower().split(": ", 1) for line in lines), body


async def get(address: str, path: str) -> tuple[int, dict[str, object]]:
    status, headers, body = await ask(address, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    assert int(headers["content-length"]) == len(body)
    return status, json.loads(body)


async def until_status(address: str, path: str, status: int) -> None:
    async def is_so() -> bool:
        return (await ask(address, f"GET {path} HTTP/1.1\r\n\r\n".encode()))[0] == status

    await until(is_so)


async def test_a_transport_that_consumes_is_live_and_ready() -> None:
    async with transport(MemoryServer()) as host, serve_health(host, port=0) as address:
        host.subscribe(group="g")(Recorder())
        assert (await get(address, "/readyz"))[0] == 503, "nothing is consumed yet"
        assert (await get(address, "/livez"))[0] == 200
        async with host.consuming():
            await until(lambda: host.health().is_ready)
            await until_status(address, "/readyz", 200)  # a report is answered again for a second
            status, report = await get(address, "/healthz?verbose=1")
            assert status == 200
            assert report["status"] == "healthy"
            assert report["engine"] == "memory"
            assert report["components"]["consuming"] == {"status": "healthy", "reasons": []}


async def test_metrics_are_those_of_the_registry() -> None:
    registry = CollectorRegistry()
    async with transport(MemoryServer()) as host, serve_health(host, port=0, registry=registry) as address:
        expose_metrics(host, registry=registry)
        await host.publish(counted(1))
        status, headers, body = await ask(address, b"GET /metrics HTTP/1.1\r\n\r\n")
        assert status == 200
        assert headers["content-type"].startswith("text/plain; version=")
        assert b'rustok_iggy_published_events_total{outcome="confirmed",transport="default"} 1.0' in body
        assert b'rustok_iggy_observation_age_seconds{transport="default"} 0.0' in body, "the loop was free to answer"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /nothing HTTP/1.1\r\n\r\n", 404),
        (b"POST /livez HTTP/1.1\r\n\r\n", 405),
        (b"GET /livez SPDY/3\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"GET /livez HTTP/1.1\r\n", 400),
        (b"GET /livez HTTP/1.1\r\nX: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n", 431),
    ],
)
async def test_what_is_no_request_for_it_gets_its_status(request_: bytes, status: int) -> None:
    async with transport(MemoryServer()) as host, serve_health(host, port=0) as address:
        assert (await ask(address, request_, then_close=True))[0] == status


async def test_head_gets_no_body() -> None:
    async with transport(MemoryServer()) as host, serve_health(host, port=0) as address:
        status, headers, body = await ask(address, b"HEAD /livez HTTP/1.1\r\n\r\n")
        assert (status, body) == (200, b"")
        assert int(headers["content-length"]) > 0


async def test_who_says_nothing_is_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rustok_iggy.health_server.HEAD_TIMEOUT", 0.05)
    async with transport(MemoryServer()) as host, serve_health(host, port=0) as address:
        assert (await ask(address, b"GET /li"))[0] == 408


async def test_more_connections_than_there_are_places_are_refused() -> None:
    async with transport(MemoryServer()) as host, serve_health(host, port=0) as address:
        name, port = address.split(":")
        silent = [await asyncio.open_connection(name, int(port)) for _ in range(MAX_CONNECTIONS)]
        try:
            assert (await ask(address, b"GET /livez HTTP/1.1\r\n\r\n"))[0] == 503
        finally:
            for _, writer in silent:
                writer.close()
        await until_status(address, "/livez", 200)


async def test_it_ends_although_somebody_is_connected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rustok_iggy.health_server.HEAD_TIMEOUT", 60.0)
    async with asyncio.timeout(20), transport(MemoryServer()) as host:
        async with serve_health(host, port=0) as address:
            name, port = address.split(":")
            reader, writer = await asyncio.open_connection(name, int(port))
        assert await reader.read() == b""
        writer.close()


async def test_a_connection_that_came_as_the_server_closed_is_cut_too() -> None:
    async with transport(MemoryServer()) as host:
        server = HealthServer(HealthResponses(host, registry=CollectorRegistry()))
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        try:
            await server.aclose()
            reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
            async with asyncio.timeout(20):
                assert await reader.read() == b"", "without waiting for a request"
            writer.close()
        finally:
            listening.close()
