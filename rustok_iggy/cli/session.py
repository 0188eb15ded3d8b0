"""The server that a command talks to, and the library's managers over it. Opening one changes nothing there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rustok_iggy.catalog import EventCatalog
from rustok_iggy.cli.desk import Desk
from rustok_iggy.cli.exits import CommandError, ExitCode
from rustok_iggy.config import IggyConfig
from rustok_iggy.consumer.delivery import EnvelopeReader
from rustok_iggy.consumer_groups import ConsumerGroupManager
from rustok_iggy.dead_letters.originals import OriginalReader
from rustok_iggy.dead_letters.queue import DlqManager
from rustok_iggy.errors import ConfigError
from rustok_iggy.iggy_transport import IggyTransport
from rustok_iggy.replay.manager import ReplayManager
from rustok_iggy.serialization import EventSerializer, JsonSerializer, PostcardSerializer, SerializationFormat
from rustok_iggy.topology import Topic, TopologyManager
from rustok_iggy_connector import ConnectorMode, IggyConnector, NotFoundError, TopicInfo, open_connector

connect = open_connector
"""How a server is reached; tests reach one in this process."""
EVENT_TOPICS = (Topic.DOMAIN, Topic.SYSTEM)


@dataclass(frozen=True, kw_only=True)
class Session:
    """A server that has answered."""

    config: IggyConfig
    catalog: EventCatalog
    connector: IggyConnector

    @property
    def stream(self) -> str:
        """The name of the configured stream."""
        return self.config.topology.stream_name

    @cached_property
    def transport(self) -> IggyTransport:
        """A transport over this connection; entering it ensures the topology."""
        return IggyTransport(self.config, catalog=self.catalog, connector=self.connector)

    @property
    def topology(self) -> TopologyManager:
        """See TopologyManager."""
        return self.transport.topology

    @property
    def replays(self) -> ReplayManager:
        """See ReplayManager."""
        return self.transport.replays

    @property
    def reader(self) -> EnvelopeReader:
        """Reads stored events."""
        return self.replays.reader

    @property
    def groups(self) -> ConsumerGroupManager:
        """See ConsumerGroupManager."""
        return ConsumerGroupManager(self.connector, stream=self.stream)

    @cached_property
    def originals(self) -> OriginalReader:
        """Reads the events in dead letters."""
        return OriginalReader(_serializers(self.catalog), self.config.serialization)

    @property
    def dead_letters(self) -> DlqManager:
        """See DlqManager."""
        return DlqManager(self.connector, stream=self.stream, originals=self.originals)

    async def topic(self, name: str) -> TopicInfo | None:
        """Ask for a topic of the stream."""
        return await self.connector.admin.describe_topic(stream=self.stream, topic=name)

    async def required_topic(self, name: str) -> TopicInfo:
        """Ask for a topic. Raises NotFoundError with what to do."""
        found = await self.topic(name)
        if found is None:
            raise NotFoundError(f"stream {self.stream} has no topic {name}: rustok-iggy topology apply creates it")
        return found


@asynccontextmanager
async def open_session(desk: Desk) -> AsyncIterator[Session]:
    """Reach the configured server. Raises CommandError, ConfigError and connector errors.

    An embedded server whose data directory is not there is not made by looking at it: `serve` makes one.
    """
    config, catalog = desk.config(), desk.catalog()
    if config.connector.mode is ConnectorMode.EMBEDDED and not _is_there(config.embedded.data_dir):
        raise CommandError(
            f"there is no data directory {config.embedded.data_dir} here. Name a server (--address host:port), a"
            " configuration (--config FILE) or a directory (--data-dir DIR), or make one: rustok-iggy serve",
            code=ExitCode.NOT_FOUND,
        )
    async with connect(config.connector) as connector:
        yield Session(config=config, catalog=catalog, connector=connector)


def _is_there(directory: str) -> bool:
    return Path(directory).is_dir()


def _serializers(catalog: EventCatalog) -> dict[SerializationFormat, EventSerializer]:
    """Return every format that the catalogue fits."""
    found: dict[SerializationFormat, EventSerializer] = {}
    for maker in (JsonSerializer, PostcardSerializer):
        try:
            found[maker.format] = maker(catalog)
        except ConfigError:
            continue  # then no letter was ever written in it
    return found
