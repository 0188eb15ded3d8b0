"""A topic's options on the wire ↔ what TopicSpec and TopicInfo say. Values only.

    key                           kind  meaning
    message_expiry                u64   microseconds until a message may go; 0 server default, 2**64 − 1 never
    max_topic_size                u64   bytes; 0 server default, 2**64 − 1 unlimited
    segment_size                  u64   bytes
    durability                    text  persisted | replicated; 0.9.0 and later, fixed at creation
    consumer_offset_durability    text  the same for stored offsets
    enforce_fsync                 bool  sync every write to a segment; builds before 0.9.0
    messages_required_to_save     u32   messages gathered in memory before they are written; builds before 0.9.0

The last two keep the promise of persisted only together: with enforce_fsync alone up to 1023 acknowledged messages of a
partition are still in memory, and 100 of 100 were lost to a kill −9.

Source: the server's option catalogue (describe_options) of both builds, and the recorded session.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from rustok_iggy_connector.models import Durability, TopicSpec
from rustok_iggy_connector.wire.fields import Field

MICROSECONDS = 1_000_000
WITHOUT_LIMIT = 2**64 - 1
SERVER_DEFAULT = 0


def durability_options(durability: Durability) -> tuple[tuple[Field, ...], ...]:
    """Ways to ask for it, the first that the server knows keeps the promise."""
    asked = (
        Field.text("consumer_offset_durability", durability.value),
        Field.text("durability", durability.value),
    )
    if durability is Durability.PERSISTED:
        return (asked, (Field.boolean("enforce_fsync", True), Field.u32("messages_required_to_save", 1)))
    # What a server without the option does is what replicated promises.
    return (asked, ())


def durability_in_force(options: Iterable[Field]) -> Durability | None:
    """What the topic's options, set and derived, say; None when they say nothing."""
    found = {field.key: field.value for field in options}
    if b"durability" in found:
        text = found[b"durability"].decode(errors="replace")
        return Durability(text) if text in set(Durability) else None
    if b"enforce_fsync" in found:
        gathered = int.from_bytes(found.get(b"messages_required_to_save", b""), "little")
        return Durability.PERSISTED if any(found[b"enforce_fsync"]) and gathered == 1 else Durability.REPLICATED
    return None


def retention_options(spec: TopicSpec) -> Iterator[Field]:
    """What may be set at any time."""
    if spec.max_age is not None:
        yield Field.u64("message_expiry", max(round(spec.max_age * MICROSECONDS), 1))
    if spec.max_bytes is not None:
        yield Field.u64("max_topic_size", spec.max_bytes)


def segment_options(spec: TopicSpec) -> Iterator[Field]:
    """What is fixed at creation."""
    if spec.segment_bytes is not None:
        yield Field.u64("segment_size", spec.segment_bytes)


def segment_bytes(options: Iterable[Field]) -> int | None:
    return next((int.from_bytes(field.value, "little") for field in options if field.key == b"segment_size"), None)


def expiry_seconds(microseconds: int) -> float | None:
    return None if microseconds in (SERVER_DEFAULT, WITHOUT_LIMIT) else microseconds / MICROSECONDS


def limit_bytes(size: int) -> int | None:
    return None if size in (SERVER_DEFAULT, WITHOUT_LIMIT) else size
