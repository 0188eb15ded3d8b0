"""Consumer groups."""

from __future__ import annotations

from rustok_iggy_connector.local_server.broker import Broker
from rustok_iggy_connector.local_server.entries import Topic
from rustok_iggy_connector.local_server.groups import ConsumerGroup
from rustok_iggy_connector.local_server.sessions import Session
from rustok_iggy_connector.local_server.storage.contract import ConsumerKey, SetOffset
from rustok_iggy_connector.wire.commands import groups
from rustok_iggy_connector.wire.primitives import ConsumerKind


def get_group(broker: Broker, session: Session, request: groups.GetGroup) -> groups.GroupDetails | None:
    topic = broker.catalog.topic(request.stream, request.topic)
    found = broker.catalog.groups.find(topic, request.group)
    if found is None:
        return None
    members = tuple(groups.GroupMember(id=member.id, partitions=tuple(member.partitions)) for member in found.members)
    return groups.GroupDetails(group=_group_info(topic, found), members=members)


def get_groups(broker: Broker, session: Session, request: groups.GetGroups) -> groups.GroupList:
    topic = broker.catalog.topic(request.stream, request.topic)
    return groups.GroupList(groups=tuple(_group_info(topic, group) for group in broker.catalog.groups.of(topic)))


def create_group(broker: Broker, session: Session, request: groups.CreateGroup) -> groups.GroupInfo:
    topic = broker.catalog.topic(request.stream, request.topic, committed=True)
    return _group_info(topic, broker.catalog.groups.create(topic, request.name))


def delete_group(broker: Broker, session: Session, request: groups.DeleteGroup) -> None:
    topic = broker.catalog.topic(request.stream, request.topic, committed=True)
    gone = broker.catalog.groups.delete(topic, request.group)
    key = ConsumerKey(ConsumerKind.GROUP, gone.id)
    for partition in topic.partitions:
        log = broker.log(partition)
        if key in log.offsets:
            broker.commits.writes.append(SetOffset(log_id=log.id, consumer=key, offset=None))


def join_group(broker: Broker, session: Session, request: groups.JoinGroup) -> None:
    topic = broker.catalog.topic(request.stream, request.topic, committed=True)
    broker.catalog.groups.join(topic, request.group, session, now=broker.group_clock())


def leave_group(broker: Broker, session: Session, request: groups.LeaveGroup) -> None:
    topic = broker.catalog.topic(request.stream, request.topic, committed=True)
    broker.catalog.groups.leave(topic, request.group, session)


def sync_group(broker: Broker, session: Session, request: groups.SyncGroup) -> groups.Assignment | None:
    """None for whoever is not a member, and for what is not there."""
    group = broker.catalog.find_group(request.stream, request.topic, request.group)
    assignment = None if group is None else group.assignment(session)
    if assignment is None:
        return None
    generation, partitions = assignment
    return groups.Assignment(generation=generation, partitions=tuple(partitions))


def _group_info(topic: Topic, group: ConsumerGroup) -> groups.GroupInfo:
    return groups.GroupInfo(
        id=group.id,
        partitions_count=len(topic.partitions),
        members_count=group.members_count,
        name=group.name,
    )
