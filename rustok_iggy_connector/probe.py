"""Asks a server for one login: the only sign of readiness. A port that listens may belong to a server that still
starts, that hangs, or to another program altogether.

Speaks the protocol itself, over a socket of its own: the client library brings threads and reconnects, for which a
question of one request has no use.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets

from rustok_iggy_connector.data_directory import Credentials
from rustok_iggy_connector.errors import (
    AuthenticationError,
    IncompatibleServerError,
    RemoteProtocolError,
    ServerUnreachableError,
)
from rustok_iggy_connector.wire.codec import Refusal, decode_reply
from rustok_iggy_connector.wire.codes import PROTOCOL_VERSION, Command, EvictionReason
from rustok_iggy_connector.wire.commands.session import Login, LoginReply
from rustok_iggy_connector.wire.connection import NEED_DATA, ClientConnection, EvictionFrame, ReplyFrame

READ_BYTES = 4096
"""A login's reply has about 300 bytes."""
MAX_REPLY_BYTES = 64 << 10
"""Far above any login's reply, far below what a stranger could send to hurt."""

REFUSALS = {EvictionReason.INVALID_CREDENTIALS, EvictionReason.USER_INACTIVE}


async def log_in(address: str, credentials: Credentials) -> str:
    """Log in at `host:port` once and hang up; the server's version. Has no deadline: the caller sets one.

    Raises: ServerUnreachableError (nobody there, or not an Iggy server), AuthenticationError, IncompatibleServerError.
    """
    host, _, port = address.rpartition(":")
    try:
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
    except OSError as error:
        raise ServerUnreachableError(
            f"{address} cannot be connected to: {error.strerror or error}", addresses=[address]
        ) from error
    try:
        return await _ask(address, credentials, reader, writer)
    except (OSError, RemoteProtocolError) as error:
        raise ServerUnreachableError(f"{address} did not answer as an Iggy server does", addresses=[address]) from error
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _ask(
    address: str, credentials: Credentials, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> str:
    connection = ClientConnection(client=secrets.randbits(127) | 1, max_reply_bytes=MAX_REPLY_BYTES)
    login = Login(
        protocol_version=PROTOCOL_VERSION,
        sdk_name="rustok-iggy",
        sdk_version="0.9.0",
        username=credentials.username,
        password=credentials.password,
    )
    writer.write(connection.send(login))
    while (frame := connection.next_frame()) is NEED_DATA:
        data = await reader.read(READ_BYTES)
        if data:
            connection.receive_data(data)
        else:
            connection.receive_eof()
    if isinstance(frame, EvictionFrame):
        raise _refused(address, frame.header.reason)
    if not isinstance(frame, ReplyFrame):
        raise ServerUnreachableError(f"{address} hung up instead of answering", addresses=[address])
    reply = decode_reply(Command.LOGIN, frame.header, frame.body)
    if isinstance(reply, LoginReply):
        return reply.server_version
    status = reply.status if isinstance(reply, Refusal) else None
    raise AuthenticationError(f"{address} refused the login (status {status})")


def _refused(address: str, reason: int) -> AuthenticationError | IncompatibleServerError | ServerUnreachableError:
    if reason in REFUSALS:
        return AuthenticationError(f"{address} refused the user or the password of this data directory")
    if reason == EvictionReason.INCOMPATIBLE_PROTOCOL:
        return IncompatibleServerError(f"{address} is a server of another generation than 0.9", client_version="0.9")
    return ServerUnreachableError(f"{address} ended the session (reason {reason})", addresses=[address])
