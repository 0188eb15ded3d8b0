"""Send and poll, and the offsets of consumers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from xxhash import xxh32_intdigest

from rustok_iggy_connector.local_server.broker import Broker
from rustok_iggy_connector.local_server.commits import Parts
from rustok_iggy_connector.local_server.entries import Partition, Topic
from rustok_iggy_connector.local_server.log import PartitionLog, Polled
from rustok_iggy_connector.local_server.refusal import Refusal
from rustok_iggy_connector.local_server.sessions import Session
from rustok_iggy_connector.local_server.storage.contract import ConsumerKey, SetOffset, StorageError
from rustok_iggy_connector.wire.batch import Batch
from rustok_iggy_connector.wire.codes import Status
from rustok_iggy_connector.wire.commands.messages import (
    NO_PARTITION,
    PollMessages,
    PollMessagesReply,
    SendConfirmation,
    SendMessages,
    SendMessagesReply,
)
from rustok_iggy_connector.wire.commands.offsets import Acknowledge, DeleteOffset, GetOffset, OffsetInfo, StoreOffset
from rustok_iggy_connector.wire.primitives import (
    Buffer,
    Consumer,
    ConsumerKind,
    Identifier,
    Partitioning,
    PartitioningKind,
)

_ACKNOWLEDGES: Final = frozenset(Acknowledge)
_KEY_SEED: Final = 0
"""Keys and names of single consumers are hashed with XXH32 of this seed, as the published client does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """A send whose batch was proven when it arrived, while an earlier commit was under way."""

    stream: Identifier
    topic: Identifier
    partitioning: Partitioning
    batch: Batch = field(repr=False)


def decode_send(body: Buffer) -> Send:
    """Raises RemoteProtocolError, also for a wrong checksum."""
    request = SendMessages.decode(body)
    return Send(
        stream=request.stream,
        topic=request.topic,
        partitioning=request.partitioning,
        batch=Batch.parse(request.batch),
    )


def send_messages(broker: Broker, session: Session, request: Send) -> SendMessagesReply:
    topic, partition = place_of_send(broker, request)
    append = broker.log(partition).plan_append(request.batch, partition_id=partition.id, now=broker.world.now())
    broker.commits.writes.append(append)
    confirmation = SendConfirmation(
        stream_id=topic.stream_id,
        topic_id=topic.id,
        partition_id=partition.id,
        base_offset=append.batch.base_offset,
    )
    return SendMessagesReply(confirmations=(confirmation,))


def place_of_send(broker: Broker, request: Send) -> tuple[Topic, Partition]:
    """Refuses whatever is not there with 20, as iggy-server does for all that addresses a partition to write."""
    topic = broker.catalog.find_topic(request.stream, request.topic)
    partition = None if topic is None else _target(broker, topic, request.partitioning)
    if topic is None or partition is None:
        raise Refusal(Status.RESOURCE_NOT_FOUND)
    return topic, partition


def poll_messages(broker: Broker, session: Session, request: PollMessages) -> Parts:
    """A group's stranger, or a member that does not own the partition, gets an empty reply that tells it to sync."""
    if request.consumer.kind is ConsumerKind.GROUP:
        return _poll_as_member(broker, session, request)
    topic = broker.catalog.topic(request.stream, request.topic)
    partition = _partition(topic, request.partition_id)
    return _poll(broker, request, partition, consumer_key(request.consumer))[0]


def get_offset(broker: Broker, session: Session, request: GetOffset) -> OffsetInfo | None:
    """None when none is stored, and when stream, topic or group are not there; 3007 for a missing partition."""
    topic = broker.catalog.find_topic(request.stream, request.topic)
    if topic is None:
        return None
    partition = _partition(topic, request.partition_id)
    key = _offset_key(broker, topic, request.consumer)
    log = broker.log(partition)
    stored = None if key is None else log.offsets.get(key)
    if stored is None:
        return None
    return OffsetInfo(partition_id=partition.id, current_offset=log.current_offset, stored_offset=stored)


def store_offset(broker: Broker, session: Session, request: StoreOffset) -> None:
    """Refuses as `place_of_offset`, and an offset past the end (4100)."""
    log, key = place_of_offset(broker, session, request)
    broker.commits.writes.append(log.plan_offset(key, request.offset))


def delete_offset(broker: Broker, session: Session, request: DeleteOffset) -> None:
    """Refuses as `place_of_offset`, and when none is stored (3021)."""
    log, key = place_of_offset(broker, session, request)
    broker.commits.writes.append(log.plan_offset_removal(key))


def place_of_offset(
    broker: Broker, session: Session, request: StoreOffset | DeleteOffset
) -> tuple[PartitionLog, ConsumerKey]:
    """Where an offset is kept. Refuses (20) what is not there or not the member's own, and a wrong `acknowledge`."""
    topic = broker.catalog.find_topic(request.stream, request.topic)
    partition = None if topic is None or request.partition_id is None else topic.partition(request.partition_id)
    key = None if topic is None else _offset_key(broker, topic, request.consumer)
    if topic is None or partition is None or key is None or request.acknowledge not in _ACKNOWLEDGES:
        raise Refusal(Status.RESOURCE_NOT_FOUND)
    if request.consumer.kind is ConsumerKind.GROUP:
        group = broker.catalog.groups.find(topic, request.consumer.id)
        if group is None or not group.may_commit(session, partition.id):
            raise Refusal(Status.RESOURCE_NOT_FOUND)
    return broker.log(partition), key


def consumer_key(consumer: Consumer) -> ConsumerKey:
    """A named single consumer is known by the hash of its name."""
    if isinstance(consumer.id, int):
        return ConsumerKey(consumer.kind, consumer.id)
    return ConsumerKey(consumer.kind, xxh32_intdigest(consumer.id.encode(), _KEY_SEED))


def _poll_as_member(broker: Broker, session: Session, request: PollMessages) -> Parts:
    topic = broker.catalog.find_topic(request.stream, request.topic)
    if request.partition_id is None:
        return _empty_poll(0)
    group = None if topic is None else broker.catalog.groups.find(topic, request.consumer.id)
    if topic is None or group is None or not group.may_poll(session, request.partition_id):
        return _empty_poll(NO_PARTITION)
    partition = _partition(topic, request.partition_id)
    parts, polled = _poll(broker, request, partition, ConsumerKey(ConsumerKind.GROUP, group.id))
    if polled is not None:
        group.polled(partition.id, polled.last_offset)
    return parts


def _poll(broker: Broker, request: PollMessages, partition: Partition, key: ConsumerKey) -> tuple[Parts, Polled | None]:
    log = broker.log(partition)
    try:
        start = log.start_of(request.strategy, count=request.count, consumer=key)
        polled = log.poll(start, count=request.count)
    except StorageError as error:
        # Not an empty reply, which is how iggy-server hides a disk fault from its clients.
        raise Refusal(Status.ERROR) from error
    if polled is None:
        reply = PollMessagesReply(partition_id=partition.id, current_offset=log.current_offset, count=0)
        return [reply.prefix()], None
    if request.auto_commit and log.offsets.get(key, -1) < polled.last_offset:
        broker.commits.writes.append(SetOffset(log_id=log.id, consumer=key, offset=polled.last_offset))
    reply = PollMessagesReply(partition_id=partition.id, current_offset=log.current_offset, count=polled.count)
    return [reply.prefix(), *polled.parts], polled


def _empty_poll(partition_id: int) -> Parts:
    return [PollMessagesReply(partition_id=partition_id, current_offset=0, count=0).prefix()]


def _target(broker: Broker, topic: Topic, partitioning: Partitioning) -> Partition | None:
    if partitioning.kind is PartitioningKind.PARTITION:
        return topic.partition(partitioning.partition_id)
    if partitioning.kind is PartitioningKind.BALANCED:
        place = broker.catalog.next_balanced_partition(topic)
        return None if place is None else topic.partition(place)
    if not topic.partitions:
        return None
    return topic.partition(xxh32_intdigest(partitioning.key, _KEY_SEED) % len(topic.partitions))


def _partition(topic: Topic, partition_id: int | None) -> Partition:
    """A partition that is not named is partition 0."""
    found = topic.partition(partition_id or 0)
    if found is None:
        raise Refusal(Status.PARTITION_NOT_FOUND)
    return found


def _offset_key(broker: Broker, topic: Topic, consumer: Consumer) -> ConsumerKey | None:
    """A group's offsets are kept under its id, which a group made anew does not get again."""
    if consumer.kind is ConsumerKind.SINGLE:
        return consumer_key(consumer)
    group = broker.catalog.groups.find(topic, consumer.id)
    return None if group is None else ConsumerKey(ConsumerKind.GROUP, group.id)
