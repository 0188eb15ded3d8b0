"""Reply bodies: the result section, absence, and refusal.

A committed write answers with a result section before its payload:

    count u32, then so many entries of index u32 and code u32; count 0 is success and the payload follows

A refusal there has one entry and no payload, while the header's status is still 0. A refusal before anything was done
has the header's status and an empty body. Which operations have the section: codes.RESULT_FRAMED; a login reply has it
unless it is empty.
"""

from __future__ import annotations

from dataclasses import dataclass

from rustok_iggy_connector.errors import RemoteProtocolError
from rustok_iggy_connector.wire.codes import RESULT_FRAMED, Command, operation_of
from rustok_iggy_connector.wire.commands import COMMANDS, Message
from rustok_iggy_connector.wire.header import ReplyHeader
from rustok_iggy_connector.wire.primitives import Buffer, Reader, Writer

_ENTRY_BYTES = 8


@dataclass(frozen=True, slots=True)
class Refusal:
    """The server said no. `committed`: decided while applying the write (result section), not before (header)."""

    status: int
    committed: bool = False

    def encode(self) -> bytes:
        """The body: a result section of one entry, or nothing when the header says it."""
        if not self.committed:
            return b""
        writer = Writer()
        for number in (1, 0, self.status):
            writer.u32(number)
        return writer.getvalue()


def encode_reply_body(command: Command, reply: Message | None) -> bytes:
    """The body of a success: the result section where the operation has one, then the reply. None is absence."""
    payload = b"" if reply is None else reply.encode()
    return bytes(4) + payload if operation_of(command) in RESULT_FRAMED else payload


def decode_reply(command: Command, header: ReplyHeader, body: Buffer) -> Message | Refusal | None:
    """The reply of `command`, a Refusal, or None for absence. Raises RemoteProtocolError."""
    if header.status:
        if len(body):
            raise RemoteProtocolError("a denial with a body")
        return Refusal(header.status)
    operation = operation_of(command)
    reader = Reader(body)
    if operation in RESULT_FRAMED:
        refusal = _read_result_section(reader)
        if refusal is not None:
            return refusal
    elif not reader.remaining and COMMANDS[command].may_be_empty:
        return None
    return COMMANDS[command].reply.decode(reader.rest())


def _read_result_section(reader: Reader) -> Refusal | None:
    codes = []
    for _ in range(reader.count(element_bytes=_ENTRY_BYTES)):
        reader.u32()
        codes.append(reader.u32())
    refused = next((code for code in codes if code), None)
    if refused is None:
        return None
    reader.finish()
    return Refusal(refused, committed=True)
