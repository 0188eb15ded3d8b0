"""Commands 300–305: topics."""

from __future__ import annotations

from typing import Annotated

from rustok_iggy_connector.wire.layout import (
    U8,
    U32,
    U64,
    Identifier,
    Layout,
    Name,
    Options,
    SizedOptions,
    counted,
    message,
    nested,
    repeated,
)

_TOPIC_INFO_BYTES = 4 + 8 + 4 + 8 + 1 + 8 + 8 + 8 + 1 + 1 + 4 + 4
"""The least a TopicInfo takes: its numbers, a name of one byte, two empty option blocks."""


@message
class TopicInfo(Layout):
    """One topic.

    `created_at` and `message_expiry` are microseconds (expiry 2**64 − 1: never), `max_topic_size` bytes (2**64 − 1:
    unlimited), `compression` 1 is none. `options` are those the creator set, `derived_options` what the server filled
    in.
    """

    id: U32
    created_at: U64
    partitions_count: U32
    message_expiry: U64
    compression: U8
    max_topic_size: U64
    size_bytes: U64
    messages_count: U64
    name: Name
    options: SizedOptions = ()
    derived_options: SizedOptions = ()


@message
class PartitionInfo(Layout):
    """One partition; `current_offset` is the offset of its last message, 0 also when it is empty."""

    id: U32
    created_at: U64
    segments_count: U32
    current_offset: U64
    size_bytes: U64
    messages_count: U64


@message
class TopicDetails(Layout):
    """One topic and its partitions; also the reply to CreateTopic."""

    topic: TopicInfo
    partitions: Annotated[tuple[PartitionInfo, ...], repeated(nested(PartitionInfo))] = ()


@message
class TopicList(Layout):
    topics: Annotated[tuple[TopicInfo, ...], counted(nested(TopicInfo), element_bytes=_TOPIC_INFO_BYTES)] = ()


@message
class GetTopic(Layout):
    stream: Identifier
    topic: Identifier


@message
class GetTopics(Layout):
    stream: Identifier


@message
class CreateTopic(Layout):
    stream: Identifier
    partitions_count: U32
    name: Name
    options: Options = ()


@message
class DeleteTopic(Layout):
    stream: Identifier
    topic: Identifier


@message
class UpdateTopic(Layout):
    """Options that are not given stay as they are."""

    stream: Identifier
    topic: Identifier
    name: Name
    options: Options = ()


@message
class PurgeTopic(Layout):
    stream: Identifier
    topic: Identifier
