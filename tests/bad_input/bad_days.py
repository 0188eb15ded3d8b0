"""What a user can meet where a server or a data directory should be: each as a world with its fault, and mended."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rustok_iggy import EmbeddedConfig, IggyConfig, IggyTransport, RemoteConfig
from rustok_iggy.errors import (
    AuthenticationError,
    ConfigError,
    DataDirInUseError,
    IncompatibleServerError,
    RustokIggyError,
    ServerNotFoundError,
    ServerStartupError,
    ServerUnreachableError,
)
from tests.connector.conftest import LocalServer
from tests.faults import Answer, http, listening, mute, newer_generation, older_generation, slam, ssh

SECRET = "s3cr3t-w0rd"
CONNECT_TIMEOUT = 0.5
ANSWERED = 20.0
"""Seconds for what comes with the first answer, however busy the machine."""
PATIENCE = 5.0
"""Seconds beyond a row's deadline: asking a silent server whether it is an old one, and a busy machine."""
STARTUP_TIMEOUT = 30.0
DATABASE = "local-server.sqlite3"


@dataclass(frozen=True, kw_only=True)
class BadDay:
    """`config` fails with `error`, whose text has every word of `says`, within `deadline` seconds.

    `mend` takes the fault out of the world; then `mended` (None: the same configuration) works.
    """

    config: IggyConfig
    error: type[RustokIggyError]
    says: tuple[str, ...]
    deadline: float = CONNECT_TIMEOUT
    mended: IggyConfig | None = None
    mend: Callable[[], object] = lambda: None
    secret: str = SECRET


World = Callable[[Path, LocalServer], AbstractAsyncContextManager[BadDay]]


def remote(address: str, **settings: Any) -> IggyConfig:
    values = {"addresses": (address,), "password": SECRET, "connect_timeout": CONNECT_TIMEOUT, **settings}
    return IggyConfig(mode="remote", remote=RemoteConfig(**values))


def reached(server: LocalServer) -> IggyConfig:
    return IggyConfig(mode="remote", remote=server.config())


def embedded(data_dir: Path, **settings: Any) -> IggyConfig:
    values = {"engine": "local", "startup_timeout": STARTUP_TIMEOUT, **settings}
    return IggyConfig(embedded=EmbeddedConfig(data_dir=str(data_dir), **values))


def instead_of_a_server(
    answer: Answer, error: type[RustokIggyError], *says: str, within: float = CONNECT_TIMEOUT
) -> World:
    @asynccontextmanager
    async def world(_: Path, server: LocalServer) -> AsyncIterator[BadDay]:
        async with listening(answer) as address:
            config = remote(address, connect_timeout=within)
            yield BadDay(config=config, error=error, says=(address, *says), deadline=within, mended=reached(server))

    return world


async def garbage(reader: Any, writer: Any) -> None:
    """Answers at once and at length, with nothing that is a frame."""
    writer.write(b"\xff" * 5000)
    await mute(reader, writer)


@asynccontextmanager
async def wrong_password(_: Path, server: LocalServer) -> AsyncIterator[BadDay]:
    config = IggyConfig(mode="remote", remote=server.config(password=SECRET))
    yield BadDay(config=config, error=AuthenticationError, says=("check the user",), mended=reached(server))


@asynccontextmanager
async def wrong_port(_: Path, server: LocalServer) -> AsyncIterator[BadDay]:
    with socket.socket() as unused:  # bound and not listening: nobody else gets it meanwhile
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        says = (address, "nobody listens", "Is it running")
        yield BadDay(config=remote(address), error=ServerUnreachableError, says=says, mended=reached(server))


@asynccontextmanager
async def tls_where_there_is_none(_: Path, server: LocalServer) -> AsyncIterator[BadDay]:
    config = remote(server.address, tls={"enabled": True})
    yield BadDay(config=config, error=ServerUnreachableError, says=("no TLS there",), mended=reached(server))


@asynccontextmanager
async def missing_certificates(_: Path, server: LocalServer) -> AsyncIterator[BadDay]:
    config = remote(server.address, tls={"enabled": True, "ca_file": "/nowhere.pem"})
    yield BadDay(config=config, error=ConfigError, says=("remote.tls.ca_file", "/nowhere.pem"), mended=reached(server))


@asynccontextmanager
async def port_in_use(folder: Path, _: LocalServer) -> AsyncIterator[BadDay]:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        yield BadDay(
            config=embedded(folder, tcp_port=port),
            error=ServerStartupError,
            says=(f"port {port} is in use", "set embedded.tcp_port: 0"),
            deadline=STARTUP_TIMEOUT,
            mend=other.close,
        )


@asynccontextmanager
async def directory_is_a_file(folder: Path, _: LocalServer) -> AsyncIterator[BadDay]:
    folder.write_text("not a directory")
    says = ("embedded.data_dir", "a file", "name a directory")
    yield BadDay(config=embedded(folder), error=ServerStartupError, says=says, mend=folder.unlink)


@asynccontextmanager
async def directory_links_to_nothing(folder: Path, _: LocalServer) -> AsyncIterator[BadDay]:
    folder.symlink_to(folder.with_name("nowhere"))
    says = ("embedded.data_dir", "links to nothing", "name a directory")
    yield BadDay(config=embedded(folder), error=ServerStartupError, says=says, mend=folder.unlink)


@asynccontextmanager
async def directory_unwritable(folder: Path, _: LocalServer) -> AsyncIterator[BadDay]:
    # Root may write everywhere: for this row the tests become nobody, who may not.
    folder.mkdir(mode=0o500)
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65_534)

    def mend() -> None:
        if is_root:
            os.seteuid(0)
        folder.chmod(0o700)

    says = ("embedded.data_dir", str(folder), "this user", "name another")
    try:
        yield BadDay(config=embedded(folder), error=ServerStartupError, says=says, mend=mend)
    finally:
        mend()


@asynccontextmanager
async def directory_locked_without_a_server(folder: Path, _: LocalServer) -> AsyncIterator[BadDay]:
    folder.mkdir()
    with (folder / "embedded.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield BadDay(
            config=embedded(folder, startup_timeout=0.4),
            error=DataDirInUseError,
            says=(str(folder), "is held by", "End that process, or name another embedded.data_dir"),
            mend=lock.close,
            mended=embedded(folder),
        )


def database_damaged(damage: Callable[[bytes], bytes]) -> World:
    @asynccontextmanager
    async def world(folder: Path, _: LocalServer) -> AsyncIterator[BadDay]:
        async with IggyTransport(embedded(folder)):
            pass  # makes one
        database = folder / DATABASE
        sound = database.read_bytes()
        database.write_bytes(damage(sound))
        yield BadDay(
            config=embedded(folder),
            error=ServerStartupError,
            says=(str(database), "is damaged", "restore it from a backup", str(folder / "server.log")),
            deadline=STARTUP_TIMEOUT,
            mend=lambda: database.write_bytes(sound),
            secret=password_of(folder),
        )

    return world


@asynccontextmanager
async def data_of_another_password(folder: Path, _: LocalServer) -> AsyncIterator[BadDay]:
    async with IggyTransport(embedded(folder)):
        pass
    credentials = folder / "embedded.json"
    right = credentials.read_text()
    credentials.write_text(json.dumps({**json.loads(right), "password": SECRET}))
    says = ("refuses the password in its embedded.json", "restore that file, or name another embedded.data_dir")
    yield BadDay(
        config=embedded(folder),
        error=AuthenticationError,
        says=says,
        deadline=STARTUP_TIMEOUT,
        mend=lambda: credentials.write_text(right),
    )


def binary(script: str, error: type[RustokIggyError], *says: str) -> World:
    @asynccontextmanager
    async def world(folder: Path, _: LocalServer) -> AsyncIterator[BadDay]:
        program = folder.with_name("iggy-server")
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        config = embedded(folder, engine="iggy-server", server_path=str(program))
        yield BadDay(
            config=config, error=error, says=(str(program), *says), deadline=STARTUP_TIMEOUT, mended=embedded(folder)
        )

    return world


def password_of(folder: Path) -> str:
    return str(json.loads((folder / "embedded.json").read_text())["password"])


def overwritten(database: bytes) -> bytes:
    """The second page is lost; the first, with the schema's root, is not."""
    return database[:4096] + b"\xff" * 4096 + database[8192:]


NOT_IGGY = (ServerUnreachableError, "not an Iggy server")
ANOTHER_GENERATION = (IncompatibleServerError, "run apache/iggy:0.9.0, or install the client")

WORLDS: dict[str, World] = {
    "wrong password": wrong_password,
    "wrong port": wrong_port,
    "accepts and never answers": instead_of_a_server(mute, *NOT_IGGY, "did not answer"),
    "a web server": instead_of_a_server(http, *NOT_IGGY),
    "an SSH server": instead_of_a_server(ssh, *NOT_IGGY),
    "garbage": instead_of_a_server(garbage, *NOT_IGGY),
    "hangs up": instead_of_a_server(slam, *NOT_IGGY, "wants TLS"),
    "an older server": instead_of_a_server(older_generation, *ANOTHER_GENERATION, "0.8 or older"),
    "a newer server": instead_of_a_server(newer_generation, *ANOTHER_GENERATION, "0.12", within=ANSWERED),
    "TLS where there is none": tls_where_there_is_none,
    "missing certificates": missing_certificates,
    "port in use": port_in_use,
    "directory is a file": directory_is_a_file,
    "directory links to nothing": directory_links_to_nothing,
    "directory unwritable": directory_unwritable,
    "directory locked without a server": directory_locked_without_a_server,
    "database is something else": database_damaged(lambda sound: b"no database" * 1000),
    "database cut short": database_damaged(lambda sound: sound[:5000]),
    "database overwritten": database_damaged(overwritten),
    "data of another password": data_of_another_password,
    "an older iggy-server": binary("echo server 0.8.3", IncompatibleServerError, "0.8.3", "apache/iggy:0.9.0"),
    "no iggy-server at all": binary("exit 7", ServerNotFoundError, "is not an iggy-server", "apache/iggy:0.9.0"),
}
