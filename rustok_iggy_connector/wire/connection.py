"""Both ends of a connection, without the connection: bytes go in, frames come out, and frames become bytes.

    server = ServerConnection()
    server.receive_data(chunk)
    while isinstance(frame := server.next_frame(), RequestFrame): ...

`next_frame` says NEED_DATA when the bytes so far end inside a frame and CLOSED after `receive_eof`. A header is checked
as soon as it is there, its size first, before room is made for the body. After an error a connection gives the same
error again: what follows a broken frame cannot be trusted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Generic, Literal, TypeVar

from xxhash import xxh3_64_intdigest

from rustok_iggy_connector.errors import LocalProtocolError, RemoteProtocolError
from rustok_iggy_connector.wire.codec import encode_reply_body
from rustok_iggy_connector.wire.codes import (
    COMMITTED_AS,
    Command,
    EvictionReason,
    FrameKind,
    Operation,
    operation_of,
)
from rustok_iggy_connector.wire.commands import COMMAND_OF_REQUEST, Message
from rustok_iggy_connector.wire.header import (
    HEADER_BYTES,
    Buffer,
    EvictionHeader,
    ReplyHeader,
    RequestHeader,
    peek_size_and_kind,
)

MAX_REQUEST_BYTES = 64 * 1024 * 1024
"""What iggy-server takes as one frame by default, so the largest a client may send."""
MAX_REPLY_BYTES = 512 * 1024 * 1024
"""A poll is bounded by its count only; 1000 messages came as 184 MB from a real server. Twice that, and some."""


class Signal(Enum):
    """Why there is no frame."""

    NEED_DATA = "need data"
    CLOSED = "closed"


NEED_DATA: Final = Signal.NEED_DATA
CLOSED: Final = Signal.CLOSED
NoFrame = Literal[Signal.NEED_DATA, Signal.CLOSED]


@dataclass(frozen=True, slots=True)
class RequestFrame:
    header: RequestHeader
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class ReplyFrame:
    header: ReplyHeader
    body: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class EvictionFrame:
    header: EvictionHeader


_Header = TypeVar("_Header")


class _Connection(Generic[_Header]):
    """What both ends share: a byte stream cut into headers and bodies, whatever pieces it arrives in.

    Bytes are copied twice: in, and out as one body. A bytearray gives up its front without moving the rest.
    """

    __slots__ = ("_data", "_decode_header", "_eof", "_error", "_header", "_limit", "_size")

    def __init__(self, limit: int, decode_header: Callable[[bytes], _Header]) -> None:
        self._data = bytearray()
        self._limit = limit
        self._decode_header = decode_header
        self._header: _Header | None = None
        self._size = HEADER_BYTES
        self._eof = False
        self._error: str | None = None

    @property
    def buffered_bytes(self) -> int:
        """Bytes received and not yet taken as frames; stop reading from a peer that is far ahead."""
        return len(self._data)

    @property
    def pending_frame_bytes(self) -> int:
        """Size of the frame of which the header has come and the rest has not; 0 when there is none."""
        return 0 if self._header is None else self._size

    def receive_data(self, data: Buffer) -> None:
        """Bytes as they came. Raises LocalProtocolError after `receive_eof`."""
        if self._eof:
            raise LocalProtocolError("data after the end of the stream")
        if self._error is None:
            self._data += data

    def receive_eof(self) -> None:
        """The peer will send no more."""
        self._eof = True

    def _next_parts(self) -> tuple[_Header, bytes] | NoFrame:
        """Header and body of the next frame. Raises RemoteProtocolError, and from then on the same again."""
        if self._error is not None:
            raise RemoteProtocolError(self._error)
        try:
            return self._cut()
        except RemoteProtocolError as error:
            self._error = str(error)
            self._data.clear()
            raise

    def _cut(self) -> tuple[_Header, bytes] | NoFrame:
        if self._header is None and len(self._data) >= HEADER_BYTES:
            self._size = self._checked_size()
            self._header = self._decode_header(bytes(self._data[:HEADER_BYTES]))
        if self._header is None or len(self._data) < self._size:
            return self._no_frame()
        with memoryview(self._data) as view:
            parts = self._header, bytes(view[HEADER_BYTES : self._size])
        del self._data[: self._size]
        self._header = None
        return parts

    def _checked_size(self) -> int:
        size, _ = peek_size_and_kind(self._data)
        if not HEADER_BYTES <= size <= self._limit:
            raise RemoteProtocolError(f"frame of {size} bytes where {HEADER_BYTES} to {self._limit} are allowed")
        return size

    def _no_frame(self) -> NoFrame:
        if not self._eof:
            return NEED_DATA
        if self._data:
            raise RemoteProtocolError("the stream ended inside a frame")
        return CLOSED


class ServerConnection(_Connection[RequestHeader]):
    """The server's end: requests in, replies and evictions out."""

    __slots__ = ()

    def __init__(self, *, max_request_bytes: int = MAX_REQUEST_BYTES) -> None:
        super().__init__(max_request_bytes, RequestHeader.decode)

    def next_frame(self) -> RequestFrame | NoFrame:
        """The next whole request, its body not decoded. Raises RemoteProtocolError."""
        parts = self._next_parts()
        return parts if isinstance(parts, Signal) else RequestFrame(*parts)


def _decode_answer(data: bytes) -> ReplyHeader | EvictionHeader:
    if peek_size_and_kind(data)[1] == FrameKind.EVICTION:
        return EvictionHeader.decode(data)
    return ReplyHeader.decode(data)


class ClientConnection(_Connection[ReplyHeader | EvictionHeader]):
    """The client's end: numbered requests out, replies and evictions in.

    `client` is the session's id, 128 bits and not 0; the caller makes it up. Replies come in the order of the
    requests. After a login reply, `begin_session` puts its session number into every later header. A client that comes
    back with its old id goes on counting requests: `first_request` is then the last connection's `next_request`.
    """

    __slots__ = ("_client", "_max_request_bytes", "_next_request", "_session")

    def __init__(
        self,
        *,
        client: int,
        first_request: int = 1,
        max_reply_bytes: int = MAX_REPLY_BYTES,
        max_request_bytes: int = MAX_REQUEST_BYTES,
    ) -> None:
        if not client:
            raise LocalProtocolError("a client id of 0")
        super().__init__(max_reply_bytes, _decode_answer)
        self._client = client
        self._max_request_bytes = max_request_bytes
        self._session = 0
        self._next_request = first_request

    @property
    def next_request(self) -> int:
        """The number of the next replicated request."""
        return self._next_request

    def begin_session(self, session: int) -> None:
        self._session = session

    def next_frame(self) -> ReplyFrame | EvictionFrame | NoFrame:
        """The next whole frame, its body not decoded. Raises RemoteProtocolError."""
        parts = self._next_parts()
        if isinstance(parts, Signal):
            return parts
        header, body = parts
        return EvictionFrame(header) if isinstance(header, EvictionHeader) else ReplyFrame(header, body)

    def send(self, request: Message) -> bytes:
        """The frame of this request, one of COMMANDS. Raises LocalProtocolError."""
        command = COMMAND_OF_REQUEST.get(type(request))
        if command is None:
            raise LocalProtocolError(f"{type(request).__name__} is not a request")
        return self.send_raw(operation_of(command), request.encode(), code=command)

    def send_raw(self, operation: Operation, body: bytes, *, code: int = 0) -> bytes:
        """The frame of any body; `code` is used for NOT_REPLICATED only."""
        replicated = operation is not Operation.NOT_REPLICATED
        header = RequestHeader(
            size=HEADER_BYTES + len(body),
            client=self._client,
            operation=operation,
            request=0 if operation is Operation.REGISTER else self._next_request,
            session=0 if operation is Operation.REGISTER else self._session,
            code=0 if replicated else code,
            request_checksum=xxh3_64_intdigest(body) if operation in _STAMPED else 0,
        )
        if header.size > self._max_request_bytes:
            raise LocalProtocolError(f"a request of {header.size} bytes where {self._max_request_bytes} are allowed")
        if replicated and operation is not Operation.REGISTER:
            self._next_request += 1
        return header.encode() + body


_STAMPED = frozenset(Operation) - {
    Operation.NOT_REPLICATED,
    Operation.SEND_MESSAGES,
    Operation.STORE_OFFSET,
    Operation.DELETE_OFFSET,
}
"""Requests whose header carries the XXH3-64 of the body: those that a server remembers to answer twice alike."""


def encode_reply(
    request: RequestHeader,
    *parts: Buffer,
    status: int = 0,
    op: int = 0,
    commit: int = 0,
    timestamp: int = 0,
) -> list[Buffer]:
    """A reply to `request` as buffers to write one after the other, the body's parts not copied.

    With a `status` it is a denial: no parts, and the request's own operation. Raises LocalProtocolError.
    """
    if status and any(len(part) for part in parts):
        raise LocalProtocolError("a denial with a body")
    operation = request.operation if status else COMMITTED_AS.get(request.operation, request.operation)
    header = ReplyHeader(
        size=HEADER_BYTES + sum(map(len, parts)),
        client=request.client,
        operation=operation,
        request=request.request,
        request_checksum=request.request_checksum,
        status=status,
        op=op,
        commit=commit,
        timestamp=timestamp,
    )
    return [header.encode(), *parts]


def encode_success(
    request: RequestHeader, command: Command, reply: Message | None, *, op: int = 0, commit: int = 0, timestamp: int = 0
) -> list[Buffer]:
    """A reply of this command with its result section where it has one; None is absence."""
    body = encode_reply_body(command, reply)
    return encode_reply(request, body, op=op, commit=commit, timestamp=timestamp)


def encode_eviction(request: RequestHeader, reason: EvictionReason, *, lowest: int = 0, highest: int = 0) -> bytes:
    """The frame that ends a session; the protocol versions are for INCOMPATIBLE_PROTOCOL."""
    return EvictionHeader(
        client=request.client, reason=reason, protocol_lowest=lowest, protocol_highest=highest
    ).encode()
