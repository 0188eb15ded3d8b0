"""Commands 120–122: committed offsets. A stored offset is the last one done."""

from __future__ import annotations

from enum import IntEnum

from rustok_iggy_connector.wire.layout import U8, U32, U64, Consumer, Identifier, Layout, PartitionChoice, message


class Acknowledge(IntEnum):
    """When a store or delete of an offset is answered: at once by the leader, or once a quorum has it."""

    LEADER = 0
    QUORUM = 1


@message
class OffsetInfo(Layout):
    """`current_offset` is the partition's last, `stored_offset` the consumer's."""

    partition_id: U32
    current_offset: U64
    stored_offset: U64


@message
class GetOffset(Layout):
    """An empty reply means that no offset is stored."""

    consumer: Consumer
    stream: Identifier
    topic: Identifier
    partition_id: PartitionChoice


@message
class StoreOffset(Layout):
    consumer: Consumer
    stream: Identifier
    topic: Identifier
    partition_id: PartitionChoice
    offset: U64
    acknowledge: U8 = Acknowledge.QUORUM


@message
class DeleteOffset(Layout):
    consumer: Consumer
    stream: Identifier
    topic: Identifier
    partition_id: PartitionChoice
    acknowledge: U8 = Acknowledge.QUORUM
