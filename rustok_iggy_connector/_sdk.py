"""The only door to the apache-iggy wheel: a Client for it, and its quirks.

- Calls return futures and know no deadline. Each is waited for with ours; one that misses it ends the session, because
  the late reply would be read as the answer to the next request.
- A cancelled future tears the request out of the middle of the connection. So a caller's cancellation leaves the
  future alone, and only a session that is given up cancels what it has under way.
- Reconnecting is switched off. The wheel would come back without its group membership, and polls would stay empty for
  ever; and a session that lost its connection must say so, because the outcome of its last request is not known.
- There is no close(): the connection is open, and pings, while anybody refers to the client. An error refers to the
  frames it came through, so no frame that a request can fail in has the client in a variable.
- After logging out, or a login that failed, the last reference is dropped and the loop runs for LET_GO_PAUSE: the
  wheel's threads hand results to the loop, and ended 1 of 5 short processes with SIGABRT without it.
- After a fork every client of the wheel hangs, also a new one.
- Errors carry a text only (_sdk_texts.py).
"""

from __future__ import annotations

import asyncio
import os
import struct
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import apache_iggy

from rustok_iggy_connector._sdk_texts import (
    CANNOT_CONNECT,
    SESSION_GONE,
    TLS_CA_FILE,
    TLS_CA_PATH,
    TLS_DOMAIN,
    status_of,
)
from rustok_iggy_connector.alarm import Alarm
from rustok_iggy_connector.client import Client, PollRequest
from rustok_iggy_connector.errors import (
    AuthenticationError,
    ConfigError,
    ConnectionLostError,
    ConnectorClosedError,
    ConnectorError,
    RemoteProtocolError,
    RequestTimeoutError,
    RustokIggyError,
    ServerError,
    ServerUnreachableError,
)
from rustok_iggy_connector.logging import get_logger
from rustok_iggy_connector.models import PolledMessages, PublishBatch, ReceivedMessage
from rustok_iggy_connector.refusals import closed_during, incompatible, login_refused, lost_during, refusal
from rustok_iggy_connector.shielded_wait import ShieldedWait
from rustok_iggy_connector.wire.codes import Status
from rustok_iggy_connector.wire.commands import COMMAND_OF_REQUEST, COMMANDS, Message
from rustok_iggy_connector.wire.primitives import ConsumerKind, PollingStrategy, StrategyKind

LET_GO_PAUSE = 0.05
"""Seconds of loop time for the wheel's threads to end; 0 of 40 processes were aborted with it."""
LOGOUT_TIMEOUT = 2.0
"""Seconds for the good-bye of a session that still works; the server drops the session anyway when we hang up."""
HEARTBEAT_INTERVAL = 5.0
"""Seconds. The server drops a silent session after 36."""

_log = get_logger("rustok_iggy_connector")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsSettings:
    """`ca_file` None: the roots built into the wheel."""

    server_name: str
    ca_file: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """A user and password, or a personal access token. Never shown."""

    username: str
    password: str | None = None
    token: str | None = None

    def __repr__(self) -> str:
        return "Login(***)"


class _OneProcess:
    """The process that first used the wheel; in a forked child of it nothing of the wheel works."""

    def __init__(self) -> None:
        self._pid: int | None = None

    def check(self) -> None:
        pid = os.getpid()
        if self._pid is None:
            self._pid = pid
        elif self._pid != pid:
            raise ConnectorClosedError(
                f"this process was forked from process {self._pid}, which already used the Iggy client; it cannot be "
                "used here: fork before the first connect, or start processes with spawn or forkserver"
            )


_process = _OneProcess()
# Texts that were not understood and have been logged: each is logged once a process.
_unknown_texts: set[str] = set()
MAX_UNKNOWN_TEXTS = 100
"""The wheel's whole enumeration has 200; whoever meets half of them in one process has other worries."""


class SdkClient(Client):
    """A session through the wheel. Made by open_client()."""

    def __init__(self, wheel: apache_iggy.IggyClient, *, address: str, timeout: float) -> None:
        self._wheel: apache_iggy.IggyClient | None = wheel
        self._address = address
        self._timeout = timeout
        self._under_way: set[asyncio.Future[Any]] = set()
        self._deadline = Alarm()
        self._closed = False

    @property
    def usable(self) -> bool:
        return self._wheel is not None

    async def request(self, request: Message, *, subject: str) -> Message | None:
        command = COMMAND_OF_REQUEST[type(request)]
        body = request.encode()
        answer = await self._answer(
            lambda: self._living().send_binary_request(int(command), body), command.name.lower(), subject
        )
        spec = COMMANDS[command]
        return None if spec.may_be_empty and not answer else spec.reply.decode(answer)

    async def send(self, batch: PublishBatch, *, subject: str) -> int:
        def start() -> Awaitable[apache_iggy.SendMessagesResponse]:
            message = apache_iggy.SendMessage
            messages = [message(_cheapest(m.payload), _plain(m.headers), m.id.int) for m in batch.messages]
            return self._living().send_messages(batch.stream, batch.topic, batch.partition_id, messages)

        confirmations = (await self._answer(start, "send_messages", subject)).confirmations
        if not confirmations:
            self._give_up()
            raise RemoteProtocolError(f"{self._address} confirmed nothing of a batch to {subject}")
        return confirmations[0].base_offset

    async def poll(self, request: PollRequest, *, subject: str) -> PolledMessages:
        received = await self._answer(
            lambda: self._living().poll_messages(
                request.stream,
                request.topic,
                consumer=(_GROUP if request.consumer.kind is ConsumerKind.GROUP else _SINGLE)(request.consumer.id),
                polling_strategy=_strategy(request.strategy),
                count=request.count,
                auto_commit=False,
                partition_id=request.partition_id,
            ),
            "poll_messages",
            subject,
        )
        found = [ReceivedMessage(m.offset(), m.id(), m.payload(), m.timestamp(), _HeadersOf(m)) for m in received]
        return PolledMessages(found)

    async def close(self) -> None:
        self._closed = True
        wheel, self._wheel = self._wheel, None
        if wheel is not None and os.getpid() == _process._pid:
            good_bye = asyncio.ensure_future(wheel.logout_user())
            self._under_way.add(good_bye)
            del wheel
            await asyncio.wait((good_bye,), timeout=LOGOUT_TIMEOUT)
            self._give_up()
        await asyncio.sleep(LET_GO_PAUSE)

    def _living(self) -> apache_iggy.IggyClient:
        _process.check()
        if self._wheel is not None:
            return self._wheel
        if self._closed:
            raise ConnectorClosedError("the connector was shut down")
        raise ConnectionLostError(f"the session with {self._address} has ended; the request was not sent")

    async def _answer(self, start: Callable[[], Awaitable[_T]], command: str, subject: str) -> _T:
        """Send one request and wait for its answer, at most the session's timeout."""
        try:
            future = asyncio.ensure_future(start())
        except (ValueError, OverflowError) as error:  # a message the wheel refuses to build
            raise self._error(error, command, subject) from error
        self._under_way.add(future)
        waiting = ShieldedWait(future)
        self._deadline.set(future.get_loop().time() + self._timeout, waiting.end)
        try:
            await waiting
        finally:
            self._deadline.stop()
            if future.done():
                self._ended(future)
            else:
                future.add_done_callback(self._ended)
        return self._outcome(future, command, subject)

    def _ended(self, future: asyncio.Future[Any]) -> None:
        self._under_way.discard(future)
        if not future.cancelled():
            future.exception()  # taken note of: nobody may be waiting for it any more

    def _outcome(self, future: asyncio.Future[_T], command: str, subject: str) -> _T:
        if not future.done():
            self._give_up()
            raise RequestTimeoutError(
                f"{self._address} did not answer {command} of {subject} within {self._timeout} s; it may have been "
                "done. The session was dropped; the next call opens another",
                command=command,
                timeout=self._timeout,
            )
        if future.cancelled():
            raise closed_during(command, address=self._address)
        failure = future.exception()
        if failure is None:
            return future.result()
        raise self._error(failure, command, subject) from failure

    def _give_up(self) -> None:
        self._wheel = None
        for future in tuple(self._under_way):
            future.cancel()

    def _error(self, error: BaseException, command: str, subject: str) -> ConnectorError:
        text = str(error)
        status = status_of(text)
        # A session that is logged in becomes unauthenticated only by losing its place on the server.
        if status in SESSION_GONE or status == Status.UNAUTHENTICATED:
            self._give_up()
            if self._closed:
                return closed_during(command, address=self._address)
            return lost_during(command, address=self._address, subject=subject)
        return refusal(status, command=command, subject=subject) if status else _unknown(text, command, subject)


async def open_client(
    *, address: str, login: Login, tls: TlsSettings | None, open_timeout: float, timeout: float
) -> SdkClient:
    """Connect and log in within `open_timeout` seconds; `timeout` is for each request thereafter.

    Raises: ServerUnreachableError, AuthenticationError, IncompatibleServerError, ConfigError (TLS files, address).
    """
    _process.check()
    try:
        wheel = apache_iggy.IggyClient(_settings(address, login, tls))
    except (ValueError, RuntimeError) as error:
        raise ConfigError([f"addresses: {address!r} is not host:port"]) from error
    future = asyncio.ensure_future(wheel.connect())
    is_cancelled = False
    try:
        await asyncio.wait((future,), timeout=open_timeout)
    except asyncio.CancelledError:
        is_cancelled = True
    answered = future.done() and not future.cancelled()
    failure = future.exception() if answered else None
    if answered and failure is None and not is_cancelled:
        return SdkClient(wheel, address=address, timeout=timeout)
    future.cancel()
    # Whoever keeps the error keeps this frame, and with it what would keep the connection open.
    del wheel, future
    await asyncio.sleep(LET_GO_PAUSE)
    if is_cancelled:
        raise asyncio.CancelledError
    if failure is None:
        raise ServerUnreachableError(
            f"{address} takes connections but did not answer a login within {open_timeout:.1f} s: it is stopped, "
            f"overloaded, not an Iggy server, or one of another generation than this client",
            addresses=[address],
        )
    raise _cannot_open(str(failure), address, tls) from failure


def _settings(address: str, login: Login, tls: TlsSettings | None) -> apache_iggy.TcpConfig:
    if login.token is not None:
        auto_login = apache_iggy.AutoLogin.personal_access_token(login.token)
    else:
        auto_login = apache_iggy.AutoLogin.username_password(login.username, login.password or "")
    return apache_iggy.TcpConfig(
        server_address=address,
        auto_login=auto_login,
        reconnection=apache_iggy.TcpReconnectionConfig(enabled=False),
        heartbeat_interval=timedelta(seconds=HEARTBEAT_INTERVAL),
        tls_enabled=tls is not None,
        tls_domain=tls.server_name if tls else None,
        tls_ca_file=tls.ca_file if tls else None,
        tls_validate_certificate=True,
        nodelay=True,
    )


def _cannot_open(text: str, address: str, tls: TlsSettings | None) -> RustokIggyError:
    status = status_of(text)
    if status == CANNOT_CONNECT:
        doubt = ", or TLS was not agreed on (certificate, name, or no TLS there)" if tls else ", or a firewall"
        return ServerUnreachableError(
            f"{address} cannot be connected to: nobody listens, the name is not known{doubt}", addresses=[address]
        )
    if status in SESSION_GONE:
        return ServerUnreachableError(
            f"{address} hung up during the login: it is not an Iggy server, wants TLS, is shutting down, or is of "
            "another generation than this client",
            addresses=[address],
        )
    if tls and status in (TLS_CA_PATH, TLS_CA_FILE):  # without TLS it is a damaged answer
        return ConfigError([f"tls.ca_file: {tls.ca_file} is not a readable file of PEM certificates"])
    if tls and status == TLS_DOMAIN:
        return ConfigError([f"tls.server_name: {tls.server_name!r} cannot stand in a certificate"])
    if status == Status.INCOMPATIBLE_PROTOCOL_VERSION:
        return incompatible(f"{address}: {text}")
    if status is None:
        return _unknown(text, "login", address)
    error = refusal(status, command="login", subject=address)
    return login_refused(address) if isinstance(error, AuthenticationError) else error


def _unknown(text: str, command: str, subject: str) -> ServerError:
    if text not in _unknown_texts and len(_unknown_texts) < MAX_UNKNOWN_TEXTS:
        _unknown_texts.add(text)
        _log.warning("unknown_client_error", text=text, command=command)
    return ServerError(f"{command} of {subject} failed: {text}", command=command)


def _cheapest(payload: bytes) -> str | bytes:
    """As text where it can be: the wheel takes bytes one at a time, 500 of them in 0.9 µs, and text whole, in 0.2."""
    return payload.decode() if payload.isascii() else payload


def _plain(headers: Mapping[str, bytes] | None) -> dict[str, bytes] | None:
    """The wheel takes dicts only, and copies them."""
    return (headers if isinstance(headers, dict) else dict(headers or ())) or None


_SINGLE, _GROUP = apache_iggy.Consumer.Single, apache_iggy.Consumer.Group


def _strategy(strategy: PollingStrategy) -> apache_iggy.PollingStrategy:
    kinds = apache_iggy.PollingStrategy
    return (kinds.Timestamp if strategy.kind is StrategyKind.TIMESTAMP else kinds.Offset)(strategy.value)


class _HeadersOf:
    """Reads the headers of a message when they are asked for: that costs twice a JSON decode."""

    __slots__ = ("_message",)

    def __init__(self, message: apache_iggy.ReceiveMessage) -> None:
        self._message = message

    def __call__(self) -> Mapping[str, bytes]:
        try:
            headers = self._message.user_headers()
        except ValueError as error:
            raise RemoteProtocolError(f"headers of the message at offset {self._message.offset()}: {error}") from error
        return {_name(key): _raw(value) for key, value in (headers or {}).items()}


def _name(key: apache_iggy.HeaderKey) -> str:
    value = getattr(key, "value")  # noqa: B009 - the kinds have it, their common type does not
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


_KIND = apache_iggy.HeaderValue
# Kinds of number that other programs may put into a header -> struct format, little endian as on the wire.
_NUMBER_FORMATS: dict[type[apache_iggy.HeaderValue], str] = {
    _KIND.Bool: "<?",
    _KIND.Int8: "<b",
    _KIND.Int16: "<h",
    _KIND.Int32: "<i",
    _KIND.Int64: "<q",
    _KIND.UnsignedInt8: "<B",
    _KIND.UnsignedInt16: "<H",
    _KIND.UnsignedInt32: "<I",
    _KIND.UnsignedInt64: "<Q",
    _KIND.Float32: "<f",
    _KIND.Float64: "<d",
}
_LARGE_NUMBER_BYTES = 16


def _raw(kind: apache_iggy.HeaderValue) -> bytes:
    """The bytes of the header as they are on the wire."""
    value = getattr(kind, "value")  # noqa: B009 - the kinds have it, their common type does not
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    number_format = _NUMBER_FORMATS.get(type(kind))
    if number_format is not None:
        return struct.pack(number_format, value)
    return int(value).to_bytes(_LARGE_NUMBER_BYTES, "little", signed=isinstance(kind, _KIND.Int128))
