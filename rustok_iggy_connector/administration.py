"""Streams, topics and groups over one session of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Mapping

from rustok_iggy_connector.client import Client
from rustok_iggy_connector.connector import TopologyAdmin
from rustok_iggy_connector.errors import InvalidRequestError, NotFoundError, UnsupportedOptionError
from rustok_iggy_connector.group_offsets import store_as_only_member
from rustok_iggy_connector.member_roll import ROLL_PREFIX, read_roll
from rustok_iggy_connector.models import CommittedOffset, GroupInfo, StreamInfo, TopicInfo, TopicSpec
from rustok_iggy_connector.names import check_names, group_of, name_problem, partition_of, topic_of
from rustok_iggy_connector.sessions import Session
from rustok_iggy_connector.topic_options import (
    durability_in_force,
    durability_options,
    expiry_seconds,
    limit_bytes,
    retention_options,
    segment_bytes,
    segment_options,
)
from rustok_iggy_connector.wire.commands import groups, offsets, streams, system, topics
from rustok_iggy_connector.wire.fields import Field
from rustok_iggy_connector.wire.primitives import Consumer, ConsumerKind


class SessionAdmin(TopologyAdmin):
    """The contract's calls, each one request."""

    def __init__(self, session: Session) -> None:
        self._session = session

    async def describe_stream(self, stream: str) -> StreamInfo | None:
        check_names(stream=stream)
        request = streams.GetStream(stream=stream)
        found = await self._session.run(
            lambda client: client.ask(request, streams.StreamDetails, subject=f"stream {stream!r}")
        )
        if found is None:
            return None
        return StreamInfo(
            id=found.stream.id, name=found.stream.name, topics=tuple(topic.name for topic in found.topics)
        )

    async def describe_topic(self, *, stream: str, topic: str) -> TopicInfo | None:
        check_names(stream=stream, topic=topic)
        request = topics.GetTopic(stream=stream, topic=topic)
        found = await self._session.run(
            lambda client: client.ask(request, topics.TopicDetails, subject=topic_of(stream, topic))
        )
        return None if found is None else _topic_info(found)

    async def describe_group(self, *, stream: str, topic: str, group: str) -> GroupInfo | None:
        check_names(stream=stream, topic=topic, group=group)
        request = groups.GetGroup(stream=stream, topic=topic, group=group)
        subject = group_of(stream, topic, group)
        try:
            found = await self._session.run(lambda client: client.ask(request, groups.GroupDetails, subject=subject))
        except NotFoundError:  # the topic or the stream: unlike a missing group it is refused
            return None
        if found is None:
            return None
        members = {member.id: member.partitions for member in found.members}
        return GroupInfo(id=found.group.id, name=found.group.name, members=members)

    async def committed_offsets(self, *, stream: str, topic: str, group: str) -> dict[int, CommittedOffset]:
        check_names(stream=stream, topic=topic, group=group)
        return await self._session.run(lambda client: _committed_offsets(client, stream, topic, group))

    async def list_groups(self, *, stream: str, topic: str) -> tuple[str, ...]:
        check_names(stream=stream, topic=topic)
        request = groups.GetGroups(stream=stream, topic=topic)
        try:
            found = await self._session.run(
                lambda client: client.ask(request, groups.GroupList, subject=topic_of(stream, topic))
            )
        except NotFoundError:
            return ()
        names = () if found is None else tuple(group.name for group in found.groups)
        return tuple(sorted(name for name in names if not name.startswith(ROLL_PREFIX) and name_problem(name) is None))

    async def store_group_offsets(
        self,
        *,
        stream: str,
        topic: str,
        group: str,
        offsets: Mapping[int, int | None],
        before: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        check_names(stream=stream, topic=topic, group=group)
        await self._session.run(
            lambda client: store_as_only_member(client, stream, topic, group, wanted=offsets, before=before)
        )

    async def cluster_size(self) -> int:
        found = await self._session.run(
            lambda client: client.ask(system.GetClusterMetadata(), system.ClusterMetadata, subject="the cluster")
        )
        return 1 if found is None else max(1, len(found.nodes))

    async def reader_offset(
        self, *, stream: str, topic: str, partition_id: int, consumer: str
    ) -> CommittedOffset | None:
        check_names(stream=stream, topic=topic, consumer=consumer)
        request = offsets.GetOffset(
            consumer=Consumer(ConsumerKind.SINGLE, consumer), stream=stream, topic=topic, partition_id=partition_id
        )
        subject = partition_of(stream, topic, partition_id)
        found = await self._session.run(lambda client: client.ask(request, offsets.OffsetInfo, subject=subject))
        return None if found is None else CommittedOffset(committed=found.stored_offset, current=found.current_offset)

    async def store_reader_offset(
        self, *, stream: str, topic: str, partition_id: int, consumer: str, offset: int
    ) -> None:
        check_names(stream=stream, topic=topic, consumer=consumer)
        if offset < 0:
            raise InvalidRequestError(f"offset {offset} for consumer {consumer!r}: offsets start at 0")
        request = offsets.StoreOffset(
            consumer=Consumer(ConsumerKind.SINGLE, consumer),
            stream=stream,
            topic=topic,
            partition_id=partition_id,
            offset=offset,
        )
        subject = partition_of(stream, topic, partition_id)
        await self._session.run(lambda client: client.request(request, subject=subject))

    async def delete_reader_offset(self, *, stream: str, topic: str, partition_id: int, consumer: str) -> None:
        check_names(stream=stream, topic=topic, consumer=consumer)
        request = offsets.DeleteOffset(
            consumer=Consumer(ConsumerKind.SINGLE, consumer), stream=stream, topic=topic, partition_id=partition_id
        )
        subject = partition_of(stream, topic, partition_id)
        await self._session.run(lambda client: client.request(request, subject=subject))

    async def create_stream(self, stream: str) -> None:
        check_names(stream=stream)
        request = streams.CreateStream(name=stream)
        await self._session.run(lambda client: client.request(request, subject=f"stream {stream!r}"))

    async def create_topic(self, *, stream: str, spec: TopicSpec) -> None:
        check_names(stream=stream, topic=spec.name)
        if spec.partitions < 1:
            raise InvalidRequestError(f"{topic_of(stream, spec.name)} needs at least one partition")
        settings = (*retention_options(spec), *segment_options(spec))
        options = durability_options(spec.durability)
        for number, durability in enumerate(options, start=1):
            try:
                await self._create_topic(stream, spec, (*settings, *durability))
            except UnsupportedOptionError:
                if number == len(options):
                    raise
            else:
                return

    async def _create_topic(self, stream: str, spec: TopicSpec, options: tuple[Field, ...]) -> None:
        request = topics.CreateTopic(stream=stream, partitions_count=spec.partitions, name=spec.name, options=options)
        await self._session.run(lambda client: client.request(request, subject=topic_of(stream, spec.name)))

    async def update_topic(self, *, stream: str, spec: TopicSpec) -> None:
        check_names(stream=stream, topic=spec.name)
        request = topics.UpdateTopic(
            stream=stream, topic=spec.name, name=spec.name, options=tuple(retention_options(spec))
        )
        await self._session.run(lambda client: client.request(request, subject=topic_of(stream, spec.name)))

    async def create_group(self, *, stream: str, topic: str, group: str) -> None:
        check_names(stream=stream, topic=topic, group=group)
        request = groups.CreateGroup(stream=stream, topic=topic, name=group)
        await self._session.run(lambda client: client.request(request, subject=group_of(stream, topic, group)))

    async def delete_group(self, *, stream: str, topic: str, group: str) -> None:
        check_names(stream=stream, topic=topic, group=group)
        await self._session.run(lambda client: _delete_group(client, stream, topic, group))

    async def delete_topic(self, *, stream: str, topic: str) -> None:
        check_names(stream=stream, topic=topic)
        request = topics.DeleteTopic(stream=stream, topic=topic)
        await self._session.run(lambda client: client.request(request, subject=topic_of(stream, topic)))

    async def delete_stream(self, stream: str) -> None:
        check_names(stream=stream)
        request = streams.DeleteStream(stream=stream)
        await self._session.run(lambda client: client.request(request, subject=f"stream {stream!r}"))


async def _delete_group(client: Client, stream: str, topic: str, group: str) -> None:
    """With what members that died left on its roll, which nobody would read any more."""
    subject = group_of(stream, topic, group)
    await client.request(groups.DeleteGroup(stream=stream, topic=topic, group=group), subject=subject)
    listed = await client.ask(groups.GetGroups(stream=stream, topic=topic), groups.GroupList, subject=subject)
    for entry in read_roll(((each.id, each.name) for each in listed.groups) if listed else (), group=group).entries:
        with contextlib.suppress(NotFoundError):
            request = groups.DeleteGroup(stream=stream, topic=topic, group=entry.name)
            await client.request(request, subject=subject)


async def _committed_offsets(client: Client, stream: str, topic: str, group: str) -> dict[int, CommittedOffset]:
    subject = group_of(stream, topic, group)
    request = groups.GetGroup(stream=stream, topic=topic, group=group)
    found = await client.ask(request, groups.GroupDetails, subject=subject)
    if found is None:
        raise NotFoundError(f"{subject} does not exist", command="get_group")
    stored = {}
    for partition_id in range(found.group.partitions_count):
        question = offsets.GetOffset(
            consumer=Consumer(ConsumerKind.GROUP, group), stream=stream, topic=topic, partition_id=partition_id
        )
        answer = await client.ask(question, offsets.OffsetInfo, subject=subject)
        if answer is not None:
            stored[partition_id] = CommittedOffset(committed=answer.stored_offset, current=answer.current_offset)
    return stored


def _topic_info(found: topics.TopicDetails) -> TopicInfo:
    topic = found.topic
    options = (*topic.derived_options, *topic.options)
    return TopicInfo(
        id=topic.id,
        name=topic.name,
        created_at=topic.created_at,
        partitions=topic.partitions_count,
        messages=topic.messages_count,
        size_bytes=topic.size_bytes,
        durability=durability_in_force(options),
        max_age=expiry_seconds(topic.message_expiry),
        max_bytes=limit_bytes(topic.max_topic_size),
        segment_bytes=segment_bytes(options),
        # An empty partition also says offset 0.
        current_offsets={
            partition.id: partition.current_offset
            for partition in found.partitions
            if partition.messages_count or partition.current_offset
        },
    )
