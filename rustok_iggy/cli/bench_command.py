"""`rustok-iggy bench`: how fast this server is with this configuration, on a stream that is deleted afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import uuid4

import typer
from msgspec.structs import replace

from rustok_iggy.benchmark.quick import Measured, QuickBenchmark
from rustok_iggy.cli import session
from rustok_iggy.cli.command import AtDesk, command
from rustok_iggy.cli.rendering import Shown, facts, table
from rustok_iggy.cli.session import Session, open_session
from rustok_iggy.config import IggyConfig
from rustok_iggy.iggy_transport import IggyTransport
from rustok_iggy_connector import ConnectorError, ConnectorMode, IggyConnector

MAX_SECONDS = 10.0
"""Of a row: at 50,000 events a second half a million, or 250 MB, are on the server's disk until it ends."""
MAX_RATE = 5000.0
"""Events a second of the last row; beyond, one process is busy enough to measure itself."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "bench")(bench)


async def bench(
    desk: AtDesk,
    *,
    seconds: Annotated[float, typer.Option(min=0.1, max=MAX_SECONDS, help="Seconds for each of the five rows.")] = 2.0,
    rate: Annotated[
        float, typer.Option(min=1, max=MAX_RATE, help="Events a second while the latency is measured.")
    ] = 500.0,
) -> None:
    """Measure publishing, consuming and the way from publish to handler with your server and configuration.

    Everything happens on a stream of its own that is deleted at the end. One process does it all: several reach more.
    """
    async with open_session(desk) as at:
        stream = f"{at.stream}-bench-{uuid4().hex[:8]}"
        if at.config.connector.mode is ConnectorMode.REMOTE:
            where = f"{at.connector.server.address}, to stream {stream}"
            desk.confirm(f"Publish for about {5 * seconds:.0f} s on {where}, and delete it?")
        about = _about(at)
        config = replace(at.config, topology=replace(at.config.topology, stream_name=stream))
        measured: list[Measured] = []
        async with _deleted_at_the_end(at.connector, stream):
            benchmark = QuickBenchmark(lambda: _transport(config), seconds=seconds, rate=rate)
            for number, name in enumerate(benchmark.rows):
                with desk.progress(name) as report:
                    report(number, len(benchmark.rows))
                    measured.append(await benchmark.measure(name))
    desk.show({**about, "rows": measured}, facts(about), _table(measured))


def _transport(config: IggyConfig) -> IggyTransport:
    return IggyTransport(config, connector=session.connect(config.connector))


@asynccontextmanager
async def _deleted_at_the_end(connector: IggyConnector, stream: str) -> AsyncIterator[None]:
    try:
        yield
    finally:
        try:
            if await connector.admin.describe_stream(stream) is not None:
                await connector.admin.delete_stream(stream)
        except ConnectorError as error:
            error.add_note(f"stream {stream} may be left: delete it when the server is back")
            raise


def _about(at: Session) -> dict[str, object]:
    server, topology = at.connector.server, at.config.topology
    return {
        "engine": f"{server.engine} {server.version}",
        "address": server.address,
        "durability": topology.durability,
        "partitions": topology.domain_partitions,
        "serialization": at.config.serialization,
    }


def _table(measured: list[Measured]) -> Shown:
    rows = [
        (each.name, round(each.events_per_second), _time(each.p50), _time(each.p99), each.events) for each in measured
    ]
    return table(("", ">events a second", ">p50", ">p99", ">events"), rows)


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds * 1000:.2f} ms"
