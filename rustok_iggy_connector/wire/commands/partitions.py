"""Commands 402, 403 and 503: partitions and their segments. Replies are empty."""

from __future__ import annotations

from rustok_iggy_connector.wire.layout import U32, Identifier, Layout, message


@message
class CreatePartitions(Layout):
    stream: Identifier
    topic: Identifier
    partitions_count: U32


@message
class DeletePartitions(Layout):
    stream: Identifier
    topic: Identifier
    partitions_count: U32


@message
class DeleteSegments(Layout):
    """The oldest `segments_count` closed segments."""

    stream: Identifier
    topic: Identifier
    partition_id: U32
    segments_count: U32
