"""A record as a message of the `dlq` topic, and back.

    headers  rk-kind, rk-group, rk-tenant, rk-event   text, at most 255 bytes: enough to filter without decoding
    payload  u32 length, metadata (JSON, see records.py), then the body up to the end
    body     letter       u32 length, headers of the original message, then its payload byte for byte
             checkpoint   the folded journal (JSON, see snapshot.py)
             all others   none
    headers of the original message, one after the other: u8 length, name, u8 length, value

Integers are little endian. Whatever bytes come in: reading them raises DeadLetterError and nothing else, and the error
never quotes them.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Mapping
from typing import get_args
from uuid import UUID

import msgspec
from msgspec import Struct

from rustok_iggy.dead_letters.records import AnyRecord, Checkpoint, Failure, Letter, Request, Settlement
from rustok_iggy.errors import DeadLetterError
from rustok_iggy_connector import MAX_HEADERS_BYTES, MAX_PAYLOAD_BYTES

MAX_METADATA_BYTES = 64 * 1024
"""A record's facts. Stacks and messages are cut to fit: nobody reads more of them, and every fold reads all of it."""
MAX_MESSAGE_CHARACTERS = 8 * 1024
"""An error's message, so that one that quotes a whole request leaves room for the stack."""
CUT_MARK = "[cut] "

KIND_HEADER = "rk-kind"
GROUP_HEADER = "rk-group"
TENANT_HEADER = "rk-tenant"
EVENT_HEADER = "rk-event"
MAX_HEADER_BYTES = 255
"""The server's limit for a header's name and for its value."""

_LENGTH = struct.Struct("<I")
_KINDS: dict[type, str] = {each: str(each.__struct_config__.tag) for each in get_args(AnyRecord)}
_DECODER: msgspec.json.Decoder[AnyRecord] = msgspec.json.Decoder(AnyRecord)
# What msgspec raises for bytes that are not JSON of the wanted shape; deep nesting ends in RecursionError.
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
# A number above 64 bits, and text that is not UTF-8.
UNWRITABLE = (msgspec.MsgspecError, OverflowError, UnicodeEncodeError)


class JournalMessage(Struct, frozen=True, kw_only=True, gc=False):
    """A record ready to be published; `payload` and `headers` as the connector takes them.

    `record` is what reading it will give: of what was too long, what is left.
    """

    headers: Mapping[str, bytes]
    payload: bytes
    record: AnyRecord

    def __repr__(self) -> str:
        return f"JournalMessage({self.record!r}, {len(self.payload)} bytes)"


class Original(Struct, frozen=True, kw_only=True, gc=False):
    """The message a letter keeps: headers and payload, byte for byte."""

    headers: Mapping[str, bytes]
    payload: bytes

    def __repr__(self) -> str:
        return f"Original({len(self.headers)} headers, {len(self.payload)} bytes)"


class Opened(Struct, frozen=True, kw_only=True, gc=False):
    """A record as it was read, with its body still as bytes. `stored_at`: by the server, µs since 1970 UTC."""

    record: AnyRecord
    body: bytes
    stored_at: int = 0

    def __repr__(self) -> str:
        return f"Opened({self.record!r}, {len(self.body)} bytes behind it)"


def encode_record(record: AnyRecord, *, body: bytes = b"") -> JournalMessage:
    """Return the message of a record; `body` from encode_original for a letter, encode_snapshot for a checkpoint.

    A stack or message too long for the metadata is cut. Raises DeadLetterError when the whole is larger than the
    server takes, or a field breaks the rules of records.py.
    """
    metadata = _fitted(record)
    payload = b"".join((_LENGTH.pack(len(metadata)), metadata, body))
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise DeadLetterError(f"a {_kind(record)} of {len(payload)} bytes, where the server takes {MAX_PAYLOAD_BYTES}")
    return JournalMessage(headers=_headers(record), payload=payload, record=_read_again(metadata, record))


def decode_record(payload: bytes, *, stored_at: int = 0) -> Opened:
    """Return the record in a payload. Raises DeadLetterError for anything else."""
    metadata, body = _split(payload, "metadata", limit=MAX_METADATA_BYTES)
    try:
        record = _DECODER.decode(metadata)
    except UNREADABLE:
        raise DeadLetterError(f"{len(metadata)} bytes of metadata that are no record of the journal") from None
    if body and not isinstance(record, (Letter, Checkpoint)):
        raise DeadLetterError(f"a {_kind(record)} with {len(body)} bytes behind it, where none belong")
    return Opened(record=record, body=body, stored_at=stored_at)


def encode_original(original: Original) -> bytes:
    """Return the body of a letter. Raises DeadLetterError when a header is longer than the server allows."""
    fields = [_field(name.encode()) + _field(value) for name, value in original.headers.items()]
    block = b"".join(fields)
    return b"".join((_LENGTH.pack(len(block)), block, original.payload))


def decode_original(body: bytes) -> Original:
    """Return the message that a letter's body keeps. Raises DeadLetterError for anything else."""
    block, payload = _split(body, "headers", limit=MAX_HEADERS_BYTES)
    headers = {}
    position = 0
    while position < len(block):
        name, position = _read_field(block, position)
        value, position = _read_field(block, position)
        try:
            headers[name.decode()] = value
        except UnicodeDecodeError:
            raise DeadLetterError("a header of the original message has a name that is no text") from None
    return Original(headers=headers, payload=payload)


def _split(data: bytes, what: str, *, limit: int) -> tuple[bytes, bytes]:
    if len(data) < _LENGTH.size:
        raise DeadLetterError(f"{len(data)} bytes, too short to hold {what}")
    (length,) = _LENGTH.unpack_from(data)
    if length > limit:
        raise DeadLetterError(f"{length} bytes of {what}, where {limit} are allowed")
    end = _LENGTH.size + length
    if end > len(data):
        raise DeadLetterError(f"{length} bytes of {what} announced, {len(data) - _LENGTH.size} there")
    return data[_LENGTH.size : end], data[end:]


def _field(data: bytes) -> bytes:
    if len(data) > MAX_HEADER_BYTES:
        raise DeadLetterError(f"a header of {len(data)} bytes, where {MAX_HEADER_BYTES} are allowed")
    return bytes((len(data),)) + data


def _read_field(block: bytes, position: int) -> tuple[bytes, int]:
    end = position + 1
    if position < len(block):
        end += block[position]
    if end > len(block):
        raise DeadLetterError("the headers of the original message end in the middle of one")
    return block[position + 1 : end], end


def _headers(record: AnyRecord) -> dict[str, bytes]:
    group = record.group if isinstance(record, Request) else record.source.group
    headers = {KIND_HEADER: _kind(record).encode(), GROUP_HEADER: group.encode()}
    if isinstance(record, Letter):
        if record.tenant_id is not None:
            headers[TENANT_HEADER] = _id_text(record.tenant_id)
        if record.event_id is not None:
            headers[EVENT_HEADER] = _id_text(record.event_id)
    if len(headers[GROUP_HEADER]) > MAX_HEADER_BYTES:
        raise DeadLetterError(f"a group's name of {len(headers[GROUP_HEADER])} bytes, where {MAX_HEADER_BYTES} fit")
    return headers


def _id_text(each: UUID) -> bytes:
    return msgspec.json.encode(each)[1:-1]  # JSON's text without its quotes: a tenth of str(each)


def _kind(record: AnyRecord) -> str:
    return _KINDS[type(record)]


def _fitted(record: AnyRecord) -> bytes:
    """Encode the metadata, cutting first the stack (its inner end says most), then the message."""
    if isinstance(record, (Letter, Settlement)) and record.failure is not None:
        failure = record.failure
        if failure.message or failure.stack:  # a letter that only follows another one says neither
            record = msgspec.structs.replace(record, failure=_writable(failure))
    metadata = _encoded(record)
    for name in ("stack", "message"):
        excess = len(metadata) - MAX_METADATA_BYTES
        if excess <= 0 or not isinstance(record, (Letter, Settlement)) or record.failure is None:
            break
        shorter = {name: _without(getattr(record.failure, name), excess)}
        record = msgspec.structs.replace(record, failure=msgspec.structs.replace(record.failure, **shorter))
        metadata = _encoded(record)
    if len(metadata) > MAX_METADATA_BYTES:
        raise DeadLetterError(f"a {_kind(record)} with {len(metadata)} bytes of metadata: {MAX_METADATA_BYTES} fit")
    return metadata


def _encoded(record: AnyRecord) -> bytes:
    try:
        return msgspec.json.encode(record)
    except UNWRITABLE:
        raise DeadLetterError(f"a {_kind(record)} holds a number or text that JSON cannot") from None


def _read_again(metadata: bytes, record: AnyRecord) -> AnyRecord:
    # What is written and can never be read again would be lost: read it first.
    try:
        return _DECODER.decode(metadata)
    except UNREADABLE as error:
        raise DeadLetterError(f"a {_kind(record)} breaks its own rules: {_place(error)}") from None


def _place(error: Exception) -> str:
    """The field that msgspec names at the end of its message; the rest may quote a value."""
    _, found, place = str(error).rpartition(" - at ")
    return place if found else "no field named"


def _writable(failure: Failure) -> Failure:
    # Whatever a handler raised, its letter must be written: lone surrogates are spelled out.
    return msgspec.structs.replace(
        failure,
        message=_text(failure.message[:MAX_MESSAGE_CHARACTERS]),
        stack=_text(failure.stack[-MAX_METADATA_BYTES:]),
    )


def _text(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()


def _without(text: str, excess: int) -> str:
    """Take characters from the front until the text is `excess` bytes of JSON shorter; one may be up to 12 bytes."""
    room = len(msgspec.json.encode(text)) - excess
    kept = bisect_right(range(len(text)), room, key=lambda count: _marked_bytes(text, count)) - 1
    return CUT_MARK + text[-kept:] if kept > 0 else ""


def _marked_bytes(text: str, count: int) -> int:
    return len(msgspec.json.encode(CUT_MARK + text[-count:])) if count else 0
