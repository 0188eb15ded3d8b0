"""Where rigs run: in memory, on a server that this process starts, or on one that runs already or in docker."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from typing import Any

from rustok_iggy.catalog import EventCatalog
from rustok_iggy.config import IggyConfig
from rustok_iggy.errors import ConnectorError, RustokIggyError
from rustok_iggy.testing.rig import Rig
from rustok_iggy_connector import (
    ConnectorMode,
    EmbeddedConnector,
    EmbeddedConnectorConfig,
    InMemoryConnector,
    MemoryServer,
    NotFoundError,
    RemoteConnector,
    RemoteConnectorConfig,
)

IMAGE = "apache/iggy:0.9.0"
"""Pinned: 0.8 and 0.10 speak other protocols."""
DOCKER_STARTUP_TIMEOUT = 60.0
"""Seconds for a container whose image is there already; the server itself needs less than one."""
LOOK_AGAIN = 0.2
"""Seconds between two attempts to log in."""
PARTITIONS = 4
"""Of a rig's domain topic: enough for a rebalance between two members, few to ask for."""
QUICK = {
    "heartbeat_interval": 0.05,
    "commit_interval": 0.02,
    "max_idle_delay": 0.02,
    "drain_timeout": 2.0,
    "takeover_timeout": 0.2,
}
"""Consumer settings for tests: what takes a second in production takes milliseconds."""


def rig_config(overrides: Mapping[str, Any], **fixed: Any) -> IggyConfig:
    """Return a configuration with a stream of its own and quick settings, `overrides` over them."""
    topology = {"stream_name": unique("test"), "domain_partitions": PARTITIONS, **overrides.get("topology", {})}
    consumer = {**QUICK, **overrides.get("consumer", {})}
    return IggyConfig(**{**overrides, "topology": topology, "consumer": consumer, **fixed})


def memory_rig(*, catalog: EventCatalog, overrides: Mapping[str, Any] | None = None) -> Rig:
    """Return a rig on a server of its own in this process."""
    server = MemoryServer()
    config = rig_config(overrides or {}, mode=ConnectorMode.MEMORY)
    return Rig(config, catalog=catalog, connect=lambda: InMemoryConnector(server))


def embedded_rig(
    server: EmbeddedConnectorConfig, *, catalog: EventCatalog, overrides: Mapping[str, Any] | None = None
) -> Rig:
    """Return a rig on an embedded server; if nobody runs it, the first transport does."""
    config = rig_config(overrides or {}, mode=ConnectorMode.EMBEDDED, embedded=server)
    return Rig(config, catalog=catalog, connect=lambda: EmbeddedConnector(server))


def remote_rig(
    server: RemoteConnectorConfig, *, catalog: EventCatalog, overrides: Mapping[str, Any] | None = None
) -> Rig:
    """Return a rig on a server that runs already; its stream stays there until drop_streams()."""
    config = rig_config(overrides or {}, mode=ConnectorMode.REMOTE, remote=server)
    return Rig(config, catalog=catalog, connect=lambda: RemoteConnector(server))


@asynccontextmanager
async def running(server: EmbeddedConnectorConfig) -> AsyncIterator[None]:
    """Keep an embedded server running while inside."""
    async with EmbeddedConnector(server):
        yield


async def drop_streams(server: RemoteConnectorConfig, streams: list[str]) -> None:
    """Delete what rigs left on a server that stays."""
    async with RemoteConnector(server) as connector:
        for stream in streams:
            try:
                await connector.admin.delete_stream(stream)
            except NotFoundError:
                continue  # its test opened no transport


async def until_answers(
    server: RemoteConnectorConfig,
    *,
    timeout: float = DOCKER_STARTUP_TIMEOUT,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], Any] = asyncio.sleep,
) -> None:
    """Return when a server takes logins. Raises what the last attempt raised."""
    deadline = clock() + timeout
    while True:
        try:
            async with RemoteConnector(server):
                return
        except ConnectorError as error:
            if clock() >= deadline or not error.retryable:
                raise
        await sleep(LOOK_AGAIN)


class DockerUnavailableError(RustokIggyError):
    """There is no way to run a container here; the text says what to install or to set."""


@contextmanager
def docker_server() -> Iterator[RemoteConnectorConfig]:
    """Run the pinned image in docker while inside. Raises DockerUnavailableError without the package testcontainers."""
    try:
        container_class = import_module("testcontainers.core.container").DockerContainer
        memlock = import_module("docker.types").Ulimit(name="memlock", soft=-1, hard=-1)
    except ImportError as error:
        raise DockerUnavailableError(
            "no server to test on: set RUSTOK_IGGY_ADDRESS to one (host:port), or install testcontainers and docker"
            f" to run {IMAGE}"
        ) from error
    port, password = _free_port(), secrets.token_hex(16)
    # The same port inside and outside: a client is told the server's own address after it has logged in.
    container = (
        container_class(IMAGE)
        .with_bind_ports(port, port)
        .with_env("IGGY_TCP_ADDRESS", f"0.0.0.0:{port}")
        .with_env("IGGY_NODE_ADVERTISED_ADDRESS", "127.0.0.1")
        .with_env("IGGY_ROOT_USERNAME", "iggy")
        .with_env("IGGY_ROOT_PASSWORD", password)
        # io_uring is what docker's default profile forbids, and it needs locked memory.
        .with_kwargs(security_opt=["seccomp=unconfined"], cap_add=["SYS_NICE"], ulimits=[memlock])
    )
    with container:
        yield RemoteConnectorConfig(addresses=(f"127.0.0.1:{port}",), username="iggy", password=password)


def unique(prefix: str) -> str:
    """Return a name that no other test has, on any machine that uses the same server."""
    return f"{prefix}-{secrets.token_hex(6)}"


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port
