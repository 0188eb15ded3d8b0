"""Every command, its request and its reply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

from rustok_iggy_connector.errors import RemoteProtocolError
from rustok_iggy_connector.wire.codes import COMMAND_OF, Command, Operation
from rustok_iggy_connector.wire.commands import (
    groups,
    messages,
    offsets,
    partitions,
    session,
    streams,
    system,
    tokens,
    topics,
    users,
)
from rustok_iggy_connector.wire.header import RequestHeader
from rustok_iggy_connector.wire.primitives import Buffer


class Message(Protocol):
    """What every request and reply can do."""

    def encode(self) -> bytes: ...

    @classmethod
    def decode(cls, data: Buffer) -> Self: ...


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """A command's two classes. `may_be_empty`: a reply of no bytes means that there is no such thing."""

    request: type[Message]
    reply: type[Message] = system.Empty
    may_be_empty: bool = False


COMMANDS: dict[Command, CommandSpec] = {
    Command.PING: CommandSpec(system.Ping),
    Command.GET_STATS: CommandSpec(system.GetStats, system.Stats),
    Command.GET_CLUSTER_METADATA: CommandSpec(system.GetClusterMetadata, system.ClusterMetadata),
    Command.DESCRIBE_OPTIONS: CommandSpec(system.DescribeOptions, system.OptionCatalogue),
    Command.GET_ME: CommandSpec(system.GetMe, system.ClientDetails, may_be_empty=True),
    Command.GET_CLIENT: CommandSpec(system.GetClient, system.ClientDetails, may_be_empty=True),
    Command.GET_CLIENTS: CommandSpec(system.GetClients, system.ClientList),
    Command.GET_USER: CommandSpec(users.GetUser, users.UserDetails, may_be_empty=True),
    Command.GET_USERS: CommandSpec(users.GetUsers, users.UserList),
    Command.CREATE_USER: CommandSpec(users.CreateUser, users.UserDetails),
    Command.DELETE_USER: CommandSpec(users.DeleteUser),
    Command.UPDATE_USER: CommandSpec(users.UpdateUser),
    Command.UPDATE_PERMISSIONS: CommandSpec(users.UpdatePermissions),
    Command.CHANGE_PASSWORD: CommandSpec(users.ChangePassword),
    Command.LOGOUT: CommandSpec(session.Logout),
    Command.LOGIN: CommandSpec(session.Login, session.LoginReply),
    Command.LOGIN_WITH_TOKEN: CommandSpec(session.LoginWithToken, session.LoginReply),
    Command.GET_TOKENS: CommandSpec(tokens.GetTokens, tokens.TokenList),
    Command.CREATE_TOKEN: CommandSpec(tokens.CreateToken, tokens.CreateTokenReply),
    Command.DELETE_TOKEN: CommandSpec(tokens.DeleteToken),
    Command.POLL_MESSAGES: CommandSpec(messages.PollMessages, messages.PollMessagesReply),
    Command.SEND_MESSAGES: CommandSpec(messages.SendMessages, messages.SendMessagesReply),
    Command.FLUSH_UNSAVED_BUFFER: CommandSpec(messages.FlushUnsavedBuffer),
    Command.GET_OFFSET: CommandSpec(offsets.GetOffset, offsets.OffsetInfo, may_be_empty=True),
    Command.STORE_OFFSET: CommandSpec(offsets.StoreOffset),
    Command.DELETE_OFFSET: CommandSpec(offsets.DeleteOffset),
    Command.GET_STREAM: CommandSpec(streams.GetStream, streams.StreamDetails, may_be_empty=True),
    Command.GET_STREAMS: CommandSpec(streams.GetStreams, streams.StreamList),
    Command.CREATE_STREAM: CommandSpec(streams.CreateStream, streams.StreamInfo),
    Command.DELETE_STREAM: CommandSpec(streams.DeleteStream),
    Command.UPDATE_STREAM: CommandSpec(streams.UpdateStream),
    Command.PURGE_STREAM: CommandSpec(streams.PurgeStream),
    Command.GET_TOPIC: CommandSpec(topics.GetTopic, topics.TopicDetails, may_be_empty=True),
    Command.GET_TOPICS: CommandSpec(topics.GetTopics, topics.TopicList, may_be_empty=True),
    Command.CREATE_TOPIC: CommandSpec(topics.CreateTopic, topics.TopicDetails),
    Command.DELETE_TOPIC: CommandSpec(topics.DeleteTopic),
    Command.UPDATE_TOPIC: CommandSpec(topics.UpdateTopic),
    Command.PURGE_TOPIC: CommandSpec(topics.PurgeTopic),
    Command.CREATE_PARTITIONS: CommandSpec(partitions.CreatePartitions),
    Command.DELETE_PARTITIONS: CommandSpec(partitions.DeletePartitions),
    Command.DELETE_SEGMENTS: CommandSpec(partitions.DeleteSegments),
    Command.GET_GROUP: CommandSpec(groups.GetGroup, groups.GroupDetails, may_be_empty=True),
    Command.GET_GROUPS: CommandSpec(groups.GetGroups, groups.GroupList),
    Command.CREATE_GROUP: CommandSpec(groups.CreateGroup, groups.GroupInfo),
    Command.DELETE_GROUP: CommandSpec(groups.DeleteGroup),
    Command.JOIN_GROUP: CommandSpec(groups.JoinGroup),
    Command.LEAVE_GROUP: CommandSpec(groups.LeaveGroup),
    Command.SYNC_GROUP: CommandSpec(groups.SyncGroup, groups.Assignment, may_be_empty=True),
}

COMMAND_OF_REQUEST: dict[type[Message], Command] = {spec.request: command for command, spec in COMMANDS.items()}


def command_of(header: RequestHeader, body: Buffer) -> Command | None:
    """Which command a request is; None for a code that this protocol does not have.

    Only the body tells the two logins apart: user and password first, then a token, as the server tries them.
    """
    if header.operation is Operation.NOT_REPLICATED:
        return Command(header.code) if header.code in COMMANDS else None
    if header.operation is Operation.REGISTER:
        return _login_command(body)
    return COMMAND_OF.get(header.operation)


def _login_command(body: Buffer) -> Command:
    try:
        session.Login.decode(body)
    except RemoteProtocolError:
        return Command.LOGIN_WITH_TOKEN
    return Command.LOGIN
