"""What goes in and out of a connector: messages, positions, topics, groups. Values only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from msgspec import Struct

MAX_PAYLOAD_BYTES = 64_000_000
"""Largest payload of one message the server takes; the smallest is 1 byte."""
MAX_HEADERS_BYTES = 100_000
"""All headers of one message together; each key and value is 1 to 255 bytes."""
MAX_PARTITIONS = 1000
"""Partitions of one topic."""


class OutgoingMessage(Struct, frozen=True, kw_only=True, gc=False):
    """One message to publish.

    `id` is the message id: the same id in a repeated send is how a reader tells a late copy. `headers` maps header
    names to raw bytes (1–255 bytes each). A Struct, as all that a publish makes: a tenth of a frozen dataclass.
    """

    id: UUID
    payload: bytes
    headers: Mapping[str, bytes] | None = None

    def __repr__(self) -> str:
        return f"OutgoingMessage(id={self.id}, {len(self.payload)} bytes)"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishRequest:
    """One message for one partition. The caller computes the partition; the server never routes by key."""

    stream: str
    topic: str
    partition_id: int
    payload: bytes = field(repr=False)
    event_id: UUID
    headers: Mapping[str, bytes] | None = field(default=None, repr=False)


class PublishBatch(Struct, frozen=True, kw_only=True, gc=False):
    """Messages for one partition, stored in this order at consecutive offsets, all or none."""

    stream: str
    topic: str
    partition_id: int
    messages: Sequence[OutgoingMessage]

    def __repr__(self) -> str:
        where = f"stream={self.stream!r}, topic={self.topic!r}, partition_id={self.partition_id}"
        return f"PublishBatch({where}, {len(self.messages)} messages)"


class PublishConfirmation(Struct, frozen=True, gc=False):
    """Where a confirmed event stands."""

    topic: str
    partition_id: int
    offset: int
    event_id: UUID


class BatchConfirmation(Struct, frozen=True, kw_only=True, gc=False):
    """Where a confirmed batch stands: its messages have the offsets first_offset … first_offset + count − 1."""

    topic: str
    partition_id: int
    first_offset: int
    count: int


class Position(NamedTuple):
    """Where a message stands in a stream."""

    topic: str
    partition_id: int
    offset: int


class ReceivedMessage(Struct, gc=False, eq=False):
    """One stored message.

    `timestamp` is the server's, in microseconds since 1970 UTC. `headers` are decoded when first read: that costs more
    than decoding a JSON envelope. Not tracked by the garbage collector, which a poll of a thousand would wake: what it
    refers to never refers back.
    """

    offset: int
    id: int
    payload: bytes
    timestamp: int
    read_headers: Callable[[], Mapping[str, bytes]]
    _headers: Mapping[str, bytes] | None = None

    @property
    def headers(self) -> Mapping[str, bytes]:
        """Header name → raw value."""
        if self._headers is None:
            self._headers = self.read_headers()
        return self._headers

    def __repr__(self) -> str:
        return f"ReceivedMessage(offset={self.offset}, id={self.id:#x}, {len(self.payload)} bytes)"


class PolledMessages(list[ReceivedMessage]):
    """The messages of one poll, in ascending order of offset.

    `current_offset` is the partition's last when the server answered, 0 also when it is empty. It is None when that was
    not said: to a member that does not own the partition, and by the published client, which plain readers use.
    """

    __slots__ = ("current_offset",)

    def __init__(self, messages: Iterable[ReceivedMessage] = (), *, current_offset: int | None = None) -> None:
        super().__init__(messages)
        self.current_offset = current_offset


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """What a group member owns right now. `generation` 0 and no partitions: not a member (any more)."""

    generation: int
    partitions: tuple[int, ...]

    @property
    def is_member(self) -> bool:
        return self.generation > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CommittedOffset:
    """A stored offset: everything up to and including `committed` is done. `current` is the partition's last offset."""

    committed: int
    current: int


class Durability(StrEnum):
    """What the server's acknowledgement of a publish means."""

    PERSISTED = "persisted"
    """On disk: survives kill −9 and power loss."""
    REPLICATED = "replicated"
    """In the memory of the cluster's majority; on a single node it does not survive kill −9."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """What a topic should be. None leaves the server's default.

    `max_age` is in seconds. Durability is fixed at creation. Retention removes whole closed segments of
    `segment_bytes`.
    """

    name: str
    partitions: int
    durability: Durability = Durability.PERSISTED
    max_age: float | None = None
    max_bytes: int | None = None
    segment_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicInfo:
    """What a topic is.

    `created_at`, in µs since 1970 UTC, tells it from one that was deleted and made anew under its name; an `id` is
    given again. `durability` is None when the server does not say. `current_offsets` maps each partition that ever held
    a message to its last offset. Ages in seconds, sizes in bytes; None = without limit.
    """

    id: int
    name: str
    created_at: int
    partitions: int
    messages: int
    size_bytes: int
    durability: Durability | None
    max_age: float | None
    max_bytes: int | None
    segment_bytes: int | None
    current_offsets: Mapping[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """What a stream is; `topics` are the names of its topics."""

    id: int
    name: str
    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupInfo:
    """What a consumer group is. `members` maps each member's id to the partitions it owns.

    A group that is created again under the same name has a higher `id`, as long as its topic is the same one: with a
    new topic the ids begin again.
    """

    id: int
    name: str
    members: Mapping[int, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """The server a connector talks to. `engine` is iggy-server, local or memory; `version` as the server states it."""

    engine: str
    version: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorStatistics:
    """Counters since connect()."""

    connected: bool
    clients: int
    requests: int
    messages_published: int
    bytes_published: int
    reconnects: int
    timeouts: int
    server_restarts: int
