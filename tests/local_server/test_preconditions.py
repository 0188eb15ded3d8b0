"""What a user without the right hears of before "not allowed", and what not: as iggy-server was seen to answer."""

import pytest

from rustok_iggy_connector.local_server.in_process import InProcessServer, InProcessSession
from rustok_iggy_connector.wire.codec import Refusal
from rustok_iggy_connector.wire.codes import Status
from rustok_iggy_connector.wire.commands import Message, messages, offsets, partitions, streams, topics, users
from rustok_iggy_connector.wire.fields import Field
from tests.local_server.clients import GROUP, SINGLE, send, store

OPTION = (Field.text("unknown", "x"),)


@pytest.fixture
def denied(server: InProcessServer, topic: InProcessSession) -> InProcessSession:
    """Somebody without any right."""
    topic.request(users.CreateUser(username="nobody", password="secret"))
    session = server.open_session()
    session.log_in("nobody", "secret")
    return session


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (streams.CreateStream(name="x", options=OPTION), Status.UNSUPPORTED_OPTION_KEY),
        (streams.UpdateStream(stream="s", name="x", options=OPTION), Status.UNSUPPORTED_OPTION_KEY),
        (topics.CreateTopic(stream="s", name="x", partitions_count=1001), Status.TOO_MANY_PARTITIONS),
        (topics.UpdateTopic(stream="s", topic="t", name="x", options=OPTION), Status.UNSUPPORTED_OPTION_KEY),
        (
            topics.UpdateTopic(stream="s", topic="t", name="x", options=(Field.u64("max_topic_size", 1),)),
            Status.INVALID_TOPIC_SIZE,
        ),
        (partitions.CreatePartitions(stream="s", topic="t", partitions_count=0), Status.TOO_MANY_PARTITIONS),
        (partitions.DeletePartitions(stream="s", topic="t", partitions_count=1001), Status.TOO_MANY_PARTITIONS),
        (users.CreateUser(username="x", password="secret", options=OPTION), Status.UNSUPPORTED_OPTION_KEY),
        (users.UpdateUser(user=0, options=OPTION), Status.UNSUPPORTED_OPTION_KEY),
        (send(b"x", partition=9), Status.RESOURCE_NOT_FOUND),
        (store(SINGLE, 0, partition=9), Status.RESOURCE_NOT_FOUND),
        (store(GROUP, 0), Status.RESOURCE_NOT_FOUND),
        (
            offsets.DeleteOffset(consumer=GROUP, stream="s", topic="t", partition_id=0),
            Status.RESOURCE_NOT_FOUND,
        ),
        (
            messages.FlushUnsavedBuffer(stream="s", topic="t", partition_id=0, fsync=True),
            Status.FEATURE_UNAVAILABLE,
        ),
    ],
)
def test_what_cannot_be_is_refused_before_what_is_not_allowed(
    denied: InProcessSession, request_: Message, status: int
) -> None:
    assert denied.request(request_) == Refusal(status)


@pytest.mark.parametrize(
    ("request_", "committed"),
    [
        (streams.CreateStream(name="s"), True),
        (topics.CreateTopic(stream="s", name="t", partitions_count=1), True),
        (partitions.DeletePartitions(stream="s", topic="t", partitions_count=9), True),
        (users.CreateUser(username="iggy", password="secret"), True),
        (send(b"x"), False),
        (store(SINGLE, 99), False),
        (offsets.DeleteOffset(consumer=SINGLE, stream="s", topic="t", partition_id=0), False),
    ],
)
def test_what_depends_on_what_is_there_is_not_told_to_who_is_not_allowed(
    denied: InProcessSession, request_: Message, committed: bool
) -> None:
    assert denied.request(request_) == Refusal(Status.UNAUTHORIZED, committed=committed)
