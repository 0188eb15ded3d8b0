"""What the catalog holds. Frozen: a change makes a new entry, so whoever holds one sees a consistent state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar, cast

import msgspec
from msgspec import Struct

from rustok_iggy_connector.local_server.changes import Row
from rustok_iggy_connector.local_server.refusal import Refusal
from rustok_iggy_connector.wire.codes import Status
from rustok_iggy_connector.wire.fields import Field
from rustok_iggy_connector.wire.primitives import MAX_NAME_BYTES


class Stream(Struct, frozen=True, kw_only=True):
    """A stream. `created_at` is microseconds since 1970, here and below."""

    id: int
    name: str
    created_at: int


class Partition(Struct, frozen=True, kw_only=True):
    """A partition. `incarnation` is never used twice, also not after a delete, a purge or a restart.

    Ids are used again and a purge starts offsets again at 0, so messages and offsets are to be stored under the
    incarnation: what belongs to an earlier one can never be taken for this one's.
    """

    id: int
    created_at: int
    incarnation: int


class Topic(Struct, frozen=True, kw_only=True):
    """A topic. `partitions` holds partition N at place N.

    `message_expiry` is microseconds, the sizes are bytes; 2**64 - 1 is never and unlimited. `explicit` and `derived`
    are the options as the creator gave them and as they follow from defaults, each in wire form and in key order.
    """

    stream_id: int
    id: int
    name: str
    created_at: int
    partitions: tuple[Partition, ...]
    message_expiry: int
    max_topic_size: int
    segment_size: int
    compression: str
    explicit: tuple[Field, ...]
    derived: tuple[Field, ...]

    @property
    def key(self) -> tuple[int, int]:
        """Stream id and topic id."""
        return self.stream_id, self.id

    @property
    def partition_ids(self) -> range:
        """The live partition ids, ascending."""
        return range(len(self.partitions))

    @property
    def compression_code(self) -> int:
        """1 none, 2 gzip, as topic replies carry it."""
        return {"none": 1, "gzip": 2}[self.compression]

    def partition(self, partition_id: int) -> Partition | None:
        """The partition, None when there is none with that id."""
        return self.partitions[partition_id] if 0 <= partition_id < len(self.partitions) else None


class StoredGroup(Struct, frozen=True, kw_only=True):
    """What survives of a consumer group."""

    stream_id: int
    topic_id: int
    id: int
    name: str
    generation: int


class NextIncarnation(Struct, frozen=True, kw_only=True):
    """The number of the next partition made; it only rises."""

    next: int = 1


class NextGroupId(Struct, frozen=True, kw_only=True):
    """The id of the next consumer group of a topic; it only rises."""

    stream_id: int
    topic_id: int
    next: int


def check_name(name: str) -> None:
    """Refuse a name that cannot travel: empty, or too long."""
    if not 1 <= len(name.encode()) <= MAX_NAME_BYTES:
        raise Refusal(Status.INVALID_COMMAND)


_Entry = TypeVar("_Entry", bound=Struct)


def to_row(entry: Struct) -> Row:
    """The entry as plain JSON-able values; bytes become base64 text."""
    return cast("Row", msgspec.to_builtins(entry))


def from_row(row: Mapping[str, object], kind: type[_Entry]) -> _Entry:
    """The entry back. Rows that do not fit raise msgspec.ValidationError."""
    return msgspec.convert(row, kind)
