"""Each mode opens its connector, and a wrong configuration none."""

import pytest

from rustok_iggy_connector import (
    ConfigError,
    ConnectorConfig,
    ConnectorMode,
    EmbeddedConnector,
    IggyConnector,
    InMemoryConnector,
    RemoteConnector,
    RemoteConnectorConfig,
    open_connector,
)

MODES = {
    ConnectorMode.EMBEDDED: EmbeddedConnector,
    ConnectorMode.REMOTE: RemoteConnector,
    ConnectorMode.MEMORY: InMemoryConnector,
}


@pytest.mark.parametrize("mode", list(ConnectorMode))
def test_a_mode_opens_its_connector(mode: ConnectorMode) -> None:
    connector: IggyConnector = open_connector(
        ConnectorConfig(mode=mode, remote=RemoteConnectorConfig(password="secret"))
    )
    assert type(connector) is MODES[mode]


def test_the_default_is_embedded() -> None:
    assert isinstance(open_connector(), EmbeddedConnector)


def test_a_wrong_configuration_opens_nothing() -> None:
    with pytest.raises(ConfigError, match=r"remote\.password"):
        open_connector(ConnectorConfig(mode=ConnectorMode.REMOTE))
