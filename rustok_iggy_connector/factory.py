"""The one place that knows every way of reaching a server."""

from __future__ import annotations

from rustok_iggy_connector.config import ConnectorConfig, ConnectorMode
from rustok_iggy_connector.connector import IggyConnector
from rustok_iggy_connector.embedded import EmbeddedConnector
from rustok_iggy_connector.memory import InMemoryConnector
from rustok_iggy_connector.remote import RemoteConnector


def open_connector(config: ConnectorConfig | None = None) -> IggyConnector:
    """The connector that `config` asks for, not yet connected: use it with `async with`.

    Raises ConfigError with every problem of the part that the mode uses.
    """
    config = config or ConnectorConfig()
    config.validate()
    if config.mode is ConnectorMode.REMOTE:
        return RemoteConnector(config.remote)
    if config.mode is ConnectorMode.MEMORY:
        return InMemoryConnector()
    return EmbeddedConnector(config.embedded)
