"""Sends and polls as requests of wire.commands, for the clients that make their frames themselves."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping

from msgspec import Struct

from rustok_iggy_connector.client import Client, PollRequest
from rustok_iggy_connector.errors import RemoteProtocolError
from rustok_iggy_connector.models import (
    MAX_HEADERS_BYTES,
    MAX_PAYLOAD_BYTES,
    OutgoingMessage,
    PolledMessages,
    PublishBatch,
    ReceivedMessage,
)
from rustok_iggy_connector.refusals import refusal
from rustok_iggy_connector.wire.batch import NewMessage, build_batch
from rustok_iggy_connector.wire.codes import Command, Status
from rustok_iggy_connector.wire.commands.messages import (
    PollMessages,
    PollMessagesReply,
    SendMessages,
    SendMessagesReply,
)
from rustok_iggy_connector.wire.fields import MAX_FIELD_BYTES, Field, decode_fields, encode_fields
from rustok_iggy_connector.wire.primitives import Partitioning

HEADER_OVERHEAD_BYTES = 10
"""What a header takes beside its key and value: a kind and a length each (wire.fields)."""


class FramedClient(Client):
    """Everything goes through request(). Holds messages to the limits that the published client has."""

    @abstractmethod
    def _now(self) -> int:
        """Microseconds since 1970 UTC: when a message that is sent was made."""

    async def send(self, batch: PublishBatch, *, subject: str) -> int:
        now = self._now()
        messages = [_new_message(message, now, subject) for message in batch.messages]
        request = SendMessages(
            stream=batch.stream,
            topic=batch.topic,
            partitioning=Partitioning.to_partition(batch.partition_id),
            batch=build_batch(messages),
        )
        reply = await self.ask(request, SendMessagesReply, subject=subject)
        if reply is None or not reply.confirmations:
            raise RemoteProtocolError(f"no confirmation for a batch to {subject}")
        return reply.confirmations[0].base_offset

    async def poll(self, request: PollRequest, *, subject: str) -> PolledMessages:
        question = PollMessages(
            consumer=request.consumer,
            stream=request.stream,
            topic=request.topic,
            partition_id=request.partition_id,
            strategy=request.strategy,
            count=request.count,
        )
        reply = await self.ask(question, PollMessagesReply, subject=subject)
        if reply is None:
            return PolledMessages()
        # A member that does not own the partition is told of another one, which does not exist.
        is_said = reply.partition_id == request.partition_id
        return PolledMessages(
            [
                ReceivedMessage(offset, message_id, payload, timestamp, _HeaderBlock(headers))
                for offset, message_id, payload, timestamp, headers in reply.contents()
            ],
            current_offset=reply.current_offset if is_said else None,
        )


def _new_message(message: OutgoingMessage, now: int, subject: str) -> NewMessage:
    """The message as it goes into a batch, held to the limits that the published client has."""
    status = _excess(message)
    if status is not None:
        raise refusal(status, command=Command.SEND_MESSAGES.name.lower(), subject=subject)
    fields = [Field(name.encode(), value) for name, value in (message.headers or {}).items()]
    return NewMessage(id=message.id.int, payload=message.payload, headers=encode_fields(fields), origin_timestamp=now)


def _excess(message: OutgoingMessage) -> Status | None:
    if not message.payload:
        return Status.INVALID_PAYLOAD_LENGTH
    if len(message.payload) > MAX_PAYLOAD_BYTES:
        return Status.TOO_BIG_PAYLOAD
    size = 0
    for name, value in (message.headers or {}).items():
        key = name.encode()
        if not (1 <= len(key) <= MAX_FIELD_BYTES and 1 <= len(value) <= MAX_FIELD_BYTES):
            return Status.INVALID_HEADER_VALUE
        size += len(key) + len(value) + HEADER_OVERHEAD_BYTES
    return Status.TOO_BIG_HEADERS if size > MAX_HEADERS_BYTES else None


class _HeaderBlock(Struct, gc=False):
    """Reads the headers of a message when they are asked for."""

    data: bytes

    def __call__(self) -> Mapping[str, bytes]:
        return {field.key.decode(errors="replace"): field.value for field in decode_fields(self.data)}
