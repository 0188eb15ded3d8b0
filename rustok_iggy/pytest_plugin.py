"""The pytest plugin of rustok_iggy: fixtures that give a test its rig. Found through the entry point pytest11.

    iggy            the rig to test with; --iggy=memory (default), embedded or remote chooses the server
    iggy_memory     a server in this process, new for each test
    iggy_embedded   a server process for the whole session, a stream for each test
    iggy_remote     the server at RUSTOK_IGGY_ADDRESS, else one in docker (testcontainers)
    iggy_catalog    the event catalogue; override it in a conftest
    iggy_config     configuration over the rigs' own, as a dict; override it in a conftest

pytest imports it in every run: nothing else of rustok_iggy is imported before a fixture needs it (decision 0011). The
fixtures are no coroutines, so that any plugin for asynchronous tests will do. Streams have names of their own and
servers directories of their own, so that workers of pytest-xdist do not meet.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from rustok_iggy import EmbeddedConfig, EventCatalog, RemoteConfig
    from rustok_iggy.testing import Rig

ADDRESS = "RUSTOK_IGGY_ADDRESS"
USERNAME = "RUSTOK_IGGY_USERNAME"
PASSWORD = "RUSTOK_IGGY_PASSWORD"  # noqa: S105 - the name of a variable
SERVERS = ("memory", "embedded", "remote")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the command line choose the server of the fixture `iggy`."""
    parser.getgroup("rustok-iggy").addoption(
        "--iggy", choices=SERVERS, default=SERVERS[0], help="which server the fixture `iggy` uses (default: memory)"
    )


@pytest.fixture
def iggy_catalog() -> EventCatalog:
    """RusToK's events; a service with events of its own overrides it."""
    from rustok_iggy.events import RUSTOK  # noqa: PLC0415 - see the module's text

    return RUSTOK


@pytest.fixture
def iggy_config() -> Mapping[str, Any]:
    """Nothing beside the rig's own settings."""
    return {}


@pytest.fixture
def iggy(request: pytest.FixtureRequest) -> Rig:
    """The rig that the command line chose."""
    rig: Rig = request.getfixturevalue(f"iggy_{request.config.getoption('--iggy')}")
    return rig


@pytest.fixture
def iggy_memory(iggy_catalog: EventCatalog, iggy_config: Mapping[str, Any]) -> Iterator[Rig]:
    """A rig on a server in this process."""
    from rustok_iggy.testing import memory_rig  # noqa: PLC0415 - see the module's text

    yield from _watched(memory_rig(catalog=iggy_catalog, overrides=iggy_config))


@pytest.fixture
def iggy_embedded(
    iggy_embedded_server: EmbeddedConfig, iggy_catalog: EventCatalog, iggy_config: Mapping[str, Any]
) -> Iterator[Rig]:
    """A rig on the session's embedded server."""
    from rustok_iggy.testing import embedded_rig  # noqa: PLC0415 - see the module's text

    yield from _watched(embedded_rig(iggy_embedded_server, catalog=iggy_catalog, overrides=iggy_config))


@pytest.fixture
def iggy_remote(
    iggy_remote_server: tuple[RemoteConfig, list[str]], iggy_catalog: EventCatalog, iggy_config: Mapping[str, Any]
) -> Iterator[Rig]:
    """A rig on a server that runs elsewhere; its stream is deleted at the end of the session."""
    from rustok_iggy.testing import remote_rig  # noqa: PLC0415 - see the module's text

    server, streams = iggy_remote_server
    rig = remote_rig(server, catalog=iggy_catalog, overrides=iggy_config)
    streams.append(rig.config.topology.stream_name)
    yield from _watched(rig)


@pytest.fixture(scope="session")
def iggy_embedded_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedConfig]:
    """An embedded server in a temporary directory: iggy-server where one is found, else the bundled one."""
    from anyio.from_thread import start_blocking_portal  # noqa: PLC0415 - see the module's text

    from rustok_iggy import EmbeddedConfig  # noqa: PLC0415 - see the module's text
    from rustok_iggy.testing.servers import running  # noqa: PLC0415 - see the module's text

    server = EmbeddedConfig(data_dir=str(tmp_path_factory.mktemp("iggy")))
    # It outlives every test's event loop, so it has one of its own.
    with start_blocking_portal("asyncio") as portal, portal.wrap_async_context_manager(running(server)):
        yield server


@pytest.fixture(scope="session")
def iggy_remote_server() -> Iterator[tuple[RemoteConfig, list[str]]]:
    """Where a server is, and the streams that tests made there."""
    from rustok_iggy import RemoteConfig  # noqa: PLC0415 - see the module's text

    address = os.environ.get(ADDRESS)
    if address is None:
        yield from _docker()
        return
    from anyio.from_thread import start_blocking_portal  # noqa: PLC0415 - see the module's text

    from rustok_iggy.testing.servers import drop_streams  # noqa: PLC0415 - see the module's text

    server = RemoteConfig(
        addresses=(address,),
        username=os.environ.get(USERNAME, "iggy"),
        password=os.environ.get(PASSWORD, "iggy"),
    )
    streams: list[str] = []
    yield server, streams
    if streams:
        with start_blocking_portal("asyncio") as portal:
            portal.call(drop_streams, server, streams)


def _docker() -> Iterator[tuple[RemoteConfig, list[str]]]:
    from anyio.from_thread import start_blocking_portal  # noqa: PLC0415 - see the module's text

    from rustok_iggy.testing.servers import (  # noqa: PLC0415 - see the module's text
        DockerUnavailableError,
        docker_server,
        until_answers,
    )

    try:
        with docker_server() as server:
            with start_blocking_portal("asyncio") as portal:
                portal.call(until_answers, server)
            yield server, []
    except DockerUnavailableError as error:
        pytest.skip(str(error))


def _watched(rig: Rig) -> Iterator[Rig]:
    """Fail a test that planned a fault which never happened: it has not tested what it says."""
    yield rig
    if rig.faults.planned:
        pytest.fail("\n".join(["planned faults that no call met:", *map(str, rig.faults.planned)]), pytrace=False)
