"""Who may do what: one table from commands to the rights that allow them.

A right is the name of a flag in Permissions. Any one of a rule's rights is enough, held everywhere, on the stream or on
the topic. The rules are iggy-server's (core/metadata/src/permissioner/permissioner_rules): who may manage may read, who
may read may poll, and consumer groups need no more than reading their topic.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final, NamedTuple

from rustok_iggy_connector.wire.codes import RESULT_FRAMED, Command, Operation, operation_of
from rustok_iggy_connector.wire.commands.users import Permissions


class Rule(NamedTuple):
    """Which rights allow a command: held everywhere, on the stream it names, on the topic it names."""

    everywhere: tuple[str, ...]
    stream: tuple[str, ...] = ()
    topic: tuple[str, ...] = ()


_READ_SERVER = Rule(("manage_servers", "read_servers"))
_READ_USERS = Rule(("manage_users", "read_users"))
_MANAGE_USERS = Rule(("manage_users",))
_CREATE_STREAM = Rule(("manage_streams",))
_READ_STREAMS = Rule(("manage_streams", "read_streams"))
_READ_STREAM = Rule(("manage_streams", "read_streams"), ("manage_stream", "read_stream"))
_MANAGE_STREAM = Rule(("manage_streams",), ("manage_stream",))
_CREATE_TOPIC = Rule(("manage_streams", "manage_topics"), ("manage_stream", "manage_topics"))
_MANAGE_TOPIC = Rule(*_CREATE_TOPIC[:2], ("manage_topic",))
_READ_TOPICS = Rule(
    ("manage_streams", "read_streams", "manage_topics", "read_topics"),
    ("manage_stream", "read_stream", "manage_topics", "read_topics"),
)
_READ_TOPIC = Rule(*_READ_TOPICS[:2], ("manage_topic", "read_topic"))
_POLL = Rule(*((*rights, "poll_messages") for rights in _READ_TOPIC))
_SEND = Rule(*((*rights, "send_messages") for rights in _MANAGE_TOPIC))

RULES: Final = MappingProxyType(
    {
        # A login is enough, or not even needed; tokens are always the caller's own, and a flush is nobody's.
        Command.PING: None,
        Command.LOGIN: None,
        Command.LOGIN_WITH_TOKEN: None,
        Command.LOGOUT: None,
        Command.GET_ME: None,
        Command.GET_CLUSTER_METADATA: None,
        Command.DESCRIBE_OPTIONS: None,
        Command.GET_TOKENS: None,
        Command.CREATE_TOKEN: None,
        Command.DELETE_TOKEN: None,
        Command.SYNC_GROUP: None,
        Command.FLUSH_UNSAVED_BUFFER: None,
        Command.GET_STATS: _READ_SERVER,
        Command.GET_CLIENT: _READ_SERVER,
        Command.GET_CLIENTS: _READ_SERVER,
        Command.GET_USER: _READ_USERS,
        Command.GET_USERS: _READ_USERS,
        Command.CREATE_USER: _MANAGE_USERS,
        Command.DELETE_USER: _MANAGE_USERS,
        Command.UPDATE_USER: _MANAGE_USERS,
        Command.UPDATE_PERMISSIONS: _MANAGE_USERS,
        Command.CHANGE_PASSWORD: _MANAGE_USERS,
        Command.GET_STREAMS: _READ_STREAMS,
        Command.GET_STREAM: _READ_STREAM,
        Command.CREATE_STREAM: _CREATE_STREAM,
        Command.UPDATE_STREAM: _MANAGE_STREAM,
        Command.DELETE_STREAM: _MANAGE_STREAM,
        Command.PURGE_STREAM: _MANAGE_STREAM,
        Command.GET_TOPICS: _READ_TOPICS,
        Command.GET_TOPIC: _READ_TOPIC,
        Command.CREATE_TOPIC: _CREATE_TOPIC,
        Command.UPDATE_TOPIC: _MANAGE_TOPIC,
        Command.DELETE_TOPIC: _MANAGE_TOPIC,
        Command.PURGE_TOPIC: _MANAGE_TOPIC,
        Command.CREATE_PARTITIONS: _MANAGE_TOPIC,
        Command.DELETE_PARTITIONS: _MANAGE_TOPIC,
        Command.DELETE_SEGMENTS: _MANAGE_TOPIC,
        Command.GET_GROUP: _READ_TOPIC,
        Command.GET_GROUPS: _READ_TOPIC,
        Command.CREATE_GROUP: _READ_TOPIC,
        Command.DELETE_GROUP: _READ_TOPIC,
        Command.JOIN_GROUP: _READ_TOPIC,
        Command.LEAVE_GROUP: _READ_TOPIC,
        Command.POLL_MESSAGES: _POLL,
        Command.GET_OFFSET: _POLL,
        Command.STORE_OFFSET: _POLL,
        Command.DELETE_OFFSET: _POLL,
        Command.SEND_MESSAGES: _SEND,
    }
)
"""Every command and what it needs; None: nothing beyond a login."""

OWN_ACCOUNT: Final = frozenset({Command.GET_USER, Command.CHANGE_PASSWORD})
"""Commands that need no right when they are about the user who gives them."""

_PARTITION_OPERATIONS: Final = frozenset({Operation.STORE_OFFSET, Operation.DELETE_OFFSET})


def denied_in_result(command: Command) -> bool:
    """Whether a denial of the command travels in the result section of its reply (`Refusal.committed`)."""
    operation = operation_of(command)
    return operation in RESULT_FRAMED and operation not in _PARTITION_OPERATIONS


def allows(
    permissions: Permissions | None, command: Command, *, stream_id: int | None = None, topic_id: int | None = None
) -> bool:
    """Whether these permissions (None: no rights at all) allow the command on what it names."""
    rule = RULES[command]
    if rule is None:
        return True
    if permissions is None:
        return False
    if _holds(permissions, rule.everywhere):
        return True
    stream = next((found for found in permissions.streams if found.stream_id == stream_id), None)
    if stream is None:
        return False
    topic = next((found for found in stream.topics if found.topic_id == topic_id), None)
    return _holds(stream, rule.stream) or (topic is not None and _holds(topic, rule.topic))


def _holds(flags: object, rights: tuple[str, ...]) -> bool:
    return any(getattr(flags, right) for right in rights)
