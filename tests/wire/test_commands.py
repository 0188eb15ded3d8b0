"""Every command both ways: golden frames, values that were never recorded, and fuzzed bytes."""

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustok_iggy_connector.errors import LocalProtocolError, RemoteProtocolError
from rustok_iggy_connector.wire.batch import NewMessage, build_batch
from rustok_iggy_connector.wire.codec import Refusal, decode_reply, encode_reply_body
from rustok_iggy_connector.wire.codes import Command, FrameKind
from rustok_iggy_connector.wire.commands import COMMANDS, Message, groups, messages, offsets, session, system, users
from rustok_iggy_connector.wire.header import ReplyHeader
from rustok_iggy_connector.wire.primitives import (
    Consumer,
    ConsumerKind,
    Partitioning,
    PartitioningKind,
    PollingStrategy,
    StrategyKind,
)
from tests.wire.recorded import Recorded, frames_of

REQUESTS = [frame for frame in frames_of(FrameKind.REQUEST) if frame.command is not None]
REPLIES = [frame for frame in frames_of(FrameKind.REPLY) if frame.command is not None]
# One body of each class of message, the longest short of what would make fuzzing slow.
BODIES: dict[type[Message], bytes] = {}


def _remember(cls: type[Message], body: bytes) -> None:
    if len(BODIES.get(cls, b"")) <= len(body) < 2_000:
        BODIES[cls] = body


for _frame in REQUESTS:
    _remember(COMMANDS[_frame.command].request, _frame.body)
for _frame in REPLIES:
    _value = decode_reply(_frame.command, ReplyHeader.decode(_frame.header), _frame.body)
    if _value is not None and not isinstance(_value, Refusal):
        _remember(type(_value), _value.encode())


@pytest.mark.parametrize("frame", REQUESTS, ids=lambda frame: frame.name)
def test_a_recorded_request_decodes_and_encodes_to_the_same_bytes(frame: Recorded) -> None:
    request = COMMANDS[frame.command].request.decode(frame.body)
    assert request.encode() == frame.body


@pytest.mark.parametrize("frame", REPLIES, ids=lambda frame: frame.name)
def test_a_recorded_reply_decodes_and_encodes_to_the_same_bytes(frame: Recorded) -> None:
    reply = decode_reply(frame.command, ReplyHeader.decode(frame.header), frame.body)
    body = reply.encode() if isinstance(reply, Refusal) else encode_reply_body(frame.command, reply)
    assert body == frame.body


def test_the_recordings_cover_every_command_and_every_reply() -> None:
    assert {spec.request for spec in COMMANDS.values()} - set(BODIES) == set()
    assert {spec.reply for spec in COMMANDS.values()} - set(BODIES) == set()


NEVER_RECORDED: list[Message] = [
    messages.SendMessages(
        stream=2**32 - 1,
        topic="ü" * 127,
        partitioning=Partitioning(PartitioningKind.BALANCED),
        batch=build_batch([NewMessage(id=1, payload=b"x")]),
    ),
    messages.SendMessages(
        stream="1", topic=1, partitioning=Partitioning(PartitioningKind.KEY, key=b"k" * 255),
        batch=build_batch([NewMessage(id=1, payload=b"x", headers=b"h")] * 3),
    ),
    messages.PollMessages(
        consumer=Consumer(ConsumerKind.GROUP, 7), stream=0, topic=0, partition_id=None,
        strategy=PollingStrategy(StrategyKind.TIMESTAMP, 2**64 - 1), count=2**32 - 1, auto_commit=True,
    ),
    messages.SendMessagesReply(),
    offsets.StoreOffset(
        consumer=Consumer(ConsumerKind.SINGLE, "named"), stream="s", topic="t", partition_id=None, offset=2**64 - 1,
        acknowledge=offsets.Acknowledge.LEADER,
    ),
    groups.Assignment(generation=2**64 - 1),
    groups.GroupDetails(
        group=groups.GroupInfo(id=1, partitions_count=2, members_count=2, name="g"),
        members=(groups.GroupMember(id=1, partitions=(0, 1)), groups.GroupMember(id=2)),
    ),
    session.LoginWithToken(protocol_version=1, sdk_name="a", sdk_version="b", token="t", context="from a test"),
    system.ClusterMetadata(
        name="three",
        nodes=tuple(
            system.ClusterNode(
                name=f"n{n}", ip="10.0.0.1", tcp_port=n, quic_port=0, http_port=65535, websocket_port=1,
                role=system.NodeRole.FOLLOWER, status=system.NodeStatus.UNREACHABLE,
            )
            for n in range(3)
        ),
    ),
    users.CreateUser(
        username="u", password="", status=users.UserStatus.INACTIVE,
        permissions=users.Permissions(
            send_messages=True,
            streams=(
                users.StreamPermissions(stream_id=1),
                users.StreamPermissions(
                    stream_id=2, topics=tuple(users.TopicPermissions(topic_id=n, read_topic=True) for n in range(3))
                ),
            ),
        ),
    ),
    users.UpdateUser(user=1),
]  # fmt: skip


@pytest.mark.parametrize("value", NEVER_RECORDED, ids=lambda value: type(value).__name__)
def test_a_value_that_was_never_recorded_makes_the_round(value: Message) -> None:
    assert type(value).decode(value.encode()) == value


def check(cls: type[Message], data: bytes) -> None:
    """Decoding gives the documented error, or a value with exactly these bytes."""
    try:
        value = cls.decode(data)
    except RemoteProtocolError:
        return
    if isinstance(value, system.Stats) and any(map(math.isnan, (value.cpu_usage, value.total_cpu_usage))):
        return  # a NaN's bits need not survive the way through a float
    assert value.encode() == data


@pytest.mark.parametrize("cls", BODIES, ids=lambda cls: cls.__name__)
def test_every_truncation_is_an_error_or_another_whole_message(cls: type[Message]) -> None:
    body = BODIES[cls]
    for length in range(len(body)):
        check(cls, body[:length])


@pytest.mark.parametrize("cls", BODIES, ids=lambda cls: cls.__name__)
def test_a_wild_number_at_any_place_is_an_error_or_another_whole_message(cls: type[Message]) -> None:
    body = BODIES[cls]
    for wild in (b"\xff", b"\x00", b"\x80", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80"):
        for position in range(len(body)):
            check(cls, body[:position] + wild + body[position + len(wild) :])


@pytest.mark.parametrize("cls", BODIES, ids=lambda cls: cls.__name__)
@given(data=st.data())
def test_corrupted_bytes_are_an_error_or_another_whole_message(cls: type[Message], data: st.DataObject) -> None:
    body = bytearray(BODIES[cls])
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(body)))
        body[start : start + data.draw(st.integers(0, 4))] = data.draw(st.binary(max_size=6))
    check(cls, bytes(body))


@given(data=st.binary(max_size=300), count=st.integers(0, 2**32 - 1))
def test_garbage_is_an_error_or_a_whole_message_for_every_class(data: bytes, count: int) -> None:
    for cls in BODIES:
        check(cls, data)
        check(cls, struct.pack("<I", count) + data)


@given(command=st.sampled_from(list(Command)), status=st.integers(0, 1), body=st.binary(max_size=64))
def test_any_reply_body_is_a_reply_or_the_one_error(command: Command, status: int, body: bytes) -> None:
    header = ReplyHeader.decode(REPLIES[0].header)
    denied = ReplyHeader(size=header.size, client=1, operation=header.operation, status=status)
    try:
        decode_reply(command, denied, body)
    except RemoteProtocolError:
        return


def test_the_message_count_of_a_send_is_its_batchs() -> None:
    body = bytearray(BODIES[messages.SendMessages])
    length = struct.unpack_from("<I", body)[0]
    struct.pack_into("<I", body, length, 99)
    with pytest.raises(RemoteProtocolError, match="differs"):
        messages.SendMessages.decode(body)


def test_the_message_count_of_a_poll_reply_is_its_batches() -> None:
    reply = messages.PollMessagesReply.decode(BODIES[messages.PollMessagesReply])
    wrong = messages.PollMessagesReply(
        partition_id=0, current_offset=0, count=reply.count + 1, batches=reply.batches
    ).encode()
    with pytest.raises(RemoteProtocolError, match="differs"):
        messages.PollMessagesReply.decode(wrong)


def test_a_send_without_a_batch_is_the_senders_error() -> None:
    with pytest.raises(LocalProtocolError, match="not a batch"):
        messages.SendMessages(stream=1, topic=1, partitioning=Partitioning.to_partition(1), batch=b"x").encode()


@pytest.mark.parametrize(
    "value",
    [
        session.Login(protocol_version=1, sdk_name="a", sdk_version="b", username="u", password="SECRET"),
        session.LoginWithToken(protocol_version=1, sdk_name="a", sdk_version="b", token="SECRET"),
        users.CreateUser(username="u", password="SECRET"),
        users.ChangePassword(user="u", current_password="SECRET", new_password="SECRET"),
        messages.SendMessages(stream=1, topic=1, partitioning=Partitioning.to_partition(1), batch=b"SECRET"),
        messages.PollMessagesReply(partition_id=1, current_offset=1, count=1, batches=b"SECRET"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_secrets_and_payloads_stay_out_of_reprs(value: Message) -> None:
    assert "SECRET" not in repr(value)
