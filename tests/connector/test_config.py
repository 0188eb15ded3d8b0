"""Configuration made in code: plain values are taken, what does not fit is named before anything is connected."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rustok_iggy_connector import (
    ConfigError,
    ConnectorConfig,
    ConnectorMode,
    EmbeddedConnectorConfig,
    RemoteConnector,
    RemoteConnectorConfig,
    TlsConfig,
    open_connector,
)

untyped_embedded: Callable[..., EmbeddedConnectorConfig] = EmbeddedConnectorConfig
untyped_remote: Callable[..., RemoteConnectorConfig] = RemoteConnectorConfig
untyped_connector: Callable[..., ConnectorConfig] = ConnectorConfig


def test_text_paths_and_dicts_become_what_the_fields_hold() -> None:
    embedded = untyped_embedded(data_dir=Path("data"), server_path=Path("/opt/x"), engine="local", tcp_port="8090")
    assert (embedded.data_dir, embedded.server_path, embedded.tcp_port) == ("data", "/opt/x", 8090)
    remote = untyped_remote(addresses="a:1", tls={"enabled": "true"}, connect_timeout="2")
    assert (remote.addresses, remote.tls, remote.connect_timeout) == (("a:1",), TlsConfig(enabled=True), 2.0)


def test_a_mode_given_as_text_is_the_mode() -> None:
    config = untyped_connector(mode="remote", remote={"password": "secret"})
    assert config.mode is ConnectorMode.REMOTE
    assert isinstance(open_connector(config), RemoteConnector)


@pytest.mark.parametrize(
    ("make", "problems"),
    [
        (lambda: untyped_connector(mode="kafka"), ["mode: 'kafka' is not supported; use embedded, remote, memory"]),
        (lambda: untyped_remote(protocol="quic"), ["remote.protocol: 'quic' is not supported; use tcp"]),
        (
            lambda: untyped_embedded(engine="rust", tcp_port="x"),
            [
                "embedded.engine: 'rust' is not supported; use auto, iggy-server, local",
                "embedded.tcp_port: Expected `int`, got `str`",
            ],
        ),
        (lambda: untyped_remote(password=12345), ["remote.password: Expected `str | null`, got `int`"]),
    ],
)
def test_what_does_not_fit_is_named_with_all_the_others(make: Callable[[], Any], problems: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        make()
    assert list(caught.value.problems) == problems
    assert "12345" not in str(caught.value)
