"""`rustok-iggy serve`: the embedded server in the foreground."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, Any

import typer

from rustok_iggy.cli.command import AtDesk, command
from rustok_iggy.cli.exits import CommandError, ExitCode
from rustok_iggy.cli.rendering import facts, marked
from rustok_iggy.config import IggyMode
from rustok_iggy_connector import ConnectorError, EmbeddedConnector, Engine

LOOK_INTERVAL = 2.0
"""Seconds between two questions whether the server still answers: one that cannot be restarted ends this command."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "serve")(serve)


async def serve(
    desk: AtDesk,
    *,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="Port on 127.0.0.1; 0: a free one; default: as configured.")
    ] = None,
    engine: Annotated[Engine | None, typer.Option(help="Which server; default: as configured.")] = None,
) -> None:
    """Run the server of a data directory until Ctrl-C. Applications with the same directory attach to it."""
    embedded: dict[str, Any] = {}
    if port is not None:
        embedded["tcp_port"] = port
    if engine is not None:
        embedded["engine"] = engine
    config = desk.config(mode=IggyMode.EMBEDDED, embedded=embedded)
    stop = asyncio.Event()
    with _set_by_signals(stop):
        async with EmbeddedConnector(config.embedded) as connector:
            server, directory = connector.server, config.embedded.data_dir
            if not connector.is_owner:
                raise CommandError(
                    f"another process runs the server of {directory} already, at {server.address}",
                    code=ExitCode.REFUSED,
                )
            data = {
                "engine": server.engine,
                "version": server.version,
                "address": server.address,
                "data_dir": directory,
            }
            told = {"address": server.address, "engine": f"{server.engine} {server.version}", "data": directory}
            desk.stream(data, marked("ok", "serving; Ctrl-C ends it"))
            if not desk.as_json:
                desk.show(None, facts(told))
            await _serve(connector, stop, stream=config.topology.stream_name)
    desk.note("the server has ended")


async def _serve(connector: EmbeddedConnector, stop: asyncio.Event, *, stream: str) -> None:
    """Wait for a signal; raise what says that the server is gone for good."""
    while not stop.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK_INTERVAL)
            return
        try:
            await connector.admin.describe_stream(stream)
        except ConnectorError as error:
            if not error.retryable:
                raise


@contextmanager
def _set_by_signals(stop: asyncio.Event) -> Iterator[None]:
    """SIGTERM and Ctrl-C are how this command ends, so they set `stop` and are no error."""
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)
    try:
        for each in signals:
            loop.add_signal_handler(each, stop.set)
    except (NotImplementedError, ValueError, RuntimeError):
        yield  # not the main thread, or Windows: Ctrl-C interrupts as it does everywhere
        return
    try:
        yield
    finally:
        for each in signals:
            loop.remove_signal_handler(each)
