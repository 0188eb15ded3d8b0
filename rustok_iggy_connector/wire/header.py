"""The 256-byte headers that start every frame: request, reply, eviction. Little endian throughout.

Bytes 0–127 are the same in all three: two checksums that clients and servers leave zero, the cluster id, the total
frame size @48 (header included), the view, the release, the frame kind @60, the replica, then zeros.

    request   client @128  request checksum @144  timestamp @160  request number @168  operation @176
              session @184  user @192  command code @196 (NOT_REPLICATED only)
    reply     request checksum @128  context @144  client @160  op @176  commit @184  timestamp @192
              request number @200  operation @208  status @216
    eviction  client @128  accepted protocol versions, highest @144 and lowest @148  reason @255

What the layout reserves must be zero: a bit that nobody owns is a corrupted frame.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Self

from rustok_iggy_connector.errors import LocalProtocolError, RemoteProtocolError
from rustok_iggy_connector.wire.codes import EvictionReason, FrameKind, Operation

HEADER_BYTES = 256

# checksum, body checksum, cluster, size, view, release, kind, replica, 66 reserved bytes
_PREFIX = "<16s16s16sIIIBB66s"
_REQUEST = struct.Struct(_PREFIX + "16s16sQQB7sQII56s")
_REPLY = struct.Struct(_PREFIX + "16s16s16sQQQQB7sI36s")
_EVICTION = struct.Struct(_PREFIX + "16sII103sB")
_SIZE_AND_KIND = struct.Struct("<48xI8xB")

_ZEROS_7, _ZEROS_16, _ZEROS_36, _ZEROS_56, _ZEROS_66, _ZEROS_103 = (bytes(n) for n in (7, 16, 36, 56, 66, 103))
_OPERATIONS = {int(operation): operation for operation in Operation}
_REASONS = {int(reason): reason for reason in EvictionReason}

Buffer = bytes | bytearray | memoryview


def peek_size_and_kind(data: Buffer) -> tuple[int, int]:
    """Total frame size and frame kind; at least 61 bytes of the header must be there."""
    size, kind = _SIZE_AND_KIND.unpack_from(data)
    return size, kind


def _u128(data: bytes) -> int:
    return 0 if data == _ZEROS_16 else int.from_bytes(data, "little")


def _bytes16(value: int) -> bytes:
    return value.to_bytes(16, "little") if value else _ZEROS_16


def _require(condition: bool, problem: str) -> None:
    if not condition:
        raise RemoteProtocolError(problem)


def _check_prefix(size: int, kind: int, expected: FrameKind, reserved: bytes) -> None:
    if kind != expected:
        raise RemoteProtocolError(f"frame kind {kind} where {expected:d} ({expected.name.lower()}) was expected")
    if size < HEADER_BYTES:
        raise RemoteProtocolError(f"frame size {size} is smaller than its header")
    _require(reserved == _ZEROS_66, "reserved bytes of the frame header are not zero")


def _known_operation(number: int) -> Operation:
    operation = _OPERATIONS.get(number)
    if operation is None:
        raise RemoteProtocolError(f"unknown operation {number}")
    return operation


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHeader:
    """What a client says before the body.

    `client` is the 128-bit id it made up for its session; `request` counts its replicated requests (others repeat the
    next number to come); `session` is what the login reply gave, 0 before; `request_checksum` is the XXH3-64 of the
    body of requests on metadata, 0 for messages, offsets and reads; `code` names a NOT_REPLICATED command.
    """

    size: int
    client: int
    operation: Operation
    request: int = 0
    session: int = 0
    code: int = 0
    request_checksum: int = 0
    timestamp: int = 0
    user: int = 0
    cluster: int = 0
    view: int = 0
    release: int = 0
    replica: int = 0
    checksum: int = 0
    checksum_body: int = 0

    def encode(self) -> bytes:
        """256 bytes. Raises LocalProtocolError for a number that does not fit its field."""
        try:
            return _REQUEST.pack(
                *(_bytes16(self.checksum), _bytes16(self.checksum_body), _bytes16(self.cluster)),
                *(self.size, self.view, self.release, FrameKind.REQUEST, self.replica, _ZEROS_66),
                *(_bytes16(self.client), _bytes16(self.request_checksum), self.timestamp, self.request),
                *(self.operation, _ZEROS_7, self.session, self.user, self.code, _ZEROS_56),
            )
        except (struct.error, OverflowError) as error:
            raise LocalProtocolError(f"request header: {error}") from error

    @classmethod
    def decode(cls, data: Buffer) -> Self:
        """The first 256 bytes of `data`. Raises RemoteProtocolError."""
        _require(len(data) >= HEADER_BYTES, "request header is cut short")
        # fmt: off
        (checksum, checksum_body, cluster, size, view, release, kind, replica, reserved, client, request_checksum,
         timestamp, request, operation, padding, session, user, code, tail) = _REQUEST.unpack_from(data)
        # fmt: on
        _check_prefix(size, kind, FrameKind.REQUEST, reserved)
        _require(padding == _ZEROS_7 and tail == _ZEROS_56, "reserved bytes of the request header are not zero")
        _require(client != _ZEROS_16, "request without a client id")
        known = _known_operation(operation)
        _require(code == 0 or known is Operation.NOT_REPLICATED, "command code beside an operation of its own")
        return cls(
            size=size,
            client=_u128(client),
            operation=known,
            request=request,
            session=session,
            code=code,
            request_checksum=_u128(request_checksum),
            timestamp=timestamp,
            user=user,
            cluster=_u128(cluster),
            view=view,
            release=release,
            replica=replica,
            checksum=_u128(checksum),
            checksum_body=_u128(checksum_body),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyHeader:
    """What a server says before the body.

    `status` other than 0 is a refusal before anything was done, and the body is then empty. `op` and `commit` are
    positions in the server's log, `timestamp` its commit time in microseconds (0 for reads). Replies to messages and
    offsets, and denials, carry client 1 (`client`), others repeat the request's; `request` always does.
    """

    size: int
    client: int
    operation: Operation
    request: int = 0
    status: int = 0
    op: int = 0
    commit: int = 0
    timestamp: int = 0
    request_checksum: int = 0
    context: int = 0
    cluster: int = 0
    view: int = 0
    release: int = 0
    replica: int = 0
    checksum: int = 0
    checksum_body: int = 0

    def encode(self) -> bytes:
        """256 bytes. Raises LocalProtocolError for a number that does not fit its field."""
        try:
            return _REPLY.pack(
                *(_bytes16(self.checksum), _bytes16(self.checksum_body), _bytes16(self.cluster)),
                *(self.size, self.view, self.release, FrameKind.REPLY, self.replica, _ZEROS_66),
                *(_bytes16(self.request_checksum), _bytes16(self.context), _bytes16(self.client)),
                *(self.op, self.commit, self.timestamp, self.request),
                *(self.operation, _ZEROS_7, self.status, _ZEROS_36),
            )
        except (struct.error, OverflowError) as error:
            raise LocalProtocolError(f"reply header: {error}") from error

    @classmethod
    def decode(cls, data: Buffer) -> Self:
        """The first 256 bytes of `data`. Raises RemoteProtocolError."""
        _require(len(data) >= HEADER_BYTES, "reply header is cut short")
        # fmt: off
        (checksum, checksum_body, cluster, size, view, release, kind, replica, reserved, request_checksum, context,
         client, op, commit, timestamp, request, operation, padding, status, tail) = _REPLY.unpack_from(data)
        # fmt: on
        _check_prefix(size, kind, FrameKind.REPLY, reserved)
        _require(padding == _ZEROS_7 and tail == _ZEROS_36, "reserved bytes of the reply header are not zero")
        return cls(
            size=size,
            client=_u128(client),
            operation=_known_operation(operation),
            request=request,
            status=status,
            op=op,
            commit=commit,
            timestamp=timestamp,
            request_checksum=_u128(request_checksum),
            context=_u128(context),
            cluster=_u128(cluster),
            view=view,
            release=release,
            replica=replica,
            checksum=_u128(checksum),
            checksum_body=_u128(checksum_body),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictionHeader:
    """The server ends the session; the whole frame is this header.

    `protocol_highest` and `protocol_lowest` (packed, codes.py) are set for INCOMPATIBLE_PROTOCOL only.
    """

    client: int
    reason: EvictionReason
    protocol_highest: int = 0
    protocol_lowest: int = 0
    cluster: int = 0
    view: int = 0
    release: int = 0
    replica: int = 0
    checksum: int = 0
    checksum_body: int = 0

    def encode(self) -> bytes:
        """256 bytes. Raises LocalProtocolError for a number that does not fit its field."""
        try:
            return _EVICTION.pack(
                *(_bytes16(self.checksum), _bytes16(self.checksum_body), _bytes16(self.cluster)),
                *(HEADER_BYTES, self.view, self.release, FrameKind.EVICTION, self.replica, _ZEROS_66),
                *(_bytes16(self.client), self.protocol_highest, self.protocol_lowest, _ZEROS_103, self.reason),
            )
        except (struct.error, OverflowError) as error:
            raise LocalProtocolError(f"eviction header: {error}") from error

    @classmethod
    def decode(cls, data: Buffer) -> Self:
        """The first 256 bytes of `data`. Raises RemoteProtocolError."""
        _require(len(data) >= HEADER_BYTES, "eviction header is cut short")
        # fmt: off
        (checksum, checksum_body, cluster, size, view, release, kind, replica, reserved, client, protocol_highest,
         protocol_lowest, middle, reason) = _EVICTION.unpack_from(data)
        # fmt: on
        _check_prefix(size, kind, FrameKind.EVICTION, reserved)
        _require(size == HEADER_BYTES, "eviction frame with a body")
        _require(middle == _ZEROS_103, "reserved bytes of the eviction header are not zero")
        known = _REASONS.get(reason)
        if known is None:
            raise RemoteProtocolError(f"unknown eviction reason {reason}")
        return cls(
            client=_u128(client),
            reason=known,
            protocol_highest=protocol_highest,
            protocol_lowest=protocol_lowest,
            cluster=_u128(cluster),
            view=view,
            release=release,
            replica=replica,
            checksum=_u128(checksum),
            checksum_body=_u128(checksum_body),
        )
