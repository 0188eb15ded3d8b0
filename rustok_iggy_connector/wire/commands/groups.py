"""Commands 600–606: consumer groups."""

from __future__ import annotations

from typing import Annotated

from rustok_iggy_connector.wire.layout import (
    U32,
    U64,
    Identifier,
    Layout,
    Name,
    U32List,
    message,
    nested,
    repeated,
)


@message
class GroupInfo(Layout):
    """One group; also the reply to CreateGroup."""

    id: U32
    partitions_count: U32
    members_count: U32
    name: Name


@message
class GroupMember(Layout):
    """One member and the partitions it is assigned."""

    id: U32
    partitions: U32List = ()


@message
class GroupDetails(Layout):
    """One group and its members."""

    group: GroupInfo
    members: Annotated[tuple[GroupMember, ...], repeated(nested(GroupMember))] = ()


@message
class GroupList(Layout):
    groups: Annotated[tuple[GroupInfo, ...], repeated(nested(GroupInfo))] = ()


@message
class Assignment(Layout):
    """What the asking member owns. `generation` grows with every change of the group, also over a server restart."""

    generation: U64
    partitions: U32List = ()


@message
class GetGroup(Layout):
    stream: Identifier
    topic: Identifier
    group: Identifier


@message
class GetGroups(Layout):
    stream: Identifier
    topic: Identifier


@message
class CreateGroup(Layout):
    stream: Identifier
    topic: Identifier
    name: Name


@message
class DeleteGroup(Layout):
    stream: Identifier
    topic: Identifier
    group: Identifier


@message
class JoinGroup(Layout):
    stream: Identifier
    topic: Identifier
    group: Identifier


@message
class LeaveGroup(Layout):
    stream: Identifier
    topic: Identifier
    group: Identifier


@message
class SyncGroup(Layout):
    """Asks for the Assignment; the reply is empty for a connection that is not a member."""

    stream: Identifier
    topic: Identifier
    group: Identifier
