"""Sends, polls, stored offsets, and what happens to them when topics change: through frames."""

from dataclasses import replace

from xxhash import xxh32_intdigest

from rustok_iggy_connector.local_server.broker import RETENTION_INTERVAL
from rustok_iggy_connector.local_server.in_process import InProcessServer, InProcessSession
from rustok_iggy_connector.wire.batch import NewMessage, build_batch
from rustok_iggy_connector.wire.codec import Refusal
from rustok_iggy_connector.wire.codes import Status
from rustok_iggy_connector.wire.commands import groups, messages, offsets, partitions, streams, system, topics
from rustok_iggy_connector.wire.fields import Field
from rustok_iggy_connector.wire.primitives import (
    Consumer,
    ConsumerKind,
    Partitioning,
    PartitioningKind,
    PollingStrategy,
    StrategyKind,
)
from tests.local_server.clients import SINGLE, Clock, confirmation, payloads, poll, send, store, stored


def test_a_batch_with_a_wrong_checksum_is_refused_whole(topic: InProcessSession) -> None:
    request = send(b"good", b"bad")
    data = bytearray(request.batch)
    data[-1] ^= 1
    torn = messages.SendMessages(stream="s", topic="t", partitioning=request.partitioning, batch=bytes(data))
    assert topic.request(torn) == Refusal(Status.INVALID_COMMAND)
    assert payloads(topic.request(poll())) == []


def test_a_send_is_confirmed_with_its_place_and_can_be_polled(topic: InProcessSession) -> None:
    assert topic.request(send(b"a")) == confirmation(0)
    assert topic.request(send(b"b", b"c")) == confirmation(1)
    reply = topic.request(poll())
    assert payloads(reply) == [b"a", b"b"]
    assert isinstance(reply, messages.PollMessagesReply)
    assert (reply.partition_id, reply.current_offset) == (0, 2)


def test_balanced_sends_go_round_and_keys_stay_where_they_are(topic: InProcessSession) -> None:
    batch = build_batch([NewMessage(id=1, payload=b"x")])

    def partition_of(partitioning: Partitioning) -> int:
        reply = topic.request(messages.SendMessages(stream="s", topic="t", partitioning=partitioning, batch=batch))
        assert isinstance(reply, messages.SendMessagesReply)
        return reply.confirmations[0].partition_id

    assert [partition_of(Partitioning(PartitioningKind.BALANCED)) for _ in range(3)] == [0, 1, 0]
    for key in (b"tenant-1", b"tenant-2", b"tenant-3"):
        assert partition_of(Partitioning(PartitioningKind.KEY, key=key)) == xxh32_intdigest(key, 0) % 2


def test_what_is_not_there_is_named_as_iggy_server_names_it(topic: InProcessSession) -> None:
    assert topic.request(send(b"x", topic="absent")) == Refusal(Status.RESOURCE_NOT_FOUND)
    assert topic.request(send(b"x", partition=9)) == Refusal(Status.RESOURCE_NOT_FOUND)
    assert topic.request(poll(partition=9)) == Refusal(Status.PARTITION_NOT_FOUND)
    assert topic.request(store(SINGLE, 0, partition=9)) == Refusal(Status.RESOURCE_NOT_FOUND)
    assert topic.request(store(SINGLE, 0)) == Refusal(Status.INVALID_OFFSET)
    assert topic.request(streams.GetStream(stream="absent")) is None
    assert topic.request(topics.GetTopic(stream="s", topic="absent")) is None
    assert topic.request(topics.GetTopics(stream="absent")) == topics.TopicList()
    assert topic.request(groups.GetGroup(stream="s", topic="t", group="absent")) is None
    assert topic.request(groups.GetGroup(stream="s", topic="absent", group="g")) == Refusal(Status.TOPIC_ID_NOT_FOUND)
    assert topic.request(topics.DeleteTopic(stream="s", topic="x")) == Refusal(
        Status.TOPIC_ID_NOT_FOUND, committed=True
    )
    assert topic.request(streams.CreateStream(name="s")) == Refusal(Status.STREAM_NAME_ALREADY_EXISTS, committed=True)
    unknown = topics.CreateTopic(stream="s", name="u", partitions_count=1, options=(Field.text("unheard-of", "1"),))
    assert topic.request(unknown) == Refusal(Status.UNSUPPORTED_OPTION_KEY)


def test_offsets_are_stored_read_and_deleted(topic: InProcessSession) -> None:
    topic.request(send(b"a", b"b", b"c"))
    named = Consumer(ConsumerKind.SINGLE, "reader")
    assert topic.request(store(named, 1)) == system.Empty()
    assert (stored(topic, named), stored(topic, SINGLE)) == (1, None)
    assert payloads(topic.request(poll(named))) == [b"c"]
    delete = offsets.DeleteOffset(consumer=named, stream="s", topic="t", partition_id=0)
    assert topic.request(delete) == system.Empty()
    assert topic.request(delete) == Refusal(Status.CONSUMER_OFFSET_NOT_FOUND)


def test_auto_commit_stores_the_last_polled_offset_and_never_goes_back(topic: InProcessSession) -> None:
    topic.request(send(b"a", b"b", b"c"))
    assert payloads(topic.request(poll(auto_commit=True))) == [b"a", b"b"]
    assert stored(topic, SINGLE) == 1
    first = messages.PollMessages(
        consumer=SINGLE,
        stream="s",
        topic="t",
        partition_id=0,
        strategy=PollingStrategy(StrategyKind.FIRST),
        count=1,
        auto_commit=True,
    )
    topic.request(first)
    assert stored(topic, SINGLE) == 1


def test_purging_starts_again_at_offset_0_without_offsets(topic: InProcessSession) -> None:
    topic.request(send(b"a", b"b"))
    topic.request(store(SINGLE, 1))
    topic.request(topics.PurgeTopic(stream="s", topic="t"))
    assert (payloads(topic.request(poll())), stored(topic, SINGLE)) == ([], None)
    assert topic.request(send(b"c")) == confirmation(0)
    topic.request(streams.PurgeStream(stream="s"))
    assert topic.request(send(b"d")) == confirmation(0)


def test_the_reply_to_a_new_topic_shows_no_segment_yet(topic: InProcessSession) -> None:
    made = topic.request(topics.CreateTopic(stream="s", name="u", partitions_count=1))
    assert isinstance(made, topics.TopicDetails)
    assert [partition.segments_count for partition in made.partitions] == [0]
    found = topic.request(topics.GetTopic(stream="s", topic="u"))
    assert isinstance(found, topics.TopicDetails)
    assert [partition.segments_count for partition in found.partitions] == [1]


def test_an_offset_is_acknowledged_by_the_leader_or_a_quorum(topic: InProcessSession) -> None:
    topic.request(send(b"a"))
    stores = [replace(store(SINGLE, 0), acknowledge=acknowledge) for acknowledge in (0, 1, 2)]
    assert [topic.request(each) for each in stores] == [
        system.Empty(),
        system.Empty(),
        Refusal(Status.RESOURCE_NOT_FOUND),
    ]


def test_a_topic_made_anew_has_nothing_of_the_old_one(topic: InProcessSession) -> None:
    topic.request(send(b"a"))
    topic.request(topics.DeleteTopic(stream="s", topic="t"))
    made = topic.request(topics.CreateTopic(stream="s", name="t", partitions_count=2))
    assert isinstance(made, topics.TopicDetails)
    assert (made.topic.id, made.topic.messages_count) == (0, 0)
    assert payloads(topic.request(poll())) == []


def test_partitions_come_and_go(topic: InProcessSession) -> None:
    topic.request(partitions.CreatePartitions(stream="s", topic="t", partitions_count=1))
    assert topic.request(send(b"a", partition=2)) == confirmation(0, 2)
    topic.request(partitions.DeletePartitions(stream="s", topic="t", partitions_count=1))
    assert topic.request(send(b"a", partition=2)) == Refusal(Status.RESOURCE_NOT_FOUND)
    topic.request(partitions.CreatePartitions(stream="s", topic="t", partitions_count=1))
    assert topic.request(send(b"b", partition=2)) == confirmation(0, 2)


def test_retention_runs_every_minute_and_segments_can_be_deleted(
    server: InProcessServer, client: InProcessSession, clock: Clock
) -> None:
    client.request(streams.CreateStream(name="s"))
    options = (Field.u64("segment_size", 1 << 20), Field.u64("message_expiry", 100_000_000))
    client.request(topics.CreateTopic(stream="s", name="t", partitions_count=1, options=options))

    def segments() -> tuple[int, int]:
        details = client.request(topics.GetTopic(stream="s", topic="t"))
        assert isinstance(details, topics.TopicDetails)
        return details.partitions[0].segments_count, details.topic.messages_count

    for _ in range(3):
        client.request(send(bytes(1 << 20)))
    assert segments() == (4, 3)
    delete = partitions.DeleteSegments(stream="s", topic="t", partition_id=0, segments_count=1)
    assert client.request(delete) == system.Empty()
    assert segments() == (3, 2)
    clock.seconds += RETENTION_INTERVAL
    server.tick()
    assert segments() == (3, 2)
    clock.seconds += 40 + RETENTION_INTERVAL
    server.tick()
    assert segments() == (1, 0)
    assert client.request(send(b"next")) == confirmation(3)
