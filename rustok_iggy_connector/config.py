"""Configuration of the connector. Each part lists its own problems; ConnectorConfig reports all of them at once."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from pathlib import PurePath
from typing import Any, Literal, get_args, get_origin

import msgspec
from msgspec.structs import fields, force_setattr

from rustok_iggy_connector.errors import ConfigError

LARGEST_PORT = 65_535


class ConnectorMode(StrEnum):
    """Where the server is."""

    EMBEDDED = "embedded"
    REMOTE = "remote"
    MEMORY = "memory"


class Engine(StrEnum):
    """Which server the embedded connector runs."""

    AUTO = "auto"
    IGGY_SERVER = "iggy-server"
    LOCAL = "local"


def _take_plain_values(part: msgspec.Struct, path: str) -> None:
    """Make every field what it is annotated with, so that hosts may give text, paths and dicts, as a file does.

    Raises ConfigError for all that do not fit; its text has types in it and no value but an unknown choice.
    """
    problems = []
    for field in fields(part):
        value = getattr(part, field.name)
        try:
            plain = str(value) if isinstance(value, PurePath) else value
            force_setattr(part, field.name, msgspec.convert(plain, field.type, strict=False))
        except msgspec.ValidationError as error:
            choices = _choices(field.type)
            problem = f"{value!r} is not supported; use {choices}" if choices else str(error)
            problems.append(f"{path}.{field.name}: {problem}".removeprefix("."))
    if problems:
        raise ConfigError(problems)


def _choices(annotation: Any) -> str:
    """The values that a field with few of them may have; empty for one that takes any."""
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return ", ".join(annotation)
    return ", ".join(get_args(annotation)) if get_origin(annotation) is Literal else ""


class TlsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """TLS towards a remote server. Once enabled there is no fallback to plain text."""

    enabled: bool = False
    """Encrypt, and check the certificate."""
    ca_file: str | None = None
    """PEM file with the certificates to trust; None: the system's."""
    server_name: str | None = None
    """Name the certificate must carry; None: the host of the address."""

    def problems(self, path: str) -> Iterator[str]:
        if not self.enabled and (self.ca_file or self.server_name):
            yield f"{path}.enabled: is false, but ca_file or server_name is set; set enabled: true or remove them"


class RemoteConnectorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A server, or the nodes of one cluster, reached over the network. Times in seconds."""

    addresses: tuple[str, ...] = ("127.0.0.1:8090",)
    """`host:port` each, tried in turn."""
    protocol: Literal["tcp"] = "tcp"
    """The only one there is; RusToK's files have the key."""
    username: str = "rustok"
    """Who logs in, with `password`."""
    password: str | None = None
    """In a file write `${IGGY_PASSWORD}`, so that it comes from the environment. Never shown."""
    token: str | None = None
    """A personal access token, used instead of user and password."""
    tls: TlsConfig = TlsConfig()
    """Encryption towards the server."""
    connect_timeout: float = 10.0
    """To reach one of the addresses and log in, all attempts together."""
    request_timeout: float = 5.0
    """For each request but those of group members."""
    member_timeout: float = 10.0
    """For a group member's requests: giving up costs the whole group a reshuffle."""
    publish_clients: int = 4
    """Sessions that the partitions share, each opened when it is needed; one session carries one request at a time."""

    def __post_init__(self) -> None:
        addresses: object = self.addresses
        if isinstance(addresses, str):
            force_setattr(self, "addresses", (addresses,))
        _take_plain_values(self, "remote")

    def problems(self, path: str) -> Iterator[str]:
        if not self.addresses:
            yield f"{path}.addresses: is empty; give at least one host:port"
        for index, address in enumerate(self.addresses):
            if not _is_address(address):
                yield f"{path}.addresses[{index}]: {address!r} is not host:port"
        if self.token is None and self.password is None:
            yield f"{path}.password: is not set; set it (for example to ${{IGGY_PASSWORD}}), or set token"
        yield from _not_positive(self, path, ("connect_timeout", "request_timeout", "member_timeout"))
        if not 1 <= self.publish_clients <= 64:
            yield f"{path}.publish_clients: {self.publish_clients} is not between 1 and 64"
        yield from self.tls.problems(f"{path}.tls")

    def __repr__(self) -> str:
        secret = "token=***" if self.token is not None else f"username={self.username!r}, password=***"
        return f"RemoteConnectorConfig(addresses={self.addresses!r}, {secret}, tls={self.tls!r})"


class EmbeddedConnectorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A server that this process starts, or attaches to when another process already runs it. Times in seconds."""

    data_dir: str = "./data/iggy"
    """Holds the log, the credentials and the lock; processes that name the same one share a server."""
    engine: Engine = Engine.AUTO
    """`auto`: iggy-server if one is found, else the bundled local server, with a warning."""
    server_path: str | None = None
    """iggy-server binary; None: $IGGY_SERVER_PATH, then PATH."""
    tcp_port: int = 0
    """0: a free port, recorded in the data directory."""
    http_port: int = 3000
    """Accepted for RusToK's sake and not used: the embedded server has no HTTP."""
    use_binary_fallback: bool = True
    """False with engine auto: iggy-server or an error, never the local server."""
    startup_timeout: float = 30.0
    """From starting the server, or waiting for another process's, to the first login."""
    stop_timeout: float = 45.0
    """After SIGTERM, before SIGKILL; iggy-server may take 40 s to write everything down."""
    max_restarts: int = 5
    """Unexpected exits within a minute that are answered by a restart; one more is reported instead."""
    request_timeout: float = 5.0
    """For each request but those of group members."""
    member_timeout: float = 10.0
    """For a group member's requests: giving up costs the whole group a reshuffle."""
    publish_clients: int = 4
    """Sessions that the partitions share, each opened when it is needed; one session carries one request at a time."""

    def __post_init__(self) -> None:
        _take_plain_values(self, "embedded")

    def problems(self, path: str) -> Iterator[str]:
        if not self.data_dir:
            yield f"{path}.data_dir: is empty; name a directory"
        if self.engine is Engine.LOCAL and not self.use_binary_fallback:
            yield f"{path}.use_binary_fallback: is false, which forbids the local server, but engine is local"
        for name in ("tcp_port", "http_port"):
            if not 0 <= getattr(self, name) <= LARGEST_PORT:
                yield f"{path}.{name}: {getattr(self, name)} is not a port (0 to {LARGEST_PORT})"
        yield from _not_positive(self, path, ("startup_timeout", "stop_timeout", "request_timeout", "member_timeout"))
        if self.max_restarts < 0:
            yield f"{path}.max_restarts: is negative"
        if not 1 <= self.publish_clients <= 64:
            yield f"{path}.publish_clients: {self.publish_clients} is not between 1 and 64"


class ConnectorConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which server, and how to reach it."""

    mode: ConnectorMode = ConnectorMode.EMBEDDED
    embedded: EmbeddedConnectorConfig = EmbeddedConnectorConfig()
    remote: RemoteConnectorConfig = RemoteConnectorConfig()

    def __post_init__(self) -> None:
        _take_plain_values(self, "")

    def validate(self) -> None:
        """Raise ConfigError with every problem of the parts that `mode` uses."""
        problems = list(self.problems())
        if problems:
            raise ConfigError(problems)

    def problems(self) -> Iterator[str]:
        if self.mode is ConnectorMode.EMBEDDED:
            yield from self.embedded.problems("embedded")
        elif self.mode is ConnectorMode.REMOTE:
            yield from self.remote.problems("remote")


def _is_address(text: str) -> bool:
    host, separator, port = text.rpartition(":")
    return bool(separator and host.strip("[]")) and port.isdecimal() and 0 < int(port) <= LARGEST_PORT


def _not_positive(part: msgspec.Struct, path: str, names: tuple[str, ...]) -> Iterator[str]:
    for name in names:
        value = getattr(part, name)
        if not value > 0:
            yield f"{path}.{name}: {value} seconds is not a time to wait; use a number above 0"
