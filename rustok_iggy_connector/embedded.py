"""EmbeddedConnector: a server in a process of its own beside this one, reached as any other server is."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path

from rustok_iggy_connector.config import ConnectorConfig, ConnectorMode, EmbeddedConnectorConfig, RemoteConnectorConfig
from rustok_iggy_connector.connector import IggyConnector, MessageSubscriber, TopologyAdmin
from rustok_iggy_connector.embedded_server import EmbeddedServer, Endpoint
from rustok_iggy_connector.errors import ConnectorClosedError
from rustok_iggy_connector.member_identity import MemberDirectory
from rustok_iggy_connector.models import (
    BatchConfirmation,
    ConnectorStatistics,
    PublishBatch,
    PublishConfirmation,
    PublishRequest,
    ServerInfo,
)
from rustok_iggy_connector.remote import RemoteConnector

MEMBERS = "members"
"""Directory of the data directory: who reads in groups of its server."""


class EmbeddedConnector(IggyConnector):
    """Starts the server of a data directory, or attaches to the one that another process started there.

    When the server goes away, sessions fail as they do with a remote one, and the next request reaches for the server
    again: this process may then become the one that runs it. `shutdown` stops the server if this process runs it, also
    while others are attached; they start the next one. In a child made by fork it is closed: open one there.
    """

    def __init__(self, config: EmbeddedConnectorConfig | None = None) -> None:
        self._config = config or EmbeddedConnectorConfig()
        ConnectorConfig(mode=ConnectorMode.EMBEDDED, embedded=self._config).validate()
        self._connecting = asyncio.Lock()
        self._server: EmbeddedServer | None = None
        self._remote: RemoteConnector | None = None
        self._engine = ""
        self._statistics = NOTHING_YET

    async def connect(self) -> None:
        async with self._connecting:  # a second one would hold a server that nobody shuts down
            if self._remote is None:
                await self._connect()

    async def _connect(self) -> None:
        server = EmbeddedServer(self._config)
        try:
            endpoint = await server.reach()
            remote = RemoteConnector(
                self._remote_config(endpoint),
                locate=lambda: self._locate(server),
                members=MemberDirectory(Path(self._config.data_dir) / MEMBERS),
            )
            await remote.connect()
        except BaseException:
            await server.close()
            raise
        self._server, self._remote, self._engine = server, remote, endpoint.engine.value

    async def publish(self, request: PublishRequest) -> PublishConfirmation:
        return await self._connected().publish(request)

    async def publish_batch(self, batch: PublishBatch) -> BatchConfirmation:
        return await self._connected().publish_batch(batch)

    async def subscribe(
        self, *, stream: str, topic: str, group: str | None = None, consumer: str | None = None
    ) -> MessageSubscriber:
        return await self._connected().subscribe(stream=stream, topic=topic, group=group, consumer=consumer)

    @property
    def admin(self) -> TopologyAdmin:
        return self._connected().admin

    @property
    def server(self) -> ServerInfo:
        return dataclasses.replace(self._connected().server, engine=self._engine)

    @property
    def is_owner(self) -> bool:
        """This process started the server, and stops it on shutdown."""
        return self._server is not None and self._server.is_owner

    def statistics(self) -> ConnectorStatistics:
        if self._remote is None or self._server is None:
            return self._statistics
        return dataclasses.replace(self._remote.statistics(), server_restarts=self._server.restarts)

    async def shutdown(self) -> None:
        remote, server = self._remote, self._server
        self._statistics = dataclasses.replace(self.statistics(), connected=False, clients=0)
        self._remote = self._server = None
        try:
            if remote is not None:
                await remote.shutdown()
        finally:
            if server is not None:
                await server.close()

    def _connected(self) -> RemoteConnector:
        if self._remote is None:
            raise ConnectorClosedError("the connector is not connected: use it within `async with`, or call connect()")
        return self._remote

    async def _locate(self, server: EmbeddedServer) -> str:
        endpoint = await server.reach()
        self._engine = endpoint.engine.value
        return endpoint.address

    def _remote_config(self, endpoint: Endpoint) -> RemoteConnectorConfig:
        return RemoteConnectorConfig(
            addresses=(endpoint.address,),
            username=endpoint.credentials.username,
            password=endpoint.credentials.password,
            # A session that is opened again may have to wait for a server that is being started.
            connect_timeout=self._config.startup_timeout,
            request_timeout=self._config.request_timeout,
            member_timeout=self._config.member_timeout,
            publish_clients=self._config.publish_clients,
        )


NOTHING_YET = ConnectorStatistics(
    connected=False,
    clients=0,
    requests=0,
    messages_published=0,
    bytes_published=0,
    reconnects=0,
    timeouts=0,
    server_restarts=0,
)
