"""A disk that is full: nothing is lost, nothing ends; what failed waits until there is room for its letter."""

import asyncio
import resource
from pathlib import Path

import pytest

from rustok_iggy import ComponentHealth, HealthStatus, publish_outage
from rustok_iggy_connector import IggyConnector, RemoteConnector, RemoteConnectorConfig
from tests.chaos.server import OwnServer, running_server
from tests.conformance.backends import Backend
from tests.conformance.services import (
    FailingTenant,
    Handler,
    Place,
    letters_of,
    number_of,
    publish,
    reasons,
    some_tenants,
    until_caught_up,
    until_letters,
)
from tests.waiting import until

pytestmark = pytest.mark.anyio


class OwnBackend(Backend):
    """A server of the test's own, on a disk that it can fill."""

    name = "local"

    def __init__(self, server: OwnServer) -> None:
        self._server = server

    def connector(self) -> IggyConnector:
        return RemoteConnector(self.remote_config())

    def remote_config(self) -> RemoteConnectorConfig:
        credentials = self._server.credentials
        return RemoteConnectorConfig(
            addresses=(self._server.address,), username=credentials.username, password=credentials.password
        )


def limit_files(server: OwnServer, size: int) -> None:
    """No file of the server may grow beyond `size`: what a full disk answers, from the same call."""
    assert server.pid is not None
    _, most = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size if size >= 0 else most, most))


needs_prlimit = pytest.mark.skipif(
    not hasattr(resource, "prlimit"), reason="limits another process, which only Linux can"
)


@needs_prlimit
async def test_publishing_to_a_full_disk_is_unhealthy_and_says_where_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publish_outage, "FAILING_AFTER", 0.3)
    async with running_server("local", tmp_path / "server") as server:
        assert isinstance(server, OwnServer)
        async with Place(OwnBackend(server), "full").transport() as transport:

            def health() -> ComponentHealth:
                return transport.health().components["publishing"]

            await publish(transport, some_tenants(1), range(1))
            limit_files(server, 0)
            publishing = asyncio.create_task(publish(transport, some_tenants(1), range(1, 2)))
            await until(lambda: health().status is HealthStatus.UNHEALTHY)
            assert any("look at the server's log and disk" in reason for reason in health().reasons)
            assert not transport.health().is_ready
            limit_files(server, resource.RLIM_INFINITY)
            await publishing
            assert health().status is HealthStatus.HEALTHY


@needs_prlimit
async def test_a_full_disk_holds_what_fails_until_there_is_room(tmp_path: Path) -> None:
    async with running_server("local", tmp_path / "server") as server:
        assert isinstance(server, OwnServer)
        illness, place = FailingTenant(), Place(OwnBackend(server), "full")
        async with place.transport() as outside:
            gate = asyncio.Event()

            class Waiting(Handler):
                async def __call__(self, envelope, context):  # type: ignore[no-untyped-def]  # as Handler
                    if number_of(envelope) > 0:
                        await gate.wait()
                    await super().__call__(envelope, context)

            async with place.service(Waiting(illness.book, illness)) as service:
                await publish(outside, illness.tenants, range(1))
                await until_caught_up(outside)
                await publish(outside, illness.tenants, range(1, 4))
                limit_files(server, 0)
                gate.set()
                await until(lambda: illness.firsts() == [[0], list(range(4)), list(range(4))])
                await until(lambda: any("dead-letter topic cannot be used" in each for each in reasons(service)))
                assert await letters_of(outside) == 0
                limit_files(server, resource.RLIM_INFINITY)
                await until_letters(outside, 3)
                await illness.cure(outside)
    assert illness.firsts() == [list(range(4))] * 3
