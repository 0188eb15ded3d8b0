"""Commands 200–205: streams."""

from __future__ import annotations

from typing import Annotated

from rustok_iggy_connector.wire.commands.topics import TopicInfo
from rustok_iggy_connector.wire.layout import (
    U32,
    U64,
    Identifier,
    Layout,
    Name,
    Options,
    SizedOptions,
    message,
    nested,
    repeated,
)


@message
class StreamInfo(Layout):
    """One stream. `created_at` is microseconds since 1970."""

    id: U32
    created_at: U64
    topics_count: U32
    size_bytes: U64
    messages_count: U64
    name: Name
    options: SizedOptions = ()


@message
class StreamDetails(Layout):
    """One stream and its topics."""

    stream: StreamInfo
    topics: Annotated[tuple[TopicInfo, ...], repeated(nested(TopicInfo))] = ()


@message
class StreamList(Layout):
    streams: Annotated[tuple[StreamInfo, ...], repeated(nested(StreamInfo))] = ()


@message
class GetStream(Layout):
    stream: Identifier


@message
class GetStreams(Layout):
    pass


@message
class CreateStream(Layout):
    name: Name
    options: Options = ()


@message
class DeleteStream(Layout):
    stream: Identifier


@message
class UpdateStream(Layout):
    """Options that are not given stay as they are."""

    stream: Identifier
    name: Name
    options: Options = ()


@message
class PurgeStream(Layout):
    stream: Identifier
