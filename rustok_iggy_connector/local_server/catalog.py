"""Streams, topics and partitions: names, ids, limits, what a change does to the rest.

Ids are the lowest free number (iggy-server's core/metadata/src/stm/id_slab.rs), so they are used again after a delete.
Names are 1 to 255 bytes; one of digits only is taken, as iggy-server does, but clients read it as an id.

Every command either does all it says or raises Refusal and changes nothing. Time is microseconds since 1970.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from rustok_iggy_connector.local_server.changes import Change, ChangeRecorder, Row
from rustok_iggy_connector.local_server.entries import (
    NextGroupId,
    NextIncarnation,
    Partition,
    StoredGroup,
    Stream,
    Topic,
    check_name,
    from_row,
    to_row,
)
from rustok_iggy_connector.local_server.group_directory import GROUP_IDS, GROUPS, GroupDirectory, GroupOffsets
from rustok_iggy_connector.local_server.groups import ConsumerGroup, lowest_free
from rustok_iggy_connector.local_server.options import (
    MAX_PREALLOCATED_BYTES,
    MAX_SEGMENT_BYTES,
    NEVER,
    Value,
    derived_options,
    explicit_options,
    patched_options,
    read_options,
    refuse_options,
)
from rustok_iggy_connector.local_server.refusal import Refusal
from rustok_iggy_connector.wire.codes import Status
from rustok_iggy_connector.wire.fields import Field
from rustok_iggy_connector.wire.primitives import Identifier

# The limits of iggy-server: core/binary_protocol/src/namespace.rs and lib.rs.
MAX_STREAMS: Final = 1 << 20
MAX_TOPICS: Final = 4096
MAX_PARTITIONS: Final = 1_000_000
MAX_PARTITIONS_PER_REQUEST: Final = 1000
PARTITION_IDS_EXHAUSTED: Final = 3013

STREAMS, TOPICS, INCARNATIONS = "streams", "topics", "incarnations"
"""Tables of the rows; keys are ids joined by "/"."""


class Catalog:
    """All streams and what is in them; consumer groups are in `groups`. One owner; methods return at once.

    `group_offsets` is asked while groups settle. Reads give None for what is not there where they are called
    `find_…`, else refuse with the status that names the missing level.
    """

    def __init__(self, *, group_offsets: GroupOffsets) -> None:
        self._changes = ChangeRecorder()
        self.groups = GroupDirectory(changes=self._changes, group_offsets=group_offsets)
        self._next_incarnation = NextIncarnation()
        self._streams: dict[int, Stream] = {}
        self._stream_ids: dict[str, int] = {}
        self._topics: dict[int, dict[int, Topic]] = {}
        self._topic_ids: dict[int, dict[str, int]] = {}
        self._balance: dict[tuple[int, int], int] = {}

    @classmethod
    def from_rows(cls, rows: Iterable[Change], *, group_offsets: GroupOffsets) -> Catalog:
        """The catalog as the rows say, without members. Rows of other tables are passed over.

        Rows that do not fit raise msgspec.ValidationError, rows of a stream or topic that is not there KeyError.
        """
        tables: dict[str, list[Row]] = {}
        for change in rows:
            if change.row is not None:
                tables.setdefault(change.table, []).append(change.row)
        catalog = cls(group_offsets=group_offsets)
        for row in tables.get(INCARNATIONS, []):
            catalog._next_incarnation = from_row(row, NextIncarnation)
        for row in tables.get(STREAMS, []):
            catalog._add_stream(from_row(row, Stream))
        for row in tables.get(TOPICS, []):
            catalog._add_topic(from_row(row, Topic))
        catalog.groups.restore(
            (from_row(row, StoredGroup) for row in tables.get(GROUPS, [])),
            (from_row(row, NextGroupId) for row in tables.get(GROUP_IDS, [])),
        )
        catalog.take_changes()
        return catalog

    def take_changes(self) -> list[Change]:
        """The rows touched since the last call; store them before the command is answered."""
        return self._changes.take()

    # Reads

    @property
    def streams(self) -> list[Stream]:
        """All streams in ascending id."""
        return [self._streams[stream_id] for stream_id in sorted(self._streams)]

    def topics(self, stream_id: int) -> list[Topic]:
        """The topics of a stream in ascending id; none for a stream that is not there."""
        topics = self._topics.get(stream_id, {})
        return [topics[topic_id] for topic_id in sorted(topics)]

    def find_stream(self, stream: Identifier) -> Stream | None:
        """The stream with this id or name."""
        stream_id = self._stream_ids.get(stream) if isinstance(stream, str) else stream
        return None if stream_id is None else self._streams.get(stream_id)

    def find_topic(self, stream: Identifier, topic: Identifier) -> Topic | None:
        """The topic with this id or name."""
        found = self.find_stream(stream)
        if found is None:
            return None
        topic_id = self._topic_ids[found.id].get(topic) if isinstance(topic, str) else topic
        return None if topic_id is None else self._topics[found.id].get(topic_id)

    def find_group(self, stream: Identifier, topic: Identifier, group: Identifier) -> ConsumerGroup | None:
        """The consumer group with this id or name."""
        within = self.find_topic(stream, topic)
        return None if within is None else self.groups.find(within, group)

    def stream(self, stream: Identifier, *, committed: bool = False) -> Stream:
        """The stream, or a refusal with 1009; `committed` as in Refusal."""
        found = self.find_stream(stream)
        if found is None:
            raise Refusal(Status.STREAM_ID_NOT_FOUND, committed=committed)
        return found

    def topic(self, stream: Identifier, topic: Identifier, *, committed: bool = False) -> Topic:
        """The topic, or a refusal with 1009 or 2010."""
        found = self.find_topic(self.stream(stream, committed=committed).id, topic)
        if found is None:
            raise Refusal(Status.TOPIC_ID_NOT_FOUND, committed=committed)
        return found

    def next_balanced_partition(self, topic: Topic) -> int | None:
        """Round robin over the topic's partitions, from 0 after a restart; None when it has none."""
        if not topic.partitions:
            return None
        count = len(topic.partitions)
        turn = self._balance.get(topic.key, 0)
        self._balance[topic.key] = (turn + 1) % count
        return turn % count

    # Streams

    def create_stream(self, name: str, *, options: Iterable[Field] = (), now: int) -> Stream:
        """Refuses a taken name (1012), any option (4041; there are none yet), too many streams (1020)."""
        check_name(name)
        refuse_options(options)
        if name in self._stream_ids:
            raise Refusal(Status.STREAM_NAME_ALREADY_EXISTS, committed=True)
        stream_id = lowest_free(self._streams)
        if stream_id >= MAX_STREAMS:
            raise Refusal(Status.TOO_MANY_STREAMS, committed=True)
        return self._add_stream(Stream(id=stream_id, name=name, created_at=now))

    def update_stream(self, stream: Identifier, *, name: str, options: Iterable[Field] = ()) -> Stream:
        """Rename. Refuses a name that another stream has (1012)."""
        check_name(name)
        refuse_options(options)
        old = self.stream(stream, committed=True)
        if self._stream_ids.get(name, old.id) != old.id:
            raise Refusal(Status.STREAM_NAME_ALREADY_EXISTS, committed=True)
        del self._stream_ids[old.name]
        new = replace(old, name=name)
        self._streams[old.id] = new
        self._stream_ids[name] = old.id
        self._changes.put(STREAMS, str(old.id), to_row(new))
        return new

    def delete_stream(self, stream: Identifier) -> list[Topic]:
        """The topics that went with it; their partitions' messages and offsets are to be dropped."""
        gone = self.stream(stream, committed=True)
        topics = self.topics(gone.id)
        for topic in topics:
            self._remove_topic(topic)
        del self._streams[gone.id], self._stream_ids[gone.name], self._topics[gone.id], self._topic_ids[gone.id]
        self._changes.remove(STREAMS, str(gone.id))
        return topics

    def purge_stream(self, stream: Identifier) -> list[Partition]:
        """Empty every partition. Gives the retired incarnations, whose messages and offsets are to be dropped."""
        topics = self.topics(self.stream(stream, committed=True).id)
        return [partition for topic in topics for partition in self.purge_topic(*topic.key)]

    # Topics

    def create_topic(
        self, stream: Identifier, *, name: str, partitions_count: int, options: Iterable[Field] = (), now: int
    ) -> Topic:
        """Refuses a missing stream (1009), a taken name (2013), too many partitions (2015) or topics (2021), and
        options that are unknown (4041), bad (4042), or cap the topic below one segment (1019).
        """
        check_name(name)
        given = read_new_topic(options, partitions_count)
        stream_id = self.stream(stream, committed=True).id
        if name in self._topic_ids[stream_id]:
            raise Refusal(Status.TOPIC_NAME_ALREADY_EXISTS, committed=True)
        topic_id = lowest_free(self._topics[stream_id])
        if topic_id >= MAX_TOPICS:
            raise Refusal(Status.TOO_MANY_TOPICS, committed=True)
        topic = Topic(
            stream_id=stream_id,
            id=topic_id,
            name=name,
            created_at=now,
            partitions=self._new_partitions(range(partitions_count), now),
            message_expiry=_number(given, "message_expiry", NEVER),
            max_topic_size=_number(given, "max_topic_size", NEVER),
            segment_size=_number(given, "segment_size", MAX_SEGMENT_BYTES),
            compression=str(given.get("compression_algorithm", "none")),
            explicit=explicit_options(given),
            derived=derived_options(given),
        )
        return self._add_topic(topic)

    def update_topic(self, stream: Identifier, topic: Identifier, *, name: str, options: Iterable[Field] = ()) -> Topic:
        """Rename and patch: expiry, size and compression may change, each only when given.

        Refuses a name that another topic has (2013), other options (4041), bad values (4042), a cap below one
        segment (1019). Values stay as they were sent, which is iggy-server's habit for updates.
        """
        check_name(name)
        sent = list(options)
        given = self.read_topic_patch(stream, topic, sent)
        old = self.topic(stream, topic, committed=True)
        names = self._topic_ids[old.stream_id]
        if names.get(name, old.id) != old.id:
            raise Refusal(Status.TOPIC_NAME_ALREADY_EXISTS, committed=True)
        del names[old.name]
        names[name] = old.id
        explicit, derived = patched_options(old.explicit, old.derived, sent)
        new = replace(
            old,
            name=name,
            message_expiry=_number(given, "message_expiry", old.message_expiry),
            max_topic_size=_number(given, "max_topic_size", old.max_topic_size),
            compression=str(given.get("compression_algorithm", old.compression)),
            explicit=explicit,
            derived=derived,
        )
        return self._put_topic(new)

    def read_topic_patch(self, stream: Identifier, topic: Identifier, options: Iterable[Field]) -> dict[str, Value]:
        """What an update sets. Refuses as `update_topic` says, also when there is no such topic."""
        given = read_options(options, updating=True)
        known = self.find_topic(stream, topic)
        if _number(given, "max_topic_size", NEVER) < (MAX_SEGMENT_BYTES if known is None else known.segment_size):
            raise Refusal(Status.INVALID_TOPIC_SIZE)
        return given

    def delete_topic(self, stream: Identifier, topic: Identifier) -> Topic:
        """The topic as it was; its partitions' messages and offsets are to be dropped."""
        gone = self.topic(stream, topic, committed=True)
        self._remove_topic(gone)
        return gone

    def purge_topic(self, stream: Identifier, topic: Identifier) -> list[Partition]:
        """Empty every partition: offsets start again at 0, committed offsets are gone, groups and members stay.

        Gives the retired incarnations, whose messages and offsets are to be dropped.
        """
        old = self.topic(stream, topic, committed=True)
        fresh = self._new_partitions(old.partition_ids, 0)
        kept = tuple(
            replace(partition, incarnation=new.incarnation)
            for partition, new in zip(old.partitions, fresh, strict=True)
        )
        self._put_topic(replace(old, partitions=kept))
        self.groups.forget_polled(old, old.partition_ids)
        return list(old.partitions)

    # Partitions

    def create_partitions(self, stream: Identifier, topic: Identifier, count: int, *, now: int) -> list[Partition]:
        """The new partitions. Refuses a count outside 1 to 1000 (2015); deals all groups of the topic anew."""
        check_partitions_count(count, least=1)
        old = self.topic(stream, topic, committed=True)
        first = len(old.partitions)
        if first + count > MAX_PARTITIONS:
            raise Refusal(PARTITION_IDS_EXHAUSTED, committed=True)
        added = self._new_partitions(range(first, first + count), now)
        self.groups.deal(self._put_topic(replace(old, partitions=old.partitions + added)))
        return list(added)

    def delete_partitions(self, stream: Identifier, topic: Identifier, count: int) -> list[Partition]:
        """The removed partitions, those with the highest ids. Refuses a count outside 1 to 1000 (2015) or above what
        there is (2019); deals all groups of the topic anew.
        """
        check_partitions_count(count, least=1)
        old = self.topic(stream, topic, committed=True)
        if count > len(old.partitions):
            raise Refusal(Status.INVALID_PARTITIONS_COUNT, committed=True)
        kept, removed = old.partitions[:-count], old.partitions[-count:]
        self.groups.deal(self._put_topic(replace(old, partitions=kept)))
        self.groups.forget_polled(old, (partition.id for partition in removed))
        return list(removed)

    # Inside

    def _add_stream(self, stream: Stream) -> Stream:
        self._streams[stream.id] = stream
        self._stream_ids[stream.name] = stream.id
        self._topics[stream.id] = {}
        self._topic_ids[stream.id] = {}
        self._changes.put(STREAMS, str(stream.id), to_row(stream))
        return stream

    def _add_topic(self, topic: Topic) -> Topic:
        self._topic_ids[topic.stream_id][topic.name] = topic.id
        return self._put_topic(topic)

    def _put_topic(self, topic: Topic) -> Topic:
        self._topics[topic.stream_id][topic.id] = topic
        self.groups.track(topic)
        self._changes.put(TOPICS, _topic_key(topic), to_row(topic))
        return topic

    def _remove_topic(self, topic: Topic) -> None:
        self.groups.untrack(topic)
        del self._topics[topic.stream_id][topic.id], self._topic_ids[topic.stream_id][topic.name]
        self._balance.pop(topic.key, None)
        self._changes.remove(TOPICS, _topic_key(topic))

    def _new_partitions(self, ids: Iterable[int], now: int) -> tuple[Partition, ...]:
        first = self._next_incarnation.next
        made = tuple(
            Partition(id=partition_id, created_at=now, incarnation=first + place)
            for place, partition_id in enumerate(ids)
        )
        self._next_incarnation = NextIncarnation(next=first + len(made))
        self._changes.put(INCARNATIONS, "next", to_row(self._next_incarnation))
        return made


def _topic_key(topic: Topic) -> str:
    return f"{topic.stream_id}/{topic.id}"


def check_partitions_count(count: int, *, least: int) -> None:
    """Refuses how many partitions one request makes or removes (2015)."""
    if not least <= count <= MAX_PARTITIONS_PER_REQUEST:
        raise Refusal(Status.TOO_MANY_PARTITIONS)


def _number(given: dict[str, Value], key: str, default: int) -> int:
    return int(given.get(key, default))


def read_new_topic(options: Iterable[Field], partitions_count: int) -> dict[str, Value]:
    """What the creator of a topic sets. Refuses all that `create_topic` does but for what is there already."""
    given = read_options(options)
    segment_size = _number(given, "segment_size", MAX_SEGMENT_BYTES)
    if given.get("preallocate_segments") and segment_size * partitions_count > MAX_PREALLOCATED_BYTES:
        raise Refusal(Status.INVALID_OPTION_VALUE)
    check_partitions_count(partitions_count, least=0)
    if _number(given, "max_topic_size", NEVER) < segment_size:
        raise Refusal(Status.INVALID_TOPIC_SIZE)
    return given
