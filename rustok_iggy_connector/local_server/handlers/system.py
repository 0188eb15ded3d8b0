"""Ping, statistics, the cluster, option catalogues, who is connected."""

from __future__ import annotations

import os
import platform
import threading
from typing import Final

from rustok_iggy_connector.local_server.broker import SERVER_VERSION, Broker
from rustok_iggy_connector.local_server.handlers.topology import messages_count, size_bytes
from rustok_iggy_connector.local_server.options import TOPIC_OPTIONS, encode_option
from rustok_iggy_connector.local_server.refusal import Refusal
from rustok_iggy_connector.local_server.sessions import Session
from rustok_iggy_connector.wire.codes import Status
from rustok_iggy_connector.wire.commands import system

NO_USER: Final = 2**32 - 1
TCP: Final = 1


def ping(broker: Broker, session: Session, request: system.Ping) -> None:
    """The answer is enough."""


def get_cluster_metadata(
    broker: Broker, session: Session, request: system.GetClusterMetadata
) -> system.ClusterMetadata:
    """One healthy leader. Port 0 keeps a client where it is, also when it came through a proxy."""
    node = system.ClusterNode(
        name="iggy-node",
        ip="127.0.0.1",
        tcp_port=0,
        quic_port=0,
        http_port=0,
        websocket_port=0,
        role=system.NodeRole.LEADER,
        status=system.NodeStatus.HEALTHY,
    )
    return system.ClusterMetadata(name="single-node", nodes=(node,))


def describe_options(broker: Broker, session: Session, request: system.DescribeOptions) -> system.OptionCatalogue:
    """Streams and users have no options yet."""
    if request.scope not in set(system.OptionScope):
        raise Refusal(Status.INVALID_COMMAND)
    if request.scope != system.OptionScope.TOPIC:
        return system.OptionCatalogue()
    return system.OptionCatalogue(
        options=tuple(
            system.OptionDescription(
                key=key,
                kind=spec.kind,
                default_value=b"" if spec.default is None else encode_option(key, spec.default).value,
                description="",
            )
            for key, spec in TOPIC_OPTIONS.items()
        )
    )


def get_stats(broker: Broker, session: Session, request: system.GetStats) -> system.Stats:
    """What the server knows of itself; what only the operating system knows is 0."""
    topics = [topic for stream in broker.catalog.streams for topic in broker.catalog.topics(stream.id)]
    free, total = broker.storage.room()
    host = platform.uname()
    major, minor, patch = (int(number) for number in SERVER_VERSION.partition("+")[0].split("."))
    return system.Stats(
        process_id=os.getpid(),
        cpu_usage=0.0,
        total_cpu_usage=0.0,
        memory_usage=0,
        total_memory=0,
        available_memory=0,
        run_time=broker.world.now() - broker.started_at,
        start_time=broker.started_at,
        read_bytes=0,
        written_bytes=0,
        messages_size_bytes=sum(size_bytes(broker, topic) for topic in topics),
        streams_count=len(broker.catalog.streams),
        topics_count=len(topics),
        partitions_count=sum(len(topic.partitions) for topic in topics),
        segments_count=sum(broker.log(partition).segments_count for topic in topics for partition in topic.partitions),
        messages_count=sum(messages_count(broker, topic) for topic in topics),
        clients_count=len(broker.sessions),
        consumer_groups_count=sum(len(broker.catalog.groups.of(topic)) for topic in topics),
        hostname=host.node,
        os_name=host.system,
        os_version=host.version,
        kernel_version=host.release,
        iggy_server_version=SERVER_VERSION,
        iggy_server_semver=major * 1_000_000 + minor * 1_000 + patch,
        threads_count=threading.active_count(),
        free_disk_space=free,
        total_disk_space=total,
    )


def get_me(broker: Broker, session: Session, request: system.GetMe) -> system.ClientDetails:
    return _client_details(broker, session)


def get_client(broker: Broker, session: Session, request: system.GetClient) -> system.ClientDetails | None:
    found = broker.sessions.get(request.client_id)
    return None if found is None else _client_details(broker, found)


def get_clients(broker: Broker, session: Session, request: system.GetClients) -> system.ClientList:
    return system.ClientList(clients=tuple(_client_info(broker, found) for found in broker.sessions.values()))


def flush_unsaved_buffer(broker: Broker, session: Session, request: object) -> None:
    """There never is one: a message is stored before it is acknowledged. Refused (5) as by iggy-server."""
    raise Refusal(Status.FEATURE_UNAVAILABLE)


def _client_details(broker: Broker, session: Session) -> system.ClientDetails:
    groups = tuple(
        system.ClientGroup(stream_id=stream_id, topic_id=topic_id, group_id=group_id)
        for stream_id, topic_id, group_id in broker.memberships(session)
    )
    return system.ClientDetails(client=_client_info(broker, session), groups=groups)


def _client_info(broker: Broker, session: Session) -> system.ClientInfo:
    return system.ClientInfo(
        client_id=session.id,
        user_id=NO_USER if session.user_id is None else session.user_id,
        transport=TCP,
        address=session.address,
        groups_count=len(broker.memberships(session)),
    )
