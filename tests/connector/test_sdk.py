"""The wheel's quirks: deadlines, cancellation, tokens, texts that nobody knows."""

import asyncio
import uuid
from collections.abc import AsyncIterator

import apache_iggy
import pytest

from rustok_iggy_connector import (
    ConfigError,
    ConnectorClosedError,
    OutgoingMessage,
    PublishBatch,
    RemoteConnector,
    ServerError,
    TopicSpec,
)
from rustok_iggy_connector import _sdk as sdk
from rustok_iggy_connector._sdk import Login, SdkClient, TlsSettings, open_client
from rustok_iggy_connector.wire.commands.system import ClientDetails, ClientList, GetClients, GetMe
from tests.connector.conftest import LocalServer, stats
from tests.faults import FaultProxy
from tests.logs import event_of
from tests.waiting import until

pytestmark = pytest.mark.anyio


async def open_to(server: LocalServer, address: str, *, timeout: float = 5.0) -> SdkClient:
    login = Login(username=server.username, password=server.password)
    return await open_client(address=address, login=login, tls=None, open_timeout=5.0, timeout=timeout)


@pytest.fixture
async def client(local_server: LocalServer) -> AsyncIterator[SdkClient]:
    opened = await open_to(local_server, local_server.address)
    yield opened
    await opened.close()


async def test_closing_ends_a_request_under_way(
    local_server: LocalServer, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sdk, "LOGOUT_TIMEOUT", 0.1)
    client = await open_to(local_server, proxy.address, timeout=30)
    proxy.stall()
    waiting = asyncio.ensure_future(stats(client))
    await asyncio.sleep(0.02)
    await asyncio.wait_for(client.close(), 20)
    with pytest.raises(ConnectorClosedError):
        await asyncio.wait_for(waiting, 20)


class Leaving:
    """Stands for the wheel's client whose connection the server ends at the logout, before a request was answered."""

    def __init__(self) -> None:
        self.under_way: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def send_binary_request(self, _code: int, _body: bytes) -> asyncio.Future[bytes]:
        return self.under_way

    async def logout_user(self) -> None:
        self.under_way.set_exception(RuntimeError("Disconnected"))


async def test_a_request_that_the_logout_cut_off_was_ended_by_the_close() -> None:
    client = SdkClient(Leaving(), address="127.0.0.1:1", timeout=20)  # type: ignore[arg-type]
    waiting = asyncio.ensure_future(stats(client))
    await asyncio.sleep(0)
    await asyncio.wait_for(client.close(), 20)
    with pytest.raises(ConnectorClosedError):
        await asyncio.wait_for(waiting, 20)


async def test_dropping_a_client_closes_its_connection(local_server: LocalServer, client: SdkClient) -> None:
    other = await open_to(local_server, local_server.address)
    details = await other.ask(GetMe(), ClientDetails, subject="itself")
    assert details is not None
    number = details.client.client_id

    async def is_there() -> bool:
        found = await client.ask(GetClients(), ClientList, subject="all clients")
        assert found is not None
        return number in {each.client_id for each in found.clients}

    async def is_gone() -> bool:
        return not await is_there()

    assert await is_there()
    other._give_up()
    await until(is_gone)


async def test_headers_of_every_kind_are_given_as_their_bytes(
    local_server: LocalServer, client: SdkClient, stream_name: str
) -> None:
    """Other programs may write numbers and text into headers; we give what is on the wire."""
    value = apache_iggy.HeaderValue
    headers = {
        "raw": (value.Raw(b"\x00\xff"), b"\x00\xff"),
        "text": (value.String("é"), "é".encode()),
        "yes": (value.Bool(True), b"\x01"),
        "small": (value.Int8(-2), b"\xfe"),
        "int": (value.Int64(-2), (-2).to_bytes(8, "little", signed=True)),
        "large": (value.Int128(-2), (-2).to_bytes(16, "little", signed=True)),
        "short": (value.UnsignedInt16(513), b"\x01\x02"),
        "unsigned": (value.UnsignedInt32(7), b"\x07\x00\x00\x00"),
        "huge": (value.UnsignedInt128(2**100), (2**100).to_bytes(16, "little")),
        "float": (value.Float64(1.5), b"\x00\x00\x00\x00\x00\x00\xf8\x3f"),
    }
    async with RemoteConnector(local_server.config()) as connector:
        await connector.admin.create_stream(stream_name)
        await connector.admin.create_topic(stream=stream_name, spec=TopicSpec(name="t", partitions=1))
        wheel = client._living()
        key = apache_iggy.HeaderKey.String
        message = apache_iggy.SendMessage(b"x", {key(name): kind for name, (kind, _) in headers.items()})
        await wheel.send_messages(stream_name, "t", 0, [message])
        reader = await connector.subscribe(stream=stream_name, topic="t")
        (received,) = await reader.poll(0, offset=0, max_messages=1)
        assert dict(received.headers) == {name: raw for name, (_, raw) in headers.items()}
        await connector.admin.delete_stream(stream_name)


async def test_an_unknown_text_is_an_error_without_status_and_logged_once(
    client: SdkClient, caplog: pytest.LogCaptureFixture
) -> None:
    text = f"Never seen before {uuid.uuid4()}"
    for _ in range(3):
        error = client._error(RuntimeError(text), "get_stats", "the server")
        assert type(error) is ServerError
        assert error.status is None
        assert text in str(error)
    assert [event_of(record) for record in caplog.records] == ["unknown_client_error"]


async def test_a_message_that_the_wheel_refuses_costs_nothing_but_an_error(client: SdkClient) -> None:
    message = OutgoingMessage(id=uuid.uuid4(), payload=b"")
    batch = PublishBatch(stream="s", topic="t", partition_id=0, messages=[message])
    with pytest.raises(ServerError):
        await client.send(batch, subject="s")
    assert client.usable


async def test_an_impossible_tls_name_is_a_configuration_error(local_server: LocalServer) -> None:
    with pytest.raises(ConfigError, match="server_name"):
        await open_client(
            address=local_server.address,
            login=Login(username="u", password="p"),
            tls=TlsSettings(server_name="not a name!", ca_file=None),
            open_timeout=5,
            timeout=5,
        )


def test_a_login_is_never_shown() -> None:
    assert "secret" not in repr(Login(username="secret", password="secret", token="secret"))


@pytest.mark.parametrize("text", ["Invalid TLS domain", "Invalid TLS certificate path", "Invalid TLS certificate"])
def test_what_is_wrong_with_the_settings_of_tls_is_a_damaged_answer_where_there_is_none(text: str) -> None:
    assert isinstance(sdk._cannot_open(text, "a:1", None), ServerError)
    assert isinstance(sdk._cannot_open(text, "a:1", TlsSettings(server_name="a", ca_file="b")), ConfigError)
