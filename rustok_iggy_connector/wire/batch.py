"""A message batch: what a send carries, a server stores, and a poll gives back, byte for byte the same record.

    header  256 bytes: partition, base offset, base timestamp, origin timestamp, length (u64 each, length counts the
            header too), batch checksum u64 @40, message count u32 @48, zeros
    frame   checksum u64, id 16 bytes, offset delta u32, timestamp delta u32, headers length u32, payload length u32,
            8 zero bytes, payload, headers
    frame checksum = XXH3-64 of the rest of its frame
    batch checksum = XXH3-64 of the five u64 fields, the count, and every frame's checksum

A producer leaves partition, base offset and base timestamp zero; the server stamps them, and needs only the frames'
checksums to do so. A poll that starts or ends inside a batch gives a slice: fewer frames, each as it was, under the
same base, so the offset of a message is base offset + offset delta and a slice's first delta need not be 0.
Timestamps are microseconds since 1970. Source: the protocol's batch module and the recorded session.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Self

from xxhash import xxh3_64_intdigest

from rustok_iggy_connector.errors import LocalProtocolError, RemoteProtocolError

BATCH_HEADER_BYTES = 256
FRAME_HEADER_BYTES = 48
MAX_TIMESTAMP_DELTA = 2**32 - 1
"""A timestamp delta is a u32 of microseconds: one batch spans at most 71.6 minutes."""

_HEADER = struct.Struct("<QQQQQQI204s")
_HASHED_FIELDS = struct.Struct("<QQQQQI")
_PLACE = struct.Struct("<QQQ")
_COUNT = struct.Struct("<48xI")
_CHECKSUM_AT, _COUNT_AT, _COUNT_END = 40, 48, 52
_FRAME = struct.Struct("<QQQIIIIQ")
# What the walk over a batch reads of a frame; the id is skipped because splitting 16 bytes costs more than the rest.
_FRAME_WALK = struct.Struct("<Q16xI4xIIQ")
_FRAME_READ = struct.Struct("<8xQQI4xIIQ")
_HEADER_READ = struct.Struct("<8xQQ8xQ8xI")
_FRAME_AFTER_CHECKSUM = struct.Struct("<16sIIIIQ")
_ZEROS_204 = bytes(204)
_CHECKSUM_BYTES = 8

Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHeader:
    """The first 256 bytes of a batch; see the module's text."""

    partition_id: int = 0
    base_offset: int = 0
    base_timestamp: int = 0
    origin_timestamp: int
    length: int
    checksum: int
    count: int

    def encode(self) -> bytes:
        """256 bytes. Raises LocalProtocolError for a number that does not fit its field."""
        try:
            return _HEADER.pack(
                self.partition_id,
                self.base_offset,
                self.base_timestamp,
                self.origin_timestamp,
                self.length,
                self.checksum,
                self.count,
                _ZEROS_204,
            )
        except struct.error as error:
            raise LocalProtocolError(f"batch header: {error}") from error

    @classmethod
    def decode(cls, data: Buffer) -> Self:
        """The first 256 bytes of `data`, the checksum unproven. Raises RemoteProtocolError."""
        if len(data) < BATCH_HEADER_BYTES:
            raise RemoteProtocolError("batch header is cut short")
        partition, offset, timestamp, origin, length, checksum, count, reserved = _HEADER.unpack_from(data)
        if length < BATCH_HEADER_BYTES:
            raise RemoteProtocolError(f"batch length {length} is smaller than its header")
        if reserved != _ZEROS_204:
            raise RemoteProtocolError("reserved bytes of the batch header are not zero")
        return cls(
            partition_id=partition,
            base_offset=offset,
            base_timestamp=timestamp,
            origin_timestamp=origin,
            length=length,
            checksum=checksum,
            count=count,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewMessage:
    """One message to put into a batch. `headers` is the encoded block (fields.encode_fields) or empty."""

    id: int
    payload: bytes = field(repr=False)
    headers: bytes = field(default=b"", repr=False)
    origin_timestamp: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredMessage:
    """One message of a batch with its deltas resolved. `timestamp` is when the server appended the batch."""

    offset: int
    id: int
    timestamp: int
    origin_timestamp: int
    checksum: int
    payload: bytes = field(repr=False)
    headers: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch whose layout is proven: the frames fill it exactly and their offsets are consecutive.

    `frame_starts` are positions in `data`; `frame_checksums` is the 8-byte checksum of each frame, joined.
    """

    header: BatchHeader
    data: Buffer = field(repr=False)
    frame_starts: tuple[int, ...] = field(repr=False)
    frame_checksums: bytes = field(repr=False)
    first_delta: int = 0

    @classmethod
    def parse(cls, data: Buffer, *, verify: bool = True) -> Self:
        """`data` is exactly one batch; with `verify` every checksum is recomputed. Raises RemoteProtocolError.

        Nothing is copied: the batch refers to `data`.
        """
        header = BatchHeader.decode(data)
        if header.length != len(data):
            raise RemoteProtocolError(f"batch length {header.length} in {len(data)} bytes")
        starts, checksums, first_delta = _walk_frames(memoryview(data), header.count, verify)
        hashed = (data[:_CHECKSUM_AT], data[_COUNT_AT:_COUNT_END], checksums)
        if verify and xxh3_64_intdigest(b"".join(hashed)) != header.checksum:
            raise RemoteProtocolError("batch checksum does not match its frames")
        return cls(header, data, starts, checksums, first_delta)

    @property
    def first_offset(self) -> int:
        """Offset of the first message; an empty batch has none, this is then its base offset."""
        return self.header.base_offset + self.first_delta

    def stamped(self, *, partition_id: int, base_offset: int, base_timestamp: int) -> bytes:
        """The same batch placed in a partition's log, the frames untouched."""
        view = memoryview(self.data)
        try:
            place = _PLACE.pack(partition_id, base_offset, base_timestamp)
        except struct.error as error:
            raise LocalProtocolError(f"batch header: {error}") from error
        head, count = place + view[_PLACE.size : _CHECKSUM_AT], view[_COUNT_AT:_COUNT_END]
        checksum = xxh3_64_intdigest(b"".join((head, count, self.frame_checksums)))
        return b"".join((head, checksum.to_bytes(_CHECKSUM_BYTES, "little"), view[_COUNT_AT:]))

    def sliced(self, *, from_offset: int, max_messages: int) -> bytes:
        """The messages from `from_offset` on, at most `max_messages`, as a batch; b"" when none is left."""
        count = self.header.count
        first = max(from_offset - self.first_offset, 0)
        last = min(first + max_messages, count)
        if first >= last:
            return b""
        if last - first == count:
            return bytes(self.data)
        start = self.frame_starts[first]
        end = self.frame_starts[last] if last < count else self.header.length
        header = replace(self.header, length=BATCH_HEADER_BYTES + end - start, count=last - first)
        sealed = _sealed(header, self.frame_checksums[first * _CHECKSUM_BYTES : last * _CHECKSUM_BYTES])
        return b"".join((sealed.encode(), memoryview(self.data)[start:end]))

    def messages(self) -> Iterator[StoredMessage]:
        """The messages in offset order, each with its own copy of payload and headers."""
        view = memoryview(self.data)
        header = self.header
        for start in self.frame_starts:
            checksum, low, high, delta, elapsed, headers_length, payload_length, _ = _FRAME.unpack_from(view, start)
            payload_start = start + FRAME_HEADER_BYTES
            headers_start = payload_start + payload_length
            yield StoredMessage(
                offset=header.base_offset + delta,
                id=high << 64 | low,
                timestamp=header.base_timestamp,
                origin_timestamp=header.origin_timestamp + elapsed,
                checksum=checksum,
                payload=bytes(view[payload_start:headers_start]),
                headers=bytes(view[headers_start : headers_start + headers_length]),
            )


def build_batch(messages: Iterable[NewMessage]) -> bytes:
    """A batch as a producer sends it: the messages at deltas 0, 1, 2…, the earliest origin timestamp as the batch's.

    Raises LocalProtocolError for no message at all, a number that does not fit its field, or timestamps more than
    MAX_TIMESTAMP_DELTA apart.
    """
    pending = list(messages)
    if not pending:
        raise LocalProtocolError("a batch needs at least one message")
    origin = min(message.origin_timestamp for message in pending)
    frames: list[bytes] = []
    checksums: list[bytes] = []
    for delta, message in enumerate(pending):
        checksum, frame = _encode_frame(message, delta, message.origin_timestamp - origin)
        checksums.append(checksum)
        frames += (checksum, frame)
    length = BATCH_HEADER_BYTES + sum(map(len, frames))
    header = BatchHeader(origin_timestamp=origin, length=length, checksum=0, count=len(pending))
    return b"".join((_sealed(header, b"".join(checksums)).encode(), *frames))


def peek_count(data: Buffer) -> int:
    """How many messages the batch says that it has, nothing proven. Raises RemoteProtocolError."""
    if len(data) < BATCH_HEADER_BYTES:
        raise RemoteProtocolError("batch header is cut short")
    count: int = _COUNT.unpack_from(data)[0]
    return count


def split_batches(data: Buffer, *, verify: bool = True) -> Iterator[Batch]:
    """The batches that follow one another in a poll reply or a stored log. Raises RemoteProtocolError."""
    view = memoryview(data)
    position = 0
    while position < len(view):
        end = position + BatchHeader.decode(view[position:]).length
        yield Batch.parse(view[position:end], verify=verify)
        position = end


def count_messages(data: Buffer) -> int:
    """How many messages batches that follow one another say that they have. Raises RemoteProtocolError."""
    position, end, total = 0, len(data), 0
    while position < end:
        _, _, length, count = _read_header(data, position)
        position += length
        total += count
    return total


def read_contents(data: Buffer) -> Iterator[tuple[int, int, bytes, int, bytes]]:
    """Offset, id, payload, timestamp and headers of each message, of batches that follow one another.

    One pass, and a tenth of what `messages` costs. The layout is proven on the way; checksums are not, since TCP has
    its own. The bytes are copies, so that a message that is kept does not keep its batch. Raises RemoteProtocolError.
    """
    data, batch_end = bytes(data), 0  # cutting bytes is cheaper than cutting a view and copying the cut
    unpack = _FRAME_READ.unpack_from
    while batch_end < len(data):
        position = batch_end + BATCH_HEADER_BYTES
        base, timestamp, length, count = _read_header(data, batch_end)
        batch_end += length
        due = None
        for _ in range(count):
            start = position + FRAME_HEADER_BYTES
            if start > batch_end:
                raise RemoteProtocolError("message frame is cut short")
            low, high, delta, headers_length, payload_length, reserved = unpack(data, position)
            headers_start = start + payload_length
            position = headers_start + headers_length
            if reserved or position > batch_end or (delta != due and due is not None):
                raise RemoteProtocolError("a frame is cut short, has reserved bytes, or is out of the batch's order")
            due = delta + 1
            yield base + delta, high << 64 | low, data[start:headers_start], timestamp, data[headers_start:position]
        if position != batch_end:
            raise RemoteProtocolError("message frames do not fill the batch")


def _read_header(data: Buffer, position: int) -> tuple[int, int, int, int]:
    """Base offset, base timestamp, length and count of the batch at `position`, which does not end behind the data."""
    if len(data) - position < BATCH_HEADER_BYTES:
        raise RemoteProtocolError("batch header is cut short")
    base, timestamp, length, count = _HEADER_READ.unpack_from(data, position)
    if not BATCH_HEADER_BYTES <= length <= len(data) - position:
        raise RemoteProtocolError(f"batch length {length} in {len(data) - position} bytes")
    return base, timestamp, length, count


def _encode_frame(message: NewMessage, offset_delta: int, timestamp_delta: int) -> tuple[bytes, bytes]:
    """The frame's checksum and what it covers."""
    try:
        header = _FRAME_AFTER_CHECKSUM.pack(
            message.id.to_bytes(16, "little"),
            offset_delta,
            timestamp_delta,
            len(message.headers),
            len(message.payload),
            0,
        )
    except (struct.error, OverflowError) as error:
        raise LocalProtocolError(f"message {offset_delta} of the batch: {error}") from error
    covered = b"".join((header, message.payload, message.headers))
    return xxh3_64_intdigest(covered).to_bytes(_CHECKSUM_BYTES, "little"), covered


def _sealed(header: BatchHeader, frame_checksums: bytes) -> BatchHeader:
    return replace(header, checksum=_batch_checksum(header, frame_checksums))


def _batch_checksum(header: BatchHeader, frame_checksums: bytes) -> int:
    try:
        fields = _HASHED_FIELDS.pack(
            header.partition_id,
            header.base_offset,
            header.base_timestamp,
            header.origin_timestamp,
            header.length,
            header.count,
        )
    except struct.error as error:
        raise LocalProtocolError(f"batch header: {error}") from error
    return xxh3_64_intdigest(fields + frame_checksums)


def _walk_frames(view: memoryview, count: int, verify: bool) -> tuple[tuple[int, ...], bytes, int]:
    """Where each frame starts, the frames' checksums joined, and the first offset delta.

    The one loop that runs per message on the server's send path: about 1 µs each with the checksums.
    """
    end = len(view)
    if count * FRAME_HEADER_BYTES > end - BATCH_HEADER_BYTES:
        raise RemoteProtocolError(f"a batch of {end} bytes cannot hold {count} messages")
    starts: list[int] = []
    checksums: list[int] = []
    unpack, digest = _FRAME_WALK.unpack_from, xxh3_64_intdigest
    position = BATCH_HEADER_BYTES
    first_delta = expected_delta = _FRAME.unpack_from(view, position)[3] if count else 0
    for _ in range(count):
        if position + FRAME_HEADER_BYTES > end:
            raise RemoteProtocolError("message frame is cut short")
        checksum, delta, headers_length, payload_length, reserved = unpack(view, position)
        next_position = position + FRAME_HEADER_BYTES + headers_length + payload_length
        if delta != expected_delta or reserved:
            raise RemoteProtocolError("offsets of a batch are not consecutive, or reserved bytes of a frame not zero")
        if verify and digest(view[position + _CHECKSUM_BYTES : next_position]) != checksum:
            raise RemoteProtocolError("message checksum does not match its frame")
        starts.append(position)
        checksums.append(checksum)
        position = next_position
        expected_delta += 1
    if position != end:
        raise RemoteProtocolError("message frames do not fill the batch")
    return tuple(starts), struct.pack(f"<{count}Q", *checksums), first_delta
