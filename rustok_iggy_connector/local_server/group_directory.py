"""Which consumer groups each topic has, and the commands on them.

Group ids start at 0 in each topic and are never used again there, so a group made anew never meets the offsets of its
namesake. Ids, names and generations are rows; members are not, they end with their connections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from rustok_iggy_connector.local_server.changes import ChangeRecorder
from rustok_iggy_connector.local_server.entries import (
    NextGroupId,
    Partition,
    StoredGroup,
    Topic,
    check_name,
    to_row,
)
from rustok_iggy_connector.local_server.groups import ConsumerGroup, Session
from rustok_iggy_connector.local_server.refusal import Refusal
from rustok_iggy_connector.wire.codes import Status
from rustok_iggy_connector.wire.primitives import Identifier

GROUPS, GROUP_IDS = "groups", "group_ids"
"""Tables of the rows; keys are ids joined by "/"."""

GroupOffsets: TypeAlias = Callable[[Partition, int], int | None]
"""Reads the committed offset of a group (by id) in a partition; None when it has none."""


@dataclass(kw_only=True, slots=True)
class _TopicGroups:
    topic: Topic
    next_id: int = 0
    groups: dict[int, ConsumerGroup] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)


class GroupDirectory:
    """The consumer groups of all topics. Topics must be tracked before they are asked about.

    Commands do all they say or raise Refusal and change nothing. `now` is microseconds of a clock that does not go
    back.
    """

    def __init__(self, *, changes: ChangeRecorder, group_offsets: GroupOffsets) -> None:
        self._changes = changes
        self._group_offsets = group_offsets
        self._topics: dict[tuple[int, int], _TopicGroups] = {}
        self._settling: set[tuple[tuple[int, int], int]] = set()

    def track(self, topic: Topic) -> None:
        """Take note of a new topic or of a topic's new state."""
        known = self._topics.get(topic.key)
        if known is None:
            self._topics[topic.key] = _TopicGroups(topic=topic)
        else:
            known.topic = topic

    def untrack(self, topic: Topic) -> None:
        """The topic is gone, and its groups with it."""
        within = self._topics.pop(topic.key)
        for group in within.groups.values():
            self._settling.discard((topic.key, group.id))
            self._changes.remove(GROUPS, _row_key(topic, group))
        self._changes.remove(GROUP_IDS, _topic_row_key(topic))

    def restore(self, groups: Iterable[StoredGroup], next_ids: Iterable[NextGroupId]) -> None:
        """Put back what was stored. KeyError for a topic that is not tracked."""
        for next_id in next_ids:
            self._topics[next_id.stream_id, next_id.topic_id].next_id = next_id.next
        for stored in groups:
            within = self._topics[stored.stream_id, stored.topic_id]
            within.groups[stored.id] = ConsumerGroup(id=stored.id, name=stored.name, generation=stored.generation)
            within.ids[stored.name] = stored.id

    def of(self, topic: Topic) -> list[ConsumerGroup]:
        """The groups of a topic in ascending id."""
        groups = self._topics[topic.key].groups
        return [groups[group_id] for group_id in sorted(groups)]

    def find(self, topic: Topic, group: Identifier) -> ConsumerGroup | None:
        """The group with this id or name, None when there is none."""
        within = self._topics[topic.key]
        group_id = within.ids.get(group) if isinstance(group, str) else group
        return None if group_id is None else within.groups.get(group_id)

    def get(self, topic: Topic, group: Identifier, *, committed: bool = False) -> ConsumerGroup:
        """The group, or a refusal with 5000; `committed` as in Refusal."""
        found = self.find(topic, group)
        if found is None:
            raise Refusal(Status.GROUP_ID_NOT_FOUND, committed=committed)
        return found

    def memberships(self, session: Session) -> list[tuple[int, int, int]]:
        """Stream id, topic id and group id of every group the session is a member of."""
        return [
            (*topic_key, group.id)
            for topic_key, within in self._topics.items()
            for group in within.groups.values()
            if group.is_member(session)
        ]

    def create(self, topic: Topic, name: str) -> ConsumerGroup:
        """Refuses a taken name (5004)."""
        check_name(name)
        within = self._topics[topic.key]
        if name in within.ids:
            raise Refusal(Status.GROUP_NAME_ALREADY_EXISTS, committed=True)
        group = ConsumerGroup(id=within.next_id, name=name)
        within.next_id += 1
        within.groups[group.id] = group
        within.ids[name] = group.id
        next_id = NextGroupId(stream_id=topic.stream_id, topic_id=topic.id, next=within.next_id)
        self._changes.put(GROUP_IDS, _topic_row_key(topic), to_row(next_id))
        self._put(topic, group)
        return group

    def delete(self, topic: Topic, group: Identifier) -> ConsumerGroup:
        """The group that is gone; its committed offsets are to be dropped. Refuses one that is not there (5000)."""
        gone = self.get(topic, group, committed=True)
        within = self._topics[topic.key]
        del within.groups[gone.id], within.ids[gone.name]
        self._settling.discard((topic.key, gone.id))
        self._changes.remove(GROUPS, _row_key(topic, gone))
        return gone

    def join(self, topic: Topic, group: Identifier, session: Session, *, now: int) -> ConsumerGroup:
        """Make the session a member; one that is a member already stays as it is. Refuses a missing group (5000)."""
        found = self.get(topic, group, committed=True)
        topic = self._topics[topic.key].topic
        committed = self._committed(topic, found)
        if found.join(session, partitions=topic.partition_ids, committed=committed, now=now):
            self._put(topic, found)
        return found

    def leave(self, topic: Topic, group: Identifier, session: Session) -> ConsumerGroup:
        """End a membership. Refuses a missing group (5000) and a session that is no member (5006)."""
        found = self.get(topic, group, committed=True)
        topic = self._topics[topic.key].topic
        if not found.leave(session, partitions=topic.partition_ids):
            raise Refusal(Status.GROUP_MEMBER_NOT_FOUND, committed=True)
        self._put(topic, found)
        return found

    def hand_on(self, session: Session, heir: Session) -> None:
        """Every membership of the session goes on over another connection, as if nothing had happened."""
        for within in self._topics.values():
            for group in within.groups.values():
                group.hand_on(session, heir)

    def drop_session(self, session: Session) -> bool:
        """End every membership of a session that logged out or lost its connection. True when it had any."""
        left = False
        for within in self._topics.values():
            for group in within.groups.values():
                if group.leave(session, partitions=within.topic.partition_ids):
                    self._put(within.topic, group)
                    left = True
        return left

    def settle(self, *, now: int) -> bool:
        """Hand over what is ready in the groups that wait for it. True when one still waits.

        Call it after each commit of a group's offset and, while it says True, at least once a second. It costs nothing
        when no group waits.
        """
        for topic_key, group_id in sorted(self._settling):
            within = self._topics[topic_key]
            group = within.groups[group_id]
            if group.settle(committed=self._committed(within.topic, group), now=now):
                self._put(within.topic, group)
        return bool(self._settling)

    def deal(self, topic: Topic) -> None:
        """Deal the partitions of all groups anew: their number has changed."""
        for group in self.of(topic):
            group.deal(topic.partition_ids)
            self._put(topic, group)

    def forget_polled(self, topic: Topic, partitions: Iterable[int]) -> None:
        """These partitions were emptied or removed: what was polled from them counts no more."""
        ids = list(partitions)
        for group in self.of(topic):
            group.forget_polled(ids)

    def _put(self, topic: Topic, group: ConsumerGroup) -> None:
        (self._settling.add if group.settling else self._settling.discard)((topic.key, group.id))
        stored = StoredGroup(
            stream_id=topic.stream_id, topic_id=topic.id, id=group.id, name=group.name, generation=group.generation
        )
        self._changes.put(GROUPS, _row_key(topic, group), to_row(stored))

    def _committed(self, topic: Topic, group: ConsumerGroup) -> Callable[[int], int | None]:
        return lambda partition_id: self._group_offsets(topic.partitions[partition_id], group.id)


def _row_key(topic: Topic, group: ConsumerGroup) -> str:
    return f"{_topic_row_key(topic)}/{group.id}"


def _topic_row_key(topic: Topic) -> str:
    return f"{topic.stream_id}/{topic.id}"
