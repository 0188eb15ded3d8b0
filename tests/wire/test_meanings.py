"""What recorded frames say, field by field: two fields swapped would still make the round, but mean something else."""

from dataclasses import fields

import pytest

from rustok_iggy_connector.errors import RemoteProtocolError
from rustok_iggy_connector.wire.codec import decode_reply
from rustok_iggy_connector.wire.codes import Command, FrameKind
from rustok_iggy_connector.wire.commands import COMMANDS, Message
from rustok_iggy_connector.wire.commands.groups import Assignment, GroupDetails, GroupInfo, GroupMember
from rustok_iggy_connector.wire.commands.messages import (
    PollMessages,
    PollMessagesReply,
    SendConfirmation,
    SendMessagesReply,
)
from rustok_iggy_connector.wire.commands.offsets import OffsetInfo, StoreOffset
from rustok_iggy_connector.wire.commands.session import Login, LoginReply
from rustok_iggy_connector.wire.commands.streams import StreamDetails
from rustok_iggy_connector.wire.commands.system import (
    CacheMetrics,
    ClientDetails,
    ClientGroup,
    ClientInfo,
    ClusterMetadata,
    ClusterNode,
    Stats,
)
from rustok_iggy_connector.wire.commands.tokens import CreateToken, TokenInfo, TokenList
from rustok_iggy_connector.wire.commands.topics import PartitionInfo, TopicDetails
from rustok_iggy_connector.wire.commands.users import (
    ChangePassword,
    CreateUser,
    Permissions,
    StreamPermissions,
    TopicPermissions,
    UpdateUser,
    UserDetails,
    UserInfo,
    UserStatus,
)
from rustok_iggy_connector.wire.header import ReplyHeader
from rustok_iggy_connector.wire.primitives import Consumer, ConsumerKind, PollingStrategy, StrategyKind
from tests.wire.recorded import frames_of

NEVER = 2**64 - 1
ANNS_RIGHTS = Permissions(
    read_servers=True,
    poll_messages=True,
    streams=(
        StreamPermissions(
            stream_id=0,
            read_stream=True,
            send_messages=True,
            topics=(
                TopicPermissions(topic_id=0, poll_messages=True),
                TopicPermissions(topic_id=1, read_topic=True, send_messages=True),
            ),
        ),
        StreamPermissions(stream_id=1, manage_topics=True),
    ),
)


def request(step: str, command: Command) -> Message:
    """The request of this command in this step of a recording."""
    frame = next(f for f in frames_of(FrameKind.REQUEST) if f.name.endswith(f"client-{step}") and f.command is command)
    return COMMANDS[command].request.decode(frame.body)


def reply(step: str, command: Command) -> object:
    frame = next(f for f in frames_of(FrameKind.REPLY) if f.name.endswith(f"server-{step}") and f.command is command)
    return decode_reply(command, ReplyHeader.decode(frame.header), frame.body)


@pytest.mark.parametrize(
    ("step", "value"),
    [
        (
            "connect+login",
            Login(protocol_version=0x2C00, sdk_name="rust-sdk", sdk_version="0.11.0", username="iggy", password="iggy"),
        ),
        (
            "poll offset 1 count 1",
            PollMessages(
                consumer=Consumer(ConsumerKind.SINGLE, 7), stream="orders-stream", topic="orders", partition_id=1,
                strategy=PollingStrategy(StrategyKind.OFFSET, 1), count=1,
            ),
        ),
        (
            "group store_offset by owner",
            StoreOffset(
                consumer=Consumer(ConsumerKind.GROUP, "billing"), stream="orders-stream", topic="orders",
                partition_id=1, offset=2,
            ),
        ),
        ("create_user", CreateUser(username="ann", password="secret-1", permissions=ANNS_RIGHTS)),
        ("update_user", UpdateUser(user="bob", username="bobby", status=UserStatus.INACTIVE)),
        ("change_password", ChangePassword(user="bob", current_password="secret-2", new_password="secret-3")),
        ("create_token", CreateToken(name="ci", expiry=3_600_000_000)),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_recorded_request_says(step: str, value: Message) -> None:
    command = next(command for command, spec in COMMANDS.items() if spec.request is type(value))
    assert request(step, command) == value


@pytest.mark.parametrize(
    ("step", "command", "value"),
    [
        (
            "connect+login", Command.LOGIN,
            LoginReply(user_id=0, session=1, protocol_version=0x2C00, server_version="0.9.0-edge.5"),
        ),
        (
            "cluster metadata", Command.GET_CLUSTER_METADATA,
            ClusterMetadata(
                name="single-node",
                nodes=(
                    ClusterNode(
                        name="iggy-node", ip="127.0.0.1", tcp_port=0, quic_port=0, http_port=0, websocket_port=0,
                        role=0, status=0,
                    ),
                ),
            ),
        ),
        (
            "send 3", Command.SEND_MESSAGES,
            SendMessagesReply(
                confirmations=(SendConfirmation(stream_id=0, topic_id=0, partition_id=1, base_offset=0),)
            ),
        ),
        ("get_offset", Command.GET_OFFSET, OffsetInfo(partition_id=0, current_offset=2, stored_offset=1)),
        ("get_offset none", Command.GET_OFFSET, None),
        ("sync_group after leave", Command.SYNC_GROUP, Assignment(generation=3, partitions=(0, 1, 2))),
        (
            "get_group", Command.GET_GROUP,
            GroupDetails(
                group=GroupInfo(id=0, partitions_count=2, members_count=1, name="workers"),
                members=(GroupMember(id=0, partitions=(0, 1)),),
            ),
        ),
        (
            "get_me in a group", Command.GET_ME,
            ClientDetails(
                client=ClientInfo(client_id=1, user_id=0, transport=1, address="127.0.0.1:49584", groups_count=1),
                groups=(ClientGroup(stream_id=0, topic_id=0, group_id=0),),
            ),
        ),
        (
            "get_user", Command.GET_USER,
            UserDetails(
                user=UserInfo(id=1, created_at=1795257788017068, status=1, username="ann"), permissions=ANNS_RIGHTS
            ),
        ),
        (
            "get_tokens", Command.GET_TOKENS,
            TokenList(tokens=(TokenInfo(name="ci", expiry_at=1795261388182252), TokenInfo(name="never", expiry_at=0))),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_recorded_reply_says(step: str, command: Command, value: object) -> None:
    assert reply(step, command) == value


def test_a_recorded_topic_says() -> None:
    details = reply("get_topic 4 partitions", Command.GET_TOPIC)
    assert isinstance(details, TopicDetails)
    topic = details.topic
    assert (topic.id, topic.name, topic.partitions_count, topic.compression) == (0, "orders", 4, 1)
    assert (topic.created_at, topic.size_bytes, topic.messages_count) == (1795245062184464, 12283, 8)
    assert (topic.message_expiry, topic.max_topic_size) == (NEVER, NEVER)
    assert topic.options == ()
    assert [field.key for field in topic.derived_options][:2] == [b"compression_algorithm", b"enforce_fsync"]
    assert details.partitions[1] == PartitionInfo(
        id=1, created_at=1795245062184464, segments_count=1, current_offset=3, size_bytes=715, messages_count=4
    )


def test_a_recorded_stream_says() -> None:
    details = reply("get_stream with topics", Command.GET_STREAM)
    assert isinstance(details, StreamDetails)
    stream, facts = details.stream, details.topics[0]
    assert (stream.id, stream.created_at, stream.topics_count) == (0, 1795257787904889, 2)
    assert (stream.size_bytes, stream.messages_count, stream.name) == (358, 2, "alpha")
    assert (facts.message_expiry, facts.max_topic_size) == (3 * 24 * 3600 * 1_000_000, 2 * 1024**3)


def test_recorded_statistics_say() -> None:
    stats = reply("get_stats of a used server", Command.GET_STATS)
    assert isinstance(stats, Stats)
    assert (stats.process_id, stats.cpu_usage, round(stats.total_cpu_usage)) == (32135, 0.0, 15)
    assert (stats.memory_usage, stats.total_memory, stats.available_memory) == (94765056, 25276502016, 23782875136)
    assert (stats.run_time, stats.start_time) == (1_000_000, 1795257787000000)
    assert (stats.read_bytes, stats.written_bytes, stats.messages_size_bytes) == (3387392, 389120, 0)
    assert (stats.streams_count, stats.topics_count, stats.partitions_count, stats.segments_count) == (2, 2, 4, 4)
    assert (stats.messages_count, stats.clients_count, stats.consumer_groups_count) == (0, 5, 0)
    assert (stats.hostname, stats.os_name, stats.iggy_server_version) == ("vm", "Debian GNU/Linux", "0.9.0-edge.5")
    assert (stats.iggy_server_semver, stats.threads_count) == (9000, 5)
    assert (stats.free_disk_space, stats.total_disk_space) == (80547995648, 270553174016)


def test_cache_metrics_stand_in_their_order() -> None:
    metrics = CacheMetrics(stream_id=1, topic_id=2, partition_id=3, hits=4, misses=5, hit_ratio=0.5)
    assert metrics.encode().hex() == "010000000200000003000000" + "0400000000000000" + "0500000000000000" + "0000003f"


def test_a_recorded_poll_says() -> None:
    polled = reply("poll headers", Command.POLL_MESSAGES)
    assert isinstance(polled, PollMessagesReply)
    assert (polled.partition_id, polled.current_offset, polled.count) == (2, 0, 1)
    message = next(next(polled.parsed()).messages())
    assert message.offset == 0
    assert message.headers
    assert message.timestamp > message.origin_timestamp


# Order of the rights on the wire: the protocol's permissions module, and what the published client's calls list.
RIGHTS = {
    Permissions: [
        "manage_servers", "read_servers", "manage_users", "read_users", "manage_streams", "read_streams",
        "manage_topics", "read_topics", "poll_messages", "send_messages",
    ],
    StreamPermissions: [
        "manage_stream", "read_stream", "manage_topics", "read_topics", "poll_messages", "send_messages",
    ],
    TopicPermissions: ["manage_topic", "read_topic", "poll_messages", "send_messages"],
}  # fmt: skip


@pytest.mark.parametrize("cls", RIGHTS, ids=lambda cls: cls.__name__)
def test_each_right_has_its_own_byte(cls: type[Permissions | StreamPermissions | TopicPermissions]) -> None:
    ids = {field.name: 0 for field in fields(cls) if field.name.endswith("_id")}
    for position, right in enumerate(RIGHTS[cls]):
        data = cls(**ids, **{right: True}).encode()
        assert data[4 * len(ids) + position] == 1
        assert sum(data) == 1


def test_absent_permissions_are_four_zero_bytes_in_a_reply() -> None:
    user = UserInfo(id=2, created_at=1, status=1, username="bob")
    assert UserDetails(user=user).encode() == user.encode() + bytes(4)
    with pytest.raises(RemoteProtocolError, match="permissions"):
        UserDetails.decode(user.encode() + b"\0\0\0\1")
