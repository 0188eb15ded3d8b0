"""What the suite runs on: how each way of reaching a server is opened, and what it can do."""

from __future__ import annotations

import os
import uuid
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import StrEnum
from pathlib import Path

from rustok_iggy_connector import (
    EmbeddedConnector,
    EmbeddedConnectorConfig,
    IggyConnector,
    InMemoryConnector,
    MemoryServer,
    RemoteConnector,
    RemoteConnectorConfig,
)
from rustok_iggy_connector.data_directory import DataDirectory


class Feature(StrEnum):
    NETWORK = "network"
    """There is an address, and a connection that can be cut."""
    LOGIN = "login"
    """Who connects has to say who it is."""
    DISK = "disk"
    """What was published is there again after all connectors are closed and the server is started again."""

    RESTART = "restart"
    """The server can be ended from outside, and whoever needs it starts it again."""


class Backend(ABC):
    """One server for the whole session, and connectors to it."""

    name: str
    features: frozenset[Feature] = frozenset()

    @abstractmethod
    def connector(self) -> IggyConnector:
        """Another connector to the same server, not connected."""

    def start_in(self, directory: Path) -> IggyConnector:
        """A connector to a server of its own, which starts when it is connected and ends when it is shut down."""
        raise NotImplementedError(self.name)

    def remote_config(self) -> RemoteConnectorConfig:
        """With NETWORK: how to reach it over the network."""
        raise NotImplementedError(self.name)


class MemoryBackend(Backend):
    name = "memory"

    def __init__(self) -> None:
        self.server = MemoryServer()

    def connector(self) -> IggyConnector:
        return InMemoryConnector(self.server)

    def start_in(self, directory: Path) -> IggyConnector:
        return InMemoryConnector()


class EmbeddedBackend(Backend):
    """A server in a process beside this one; connectors attach to it."""

    features = frozenset({Feature.NETWORK, Feature.LOGIN, Feature.DISK, Feature.RESTART})

    def __init__(self, name: str, config: EmbeddedConnectorConfig, keeper: IggyConnector) -> None:
        self.name = name
        self._config = config
        self._keeper = keeper

    def connector(self) -> IggyConnector:
        return EmbeddedConnector(self._config)

    def start_in(self, directory: Path) -> IggyConnector:
        return EmbeddedConnector(embedded_config(self.name, directory))

    def remote_config(self) -> RemoteConnectorConfig:
        credentials = DataDirectory(self._config.data_dir).credentials()
        assert credentials is not None
        return RemoteConnectorConfig(
            addresses=(self._keeper.server.address,), username=credentials.username, password=credentials.password
        )


class RemoteBackend(Backend):
    """A server that somebody else runs; it is not stopped, so nothing is known of its disk."""

    name = "remote"
    features = frozenset({Feature.NETWORK, Feature.LOGIN})

    def connector(self) -> IggyConnector:
        return RemoteConnector(self.remote_config())

    def remote_config(self) -> RemoteConnectorConfig:
        return RemoteConnectorConfig(
            addresses=(os.environ["RUSTOK_IGGY_ADDRESS"],),
            username=os.environ.get("RUSTOK_IGGY_USERNAME", "iggy"),
            password=os.environ.get("RUSTOK_IGGY_PASSWORD", "iggy"),
        )


def backend_names() -> list[str]:
    """Those that can run here and now."""
    names = ["memory", "local"]
    if os.environ.get("RUSTOK_IGGY_SERVER"):
        names.append("iggy-server")
    if os.environ.get("RUSTOK_IGGY_ADDRESS"):
        names.append("remote")
    return names


@asynccontextmanager
async def open_backend(name: str, directory: Path) -> AsyncIterator[Backend]:
    if name == "memory":
        yield MemoryBackend()
    elif name == "remote":
        yield RemoteBackend()
    else:
        config = embedded_config(name, directory / name)
        async with EmbeddedConnector(config) as keeper:
            yield EmbeddedBackend(name, config, keeper)


def embedded_config(engine: str, directory: Path) -> EmbeddedConnectorConfig:
    binary = os.environ.get("RUSTOK_IGGY_SERVER") if engine == "iggy-server" else None
    return EmbeddedConnectorConfig(data_dir=str(directory), engine=engine, server_path=binary)


def unique(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:12]}"
