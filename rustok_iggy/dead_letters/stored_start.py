"""The two offsets that keep the start of a fold: `pin` and `checkpoint` of one source, stored at the server.

They are offsets of named single consumers on the dlq partition: anyone may store them, and the server deletes no
segment above the lowest. Nothing can be stored below 0, so a pin of 0 stands for the first record too: a fold then
reads one record more than it must.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b

import msgspec

from rustok_iggy.dead_letters.fold_start import StoredStart
from rustok_iggy.dead_letters.reader import JournalReader
from rustok_iggy.dead_letters.records import Source
from rustok_iggy_connector import TopologyAdmin


class Kept(StrEnum):
    """Which offset a named consumer keeps."""

    PIN = "pin"
    CHECKPOINT = "checkpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalPlace:
    """Where the journal of a source stands: one partition of the dlq topic."""

    stream: str
    topic: str
    partition: int


def consumer_name(source: Source, kept: Kept) -> str:
    """Return the name under which an offset is kept. A digest: the parts together may be longer than a name."""
    parts = msgspec.json.encode([source.group, source.topic, source.partition])
    return f"rk-{kept}-{blake2b(parts, digest_size=16).hexdigest()}"


async def read_start(
    reader: JournalReader, admin: TopologyAdmin, *, place: JournalPlace, source: Source
) -> StoredStart:
    """Read what plan_fold needs: the stored offsets and the records they point at. Raises connector errors."""
    pin = await stored_offset(admin, place, source, Kept.PIN)
    checkpoint = await stored_offset(admin, place, source, Kept.CHECKPOINT)
    return StoredStart(
        first=await reader.first_position(place.partition),
        pin=pin,
        pinned=None if pin is None else await reader.read_at(place.partition, position=pin + 1),
        checkpoint=None if checkpoint is None else await reader.read_at(place.partition, position=checkpoint),
    )


async def keep(admin: TopologyAdmin, *, place: JournalPlace, source: Source, kept: Kept, offset: int) -> None:
    """Store an offset. Idempotent; raises connector errors."""
    await admin.store_reader_offset(
        stream=place.stream,
        topic=place.topic,
        partition_id=place.partition,
        consumer=consumer_name(source, kept),
        offset=offset,
    )


async def stored_offset(admin: TopologyAdmin, place: JournalPlace, source: Source, kept: Kept) -> int | None:
    """Return the offset that is kept, None when none is stored. Raises connector errors."""
    found = await admin.reader_offset(
        stream=place.stream,
        topic=place.topic,
        partition_id=place.partition,
        consumer=consumer_name(source, kept),
    )
    return None if found is None else found.committed
