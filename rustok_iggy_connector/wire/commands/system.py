"""Commands 1–22: ping, statistics, the cluster, option catalogues, who is connected."""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated

from rustok_iggy_connector.wire.layout import (
    F32,
    U8,
    U16,
    U32,
    U64,
    Layout,
    LongBytes,
    LongText,
    Name,
    counted,
    message,
    nested,
    repeated,
)


@message
class Empty(Layout):
    """The reply of every command that has nothing to say but success."""


@message
class Ping(Layout):
    pass


@message
class GetStats(Layout):
    pass


@message
class CacheMetrics(Layout):
    stream_id: U32
    topic_id: U32
    partition_id: U32
    hits: U64
    misses: U64
    hit_ratio: F32


@message
class Stats(Layout):
    """Server statistics. Sizes are bytes, CPU percent, `run_time` and `start_time` microseconds.

    `iggy_server_semver` packs the version as major * 1 000 000 + minor * 1 000 + patch.
    """

    process_id: U32
    cpu_usage: F32
    total_cpu_usage: F32
    memory_usage: U64
    total_memory: U64
    available_memory: U64
    run_time: U64
    start_time: U64
    read_bytes: U64
    written_bytes: U64
    messages_size_bytes: U64
    streams_count: U32
    topics_count: U32
    partitions_count: U32
    segments_count: U32
    messages_count: U64
    clients_count: U32
    consumer_groups_count: U32
    hostname: LongText
    os_name: LongText
    os_version: LongText
    kernel_version: LongText
    iggy_server_version: LongText
    iggy_server_semver: U32
    cache_metrics: Annotated[tuple[CacheMetrics, ...], counted(nested(CacheMetrics), element_bytes=32)] = ()
    threads_count: U32
    free_disk_space: U64
    total_disk_space: U64


@message
class GetClusterMetadata(Layout):
    pass


class NodeRole(IntEnum):
    LEADER = 0
    FOLLOWER = 1


class NodeStatus(IntEnum):
    HEALTHY = 0
    STARTING = 1
    STOPPING = 2
    UNREACHABLE = 3


@message
class ClusterNode(Layout):
    """One node. The client redirects itself to the leader's address unless the port is 0."""

    name: LongText
    ip: LongText
    tcp_port: U16
    quic_port: U16
    http_port: U16
    websocket_port: U16
    role: U8
    status: U8


@message
class ClusterMetadata(Layout):
    name: LongText
    nodes: Annotated[tuple[ClusterNode, ...], counted(nested(ClusterNode), element_bytes=18)] = ()


class OptionScope(IntEnum):
    TOPIC = 1
    STREAM = 2
    USER = 3


@message
class DescribeOptions(Layout):
    scope: U8


@message
class OptionDescription(Layout):
    """One option the server knows: `kind` is a ValueKind, `default_value` is encoded by it, empty for none."""

    key: Name
    kind: U8
    default_value: LongBytes
    description: LongText


@message
class OptionCatalogue(Layout):
    options: Annotated[tuple[OptionDescription, ...], counted(nested(OptionDescription), element_bytes=11)] = ()


@message
class GetMe(Layout):
    pass


@message
class GetClient(Layout):
    client_id: U32


@message
class GetClients(Layout):
    pass


@message
class ClientInfo(Layout):
    """One connection. `user_id` is 2**32 − 1 before login; `transport` 1 is TCP."""

    client_id: U32
    user_id: U32
    transport: U8
    address: LongText
    groups_count: U32


@message
class ClientGroup(Layout):
    """One membership of a connection."""

    stream_id: U32
    topic_id: U32
    group_id: U32


@message
class ClientDetails(Layout):
    """One connection and its memberships; also the reply to GetMe."""

    client: ClientInfo
    groups: Annotated[tuple[ClientGroup, ...], repeated(nested(ClientGroup))] = ()


@message
class ClientList(Layout):
    clients: Annotated[tuple[ClientInfo, ...], repeated(nested(ClientInfo))] = ()
