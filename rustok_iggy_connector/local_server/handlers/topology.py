"""Streams, topics and partitions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rustok_iggy_connector.local_server.broker import Broker
from rustok_iggy_connector.local_server.entries import Stream, Topic
from rustok_iggy_connector.local_server.refusal import Refusal
from rustok_iggy_connector.local_server.sessions import Session
from rustok_iggy_connector.wire.codes import Status
from rustok_iggy_connector.wire.commands import partitions, streams, topics


def get_stream(broker: Broker, session: Session, request: streams.GetStream) -> streams.StreamDetails | None:
    found = broker.catalog.find_stream(request.stream)
    if found is None:
        return None
    within = tuple(_topic_info(broker, topic) for topic in broker.catalog.topics(found.id))
    return streams.StreamDetails(stream=_stream_info(broker, found), topics=within)


def get_streams(broker: Broker, session: Session, request: streams.GetStreams) -> streams.StreamList:
    return streams.StreamList(streams=tuple(_stream_info(broker, stream) for stream in broker.catalog.streams))


def create_stream(broker: Broker, session: Session, request: streams.CreateStream) -> streams.StreamInfo:
    made = broker.catalog.create_stream(request.name, options=request.options, now=broker.world.now())
    return _stream_info(broker, made)


def update_stream(broker: Broker, session: Session, request: streams.UpdateStream) -> None:
    broker.catalog.update_stream(request.stream, name=request.name, options=request.options)


def delete_stream(broker: Broker, session: Session, request: streams.DeleteStream) -> None:
    for topic in broker.catalog.delete_stream(request.stream):
        broker.drop_logs(topic.partitions)


def purge_stream(broker: Broker, session: Session, request: streams.PurgeStream) -> None:
    broker.drop_logs(broker.catalog.purge_stream(request.stream))
    stream = broker.catalog.stream(request.stream)
    for topic in broker.catalog.topics(stream.id):
        broker.add_logs(topic, topic.partitions)


def get_topic(broker: Broker, session: Session, request: topics.GetTopic) -> topics.TopicDetails | None:
    found = broker.catalog.find_topic(request.stream, request.topic)
    return None if found is None else _topic_details(broker, found)


def get_topics(broker: Broker, session: Session, request: topics.GetTopics) -> topics.TopicList:
    """A stream that is not there has no topics."""
    stream = broker.catalog.find_stream(request.stream)
    found = [] if stream is None else broker.catalog.topics(stream.id)
    return topics.TopicList(topics=tuple(_topic_info(broker, topic) for topic in found))


def create_topic(broker: Broker, session: Session, request: topics.CreateTopic) -> topics.TopicDetails:
    made = broker.catalog.create_topic(
        request.stream,
        name=request.name,
        partitions_count=request.partitions_count,
        options=request.options,
        now=broker.world.now(),
    )
    broker.add_logs(made, made.partitions)
    details = _topic_details(broker, made)
    # The reply is made before the partitions are, as iggy-server's is: their first segments are not there yet.
    return replace(details, partitions=tuple(replace(partition, segments_count=0) for partition in details.partitions))


def update_topic(broker: Broker, session: Session, request: topics.UpdateTopic) -> None:
    broker.catalog.update_topic(request.stream, request.topic, name=request.name, options=request.options)


def delete_topic(broker: Broker, session: Session, request: topics.DeleteTopic) -> None:
    broker.drop_logs(broker.catalog.delete_topic(request.stream, request.topic).partitions)


def purge_topic(broker: Broker, session: Session, request: topics.PurgeTopic) -> None:
    broker.drop_logs(broker.catalog.purge_topic(request.stream, request.topic))
    topic = broker.catalog.topic(request.stream, request.topic)
    broker.add_logs(topic, topic.partitions)


def create_partitions(broker: Broker, session: Session, request: partitions.CreatePartitions) -> None:
    added = broker.catalog.create_partitions(
        request.stream, request.topic, request.partitions_count, now=broker.world.now()
    )
    broker.add_logs(broker.catalog.topic(request.stream, request.topic), added)


def delete_partitions(broker: Broker, session: Session, request: partitions.DeletePartitions) -> None:
    broker.drop_logs(broker.catalog.delete_partitions(request.stream, request.topic, request.partitions_count))


def delete_segments(broker: Broker, session: Session, request: partitions.DeleteSegments) -> None:
    topic = broker.catalog.topic(request.stream, request.topic, committed=True)
    partition = topic.partition(request.partition_id)
    if partition is None:
        raise Refusal(Status.PARTITION_NOT_FOUND, committed=True)
    trim = broker.log(partition).plan_segments_removal(request.segments_count)
    if trim is not None:
        broker.commits.writes.append(trim)


def _stream_info(broker: Broker, stream: Stream) -> streams.StreamInfo:
    within = broker.catalog.topics(stream.id)
    return streams.StreamInfo(
        id=stream.id,
        created_at=stream.created_at,
        topics_count=len(within),
        size_bytes=sum(size_bytes(broker, topic) for topic in within),
        messages_count=sum(messages_count(broker, topic) for topic in within),
        name=stream.name,
    )


def _topic_info(broker: Broker, topic: Topic) -> topics.TopicInfo:
    return topics.TopicInfo(
        id=topic.id,
        created_at=topic.created_at,
        partitions_count=len(topic.partitions),
        message_expiry=topic.message_expiry,
        compression=topic.compression_code,
        max_topic_size=topic.max_topic_size,
        size_bytes=size_bytes(broker, topic),
        messages_count=messages_count(broker, topic),
        name=topic.name,
        options=topic.explicit,
        derived_options=topic.derived,
    )


def _topic_details(broker: Broker, topic: Topic) -> topics.TopicDetails:
    return topics.TopicDetails(topic=_topic_info(broker, topic), partitions=tuple(_partition_infos(broker, topic)))


def _partition_infos(broker: Broker, topic: Topic) -> Iterable[topics.PartitionInfo]:
    for partition in topic.partitions:
        log = broker.log(partition)
        yield topics.PartitionInfo(
            id=partition.id,
            created_at=partition.created_at,
            segments_count=log.segments_count,
            current_offset=log.current_offset,
            size_bytes=log.size_bytes,
            messages_count=log.messages_count,
        )


def size_bytes(broker: Broker, topic: Topic) -> int:
    """Bytes of all retained batches of a topic."""
    return sum(broker.log(partition).size_bytes for partition in topic.partitions)


def messages_count(broker: Broker, topic: Topic) -> int:
    """Retained messages of a topic."""
    return sum(broker.log(partition).messages_count for partition in topic.partitions)
