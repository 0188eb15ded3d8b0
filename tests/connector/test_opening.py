"""Everything that can answer, or not, where a server should be: a typed error that says what to do, in time."""

import asyncio
import logging
import time
import traceback
from typing import Any

import pytest

from rustok_iggy_connector import (
    AuthenticationError,
    ConfigError,
    ConnectorError,
    IncompatibleServerError,
    RemoteConnector,
    RemoteConnectorConfig,
    ServerUnreachableError,
)
from rustok_iggy_connector.client import Client
from tests.connector.conftest import LocalServer
from tests.faults import (
    Answer,
    fault_proxy,
    http,
    listening,
    mute,
    newer_generation,
    older_generation,
    slam,
    ssh,
)

pytestmark = pytest.mark.anyio
SECRET = "s3cr3t-w0rd"


async def failure(config: RemoteConnectorConfig) -> Exception:
    """Why the connection fails; checks that nothing stays behind and that the secret is kept."""
    connector = RemoteConnector(config)
    started = time.monotonic()
    with pytest.raises((ConnectorError, ConfigError)) as caught:
        await connector.connect()
    # Beyond: asking an older server who it is, on a machine that does other things too.
    assert time.monotonic() - started < config.connect_timeout + 10
    assert not connector.statistics().connected
    assert connector.statistics().clients == 0
    text = "".join(traceback.format_exception(caught.value))
    assert SECRET not in text + repr(config) + repr(connector) + repr(vars(connector))
    return caught.value


def config_of(*addresses: str, **settings: Any) -> RemoteConnectorConfig:
    return RemoteConnectorConfig(addresses=addresses, **{"password": SECRET, "connect_timeout": 0.5, **settings})


@pytest.mark.parametrize("answer", [http, ssh, mute, slam], ids=lambda answer: answer.__name__)
async def test_something_that_is_not_iggy(answer: Answer) -> None:
    async with listening(answer) as address:
        error = await failure(config_of(address))
    assert isinstance(error, ServerUnreachableError)
    assert error.addresses == (address,)
    assert error.retryable
    assert address in str(error)
    assert "not an Iggy server" in str(error)


async def test_nobody_there() -> None:
    error = await failure(config_of("127.0.0.1:1"))
    assert isinstance(error, ServerUnreachableError)
    assert "nobody listens" in str(error)


async def test_a_name_that_nobody_knows() -> None:
    assert isinstance(await failure(config_of("no-such-host.invalid:8090")), ServerUnreachableError)


@pytest.mark.parametrize(("answer", "within"), [(older_generation, 1), (newer_generation, 20)], ids=["older", "newer"])
async def test_a_server_of_another_generation(answer: Answer, within: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """An older one never answers a login, a newer one does at once."""
    monkeypatch.setattr("rustok_iggy_connector.generation.ANSWER_TIMEOUT", 20.0)
    async with listening(answer) as address:
        error = await failure(config_of(address, connect_timeout=within))
    assert isinstance(error, IncompatibleServerError)
    assert error.client_version in str(error)
    assert "apache/iggy:" in str(error)
    assert not error.retryable


async def test_a_wrong_password(local_server: LocalServer) -> None:
    started = time.monotonic()
    error = await failure(local_server.config(password=SECRET, connect_timeout=30))
    assert isinstance(error, AuthenticationError)
    assert time.monotonic() - started < 20  # it will not become right: one try
    assert isinstance(await failure(local_server.config(username="nobody", password=SECRET)), AuthenticationError)


async def test_a_wrong_token(local_server: LocalServer) -> None:
    assert isinstance(await failure(local_server.config(password=None, token=SECRET)), AuthenticationError)


async def test_passwords_with_any_characters_work(local_server: LocalServer) -> None:
    async with RemoteConnector(local_server.config()) as connector:
        assert connector.server.address == local_server.address


async def test_addresses_are_tried_in_turn(local_server: LocalServer) -> None:
    async with listening(mute) as silent, listening(slam) as rude:
        config = local_server.config(addresses=("127.0.0.1:1", rude, silent, local_server.address), connect_timeout=6)
        async with RemoteConnector(config) as connector:
            assert connector.server.address == local_server.address


async def test_all_addresses_are_named_when_none_works() -> None:
    async with listening(slam) as rude:
        error = await failure(config_of("127.0.0.1:1", rude))
    assert isinstance(error, ServerUnreachableError)
    assert error.addresses == ("127.0.0.1:1", rude)
    assert "127.0.0.1:1" in str(error)
    assert rude in str(error)


async def test_what_an_answer_told_is_not_hidden_by_an_attempt_that_ran_out_of_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now, given = 0.0, list[float]()

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    async def open_client(*, address: str, open_timeout: float, **_: object) -> Client:
        given.append(open_timeout)
        if len(given) < 3:
            raise ServerUnreachableError(f"TLS was not agreed on, {len(given)}", addresses=[address])
        await sleep(open_timeout)
        raise ServerUnreachableError("no answer", addresses=[address])

    monkeypatch.setattr("rustok_iggy_connector.remote.open_client", open_client)
    with pytest.raises(ServerUnreachableError, match="TLS was not agreed on, 2"):
        await RemoteConnector(config_of("127.0.0.1:1"), clock=lambda: now, sleep=sleep).connect()
    assert len(given) == 3


async def test_a_server_that_comes_up_meanwhile_is_found(local_server: LocalServer) -> None:
    async with fault_proxy(local_server.address) as proxy:
        proxy.refuse()
        connector = RemoteConnector(local_server.config(addresses=(proxy.address,), connect_timeout=30))
        connecting = asyncio.ensure_future(connector.connect())
        await asyncio.sleep(0.2)
        assert not connecting.done()
        proxy.accept()
        await asyncio.wait_for(connecting, 20)
        await connector.shutdown()


async def test_locate_is_asked_at_each_attempt(local_server: LocalServer) -> None:
    places = ["127.0.0.1:1", "127.0.0.1:1", local_server.address]

    async def locate() -> str:
        return places.pop(0)

    async with RemoteConnector(local_server.config(addresses=("127.0.0.1:9",)), locate=locate) as connector:
        assert connector.server.address == local_server.address
    assert places == []


async def test_a_locate_that_hangs_is_given_up() -> None:
    async def locate() -> str:
        await asyncio.Event().wait()
        return ""

    with pytest.raises(ServerUnreachableError):
        await RemoteConnector(config_of("127.0.0.1:9"), locate=locate).connect()


async def test_cancelling_connect_leaves_nothing_behind() -> None:
    async with listening(mute) as address:
        connector = RemoteConnector(config_of(address, connect_timeout=30))
        connecting = asyncio.ensure_future(connector.connect())
        await asyncio.sleep(0.05)
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert connector.statistics().clients == 0


async def test_a_wrong_configuration_is_refused_before_anything_is_tried() -> None:
    with pytest.raises(ConfigError) as caught:
        RemoteConnector(RemoteConnectorConfig(addresses=("nonsense",), request_timeout=0))
    assert len(caught.value.problems) == 3


async def test_nothing_secret_is_logged(
    local_server: LocalServer, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    await failure(local_server.config(password=SECRET))
    async with RemoteConnector(local_server.config()):
        pass
    printed = capfd.readouterr()
    for text in (caplog.text, printed.out, printed.err):
        assert SECRET not in text
        assert local_server.password not in text
