"""One login is asked for; everything but a proper answer is a typed error that names the address."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from rustok_iggy_connector.data_directory import Credentials
from rustok_iggy_connector.errors import AuthenticationError, IncompatibleServerError, ServerUnreachableError
from rustok_iggy_connector.probe import log_in
from rustok_iggy_connector.wire.codes import PROTOCOL_VERSION, Command, EvictionReason
from rustok_iggy_connector.wire.commands.session import Login, LoginReply
from rustok_iggy_connector.wire.connection import (
    RequestFrame,
    ServerConnection,
    encode_eviction,
    encode_reply,
    encode_success,
)
from tests.faults import some

pytestmark = pytest.mark.anyio

CREDENTIALS = Credentials(username="rustok", password="correct horse")
Answer = Callable[[RequestFrame], bytes]


@asynccontextmanager
async def stranger(says: bytes) -> AsyncIterator[str]:
    """Something that is not Iggy: it says its piece and hangs up."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(says)
        writer.close()

    async with listening(talk) as address:
        yield address


@asynccontextmanager
async def iggy(answer: Answer) -> AsyncIterator[str]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = ServerConnection()
        while not isinstance(frame := connection.next_frame(), RequestFrame):
            connection.receive_data(await some(reader))
        writer.write(answer(frame))
        writer.close()

    async with listening(talk) as address:
        yield address


@asynccontextmanager
async def listening(
    talk: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[str]:
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        yield "{}:{}".format(*server.sockets[0].getsockname())


async def test_a_login_tells_the_servers_version() -> None:
    def answer(frame: RequestFrame) -> bytes:
        login = Login.decode(frame.body)
        assert (login.username, login.password) == (CREDENTIALS.username, CREDENTIALS.password)
        reply = LoginReply(user_id=0, session=1, protocol_version=PROTOCOL_VERSION, server_version="0.9.0")
        return b"".join(map(bytes, encode_success(frame.header, Command.LOGIN, reply)))

    async with iggy(answer) as address:
        assert await log_in(address, CREDENTIALS) == "0.9.0"


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        (EvictionReason.INVALID_CREDENTIALS, AuthenticationError),
        (EvictionReason.USER_INACTIVE, AuthenticationError),
        (EvictionReason.INCOMPATIBLE_PROTOCOL, IncompatibleServerError),
        (EvictionReason.STALE_CLIENT, ServerUnreachableError),
    ],
)
async def test_an_eviction_is_told_by_its_reason(reason: EvictionReason, error: type[Exception]) -> None:
    async with iggy(lambda frame: encode_eviction(frame.header, reason)) as address:
        with pytest.raises(error, match=address):
            await log_in(address, CREDENTIALS)


async def test_a_refusal_names_its_status() -> None:
    async with iggy(lambda frame: b"".join(map(bytes, encode_reply(frame.header, status=42)))) as address:
        with pytest.raises(AuthenticationError, match="status 42"):
            await log_in(address, CREDENTIALS)


@pytest.mark.parametrize(
    "says", [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n" + b"x" * 500, b"\xff" * 300]
)
async def test_a_stranger_is_not_taken_for_a_server(says: bytes) -> None:
    async with stranger(says) as address:
        with pytest.raises(ServerUnreachableError, match=address):
            await log_in(address, CREDENTIALS)


async def test_a_closed_port_is_unreachable() -> None:
    async with stranger(b"") as address:
        pass
    with pytest.raises(ServerUnreachableError, match="cannot be connected to") as raised:
        await log_in(address, CREDENTIALS)
    assert raised.value.addresses == (address,)
