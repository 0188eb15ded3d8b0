"""Commands 100–102: poll, send, flush."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Final

from rustok_iggy_connector.errors import LocalProtocolError, RemoteProtocolError
from rustok_iggy_connector.wire.batch import Batch, count_messages, peek_count, read_contents, split_batches
from rustok_iggy_connector.wire.layout import (
    U32,
    U64,
    Consumer,
    Flag,
    Identifier,
    Layout,
    PartitionChoice,
    Strategy,
    counted,
    message,
    nested,
)
from rustok_iggy_connector.wire.primitives import (
    Buffer,
    Partitioning,
    Reader,
    Writer,
    read_identifier,
    write_identifier,
)

NO_PARTITION = 2**32 - 1
"""The partition of an empty poll reply that a group's non-member or a member without partitions gets."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SendMessages:
    """Where to, then one batch.

        metadata length u32, stream, topic, partitioning, message count u32, batch

    `batch` is not copied and, when decoded, neither parsed nor proven: Batch.parse does that. The count in the
    metadata is the batch's own; decode refuses a difference.
    """

    stream: Identifier
    topic: Identifier
    partitioning: Partitioning
    batch: Buffer = field(repr=False)

    def encode(self) -> bytes:
        """Raises LocalProtocolError."""
        try:
            count = peek_count(self.batch)
        except RemoteProtocolError as error:
            raise LocalProtocolError(f"not a batch: {error}") from error
        metadata = Writer()
        write_identifier(metadata, self.stream)
        write_identifier(metadata, self.topic)
        self.partitioning.write(metadata)
        metadata.u32(count)
        body = Writer()
        body.long_bytes(metadata.getvalue())
        body.raw(self.batch)
        return body.getvalue()

    @classmethod
    def decode(cls, data: Buffer) -> SendMessages:
        """Raises RemoteProtocolError."""
        body = Reader(data)
        stream, topic, partitioning, count = _read_metadata(body.take(body.u32()))
        batch = body.rest()
        if peek_count(batch) != count:
            raise RemoteProtocolError("message count of the send differs from its batch")
        return cls(stream=stream, topic=topic, partitioning=partitioning, batch=batch)


_KNOWN_METADATA: Final = 256
"""Metadata of sends that are remembered: a producer repeats its own few hundred thousand times. At most 775 bytes each,
since what is longer is refused; with partition keys they seldom repeat, and looking costs a tenth of reading."""


@lru_cache(_KNOWN_METADATA)
def _read_metadata(data: bytes) -> tuple[Identifier, Identifier, Partitioning, int]:
    reader = Reader(data)
    read = read_identifier(reader), read_identifier(reader), Partitioning.read(reader), reader.u32()
    reader.finish()
    return read


@message
class SendConfirmation(Layout):
    """Where a batch went: `base_offset` is the offset of its first message."""

    stream_id: U32
    topic_id: U32
    partition_id: U32
    base_offset: U64


@message
class SendMessagesReply(Layout):
    """One confirmation for each partition written, which is one."""

    confirmations: Annotated[tuple[SendConfirmation, ...], counted(nested(SendConfirmation), element_bytes=20)] = ()


@message
class PollMessages(Layout):
    """`auto_commit` stores the offset of the last message before the reply is on its way."""

    consumer: Consumer
    stream: Identifier
    topic: Identifier
    partition_id: PartitionChoice
    strategy: Strategy
    count: U32
    auto_commit: Flag = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PollMessagesReply:
    """Stored batches as they are.

        partition u32, current offset u64, message count u32, batches

    Decoding proves that batches fill the reply and together say that they hold `count` messages; the frames in them are
    proven by who reads them, with checksums (`parsed`) or without (`contents`). A server that sends large replies in
    parts uses `prefix` and then the batches.
    """

    partition_id: int
    current_offset: int
    count: int
    batches: Buffer = field(default=b"", repr=False)

    def prefix(self) -> bytes:
        """The 16 bytes before the batches."""
        writer = Writer()
        writer.u32(self.partition_id)
        writer.u64(self.current_offset)
        writer.u32(self.count)
        return writer.getvalue()

    def encode(self) -> bytes:
        """Raises LocalProtocolError."""
        return b"".join((self.prefix(), self.batches))

    @classmethod
    def decode(cls, data: Buffer) -> PollMessagesReply:
        """Raises RemoteProtocolError."""
        reader = Reader(data)
        reply = cls(partition_id=reader.u32(), current_offset=reader.u64(), count=reader.u32(), batches=reader.rest())
        if count_messages(reply.batches) != reply.count:
            raise RemoteProtocolError("message count of the poll reply differs from its batches")
        return reply

    def parsed(self, *, verify: bool = True) -> Iterator[Batch]:
        """The batches, in offset order. Raises RemoteProtocolError."""
        return split_batches(self.batches, verify=verify)

    def contents(self) -> Iterator[tuple[int, int, bytes, int, bytes]]:
        """Offset, id, payload, timestamp and headers of each message, in offset order. Raises RemoteProtocolError."""
        return read_contents(self.batches)


@message
class FlushUnsavedBuffer(Layout):
    stream: Identifier
    topic: Identifier
    partition_id: U32
    fsync: Flag
