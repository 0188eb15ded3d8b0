"""Which rights allow which commands."""

import pytest

from rustok_iggy_connector.local_server.access import RULES, allows, denied_in_result
from rustok_iggy_connector.local_server.users import ROOT_PERMISSIONS
from rustok_iggy_connector.wire.codes import Command
from rustok_iggy_connector.wire.commands.users import Permissions, StreamPermissions, TopicPermissions

C = Command
GUARDED = [command for command, rule in RULES.items() if rule is not None]
READ_TOPIC = {C.GET_TOPIC, C.GET_GROUP, C.GET_GROUPS, C.CREATE_GROUP, C.DELETE_GROUP, C.JOIN_GROUP, C.LEAVE_GROUP}
POLL = {C.POLL_MESSAGES, C.GET_OFFSET, C.STORE_OFFSET, C.DELETE_OFFSET}
SEND = {C.SEND_MESSAGES}
MANAGE_TOPIC = {
    C.UPDATE_TOPIC,
    C.DELETE_TOPIC,
    C.PURGE_TOPIC,
    C.CREATE_PARTITIONS,
    C.DELETE_PARTITIONS,
    C.DELETE_SEGMENTS,
}
MANAGE_STREAM = {C.UPDATE_STREAM, C.DELETE_STREAM, C.PURGE_STREAM}
READ_SERVER = {C.GET_STATS, C.GET_CLIENT, C.GET_CLIENTS}
READ_USERS = {C.GET_USER, C.GET_USERS}
MANAGE_USERS = {C.CREATE_USER, C.DELETE_USER, C.UPDATE_USER, C.UPDATE_PERMISSIONS, C.CHANGE_PASSWORD}
READ_TOPICS = {C.GET_TOPICS} | READ_TOPIC | POLL
MANAGE_TOPICS = {C.CREATE_TOPIC} | READ_TOPICS | MANAGE_TOPIC | SEND
READ_STREAMS = {C.GET_STREAM, C.GET_STREAMS} | READ_TOPICS
MANAGE_STREAMS = {C.CREATE_STREAM} | READ_STREAMS | MANAGE_STREAM | MANAGE_TOPICS

EVERYWHERE = {
    "manage_servers": READ_SERVER,
    "read_servers": READ_SERVER,
    "manage_users": READ_USERS | MANAGE_USERS,
    "read_users": READ_USERS,
    "manage_streams": MANAGE_STREAMS,
    "read_streams": READ_STREAMS,
    "manage_topics": MANAGE_TOPICS,
    "read_topics": READ_TOPICS,
    "poll_messages": POLL,
    "send_messages": SEND,
}
ON_A_STREAM = {
    "manage_stream": {C.GET_STREAM} | MANAGE_STREAM | MANAGE_TOPICS,
    "read_stream": {C.GET_STREAM} | READ_TOPICS,
    "manage_topics": MANAGE_TOPICS,
    "read_topics": READ_TOPICS,
    "poll_messages": POLL,
    "send_messages": SEND,
}
ON_A_TOPIC = {
    "manage_topic": READ_TOPIC | POLL | MANAGE_TOPIC | SEND,
    "read_topic": READ_TOPIC | POLL,
    "poll_messages": POLL,
    "send_messages": SEND,
}


def allowed(permissions: Permissions | None, *, stream_id: int = 1, topic_id: int = 2) -> set[Command]:
    return {command for command in GUARDED if allows(permissions, command, stream_id=stream_id, topic_id=topic_id)}


def test_every_command_has_a_rule() -> None:
    assert set(RULES) == set(Command)


@pytest.mark.parametrize("right", EVERYWHERE)
def test_a_right_held_everywhere_allows_just_its_commands(right: str) -> None:
    assert allowed(Permissions(**{right: True})) == EVERYWHERE[right]


@pytest.mark.parametrize("right", ON_A_STREAM)
def test_a_right_on_a_stream_counts_there_only(right: str) -> None:
    permissions = Permissions(streams=(StreamPermissions(stream_id=1, **{right: True}),))
    assert allowed(permissions) == ON_A_STREAM[right]
    assert allowed(permissions, stream_id=3) == set()


@pytest.mark.parametrize("right", ON_A_TOPIC)
def test_a_right_on_a_topic_counts_there_only(right: str) -> None:
    topic = TopicPermissions(topic_id=2, **{right: True})
    permissions = Permissions(streams=(StreamPermissions(stream_id=1, topics=(topic,)),))
    assert allowed(permissions) == ON_A_TOPIC[right]
    assert allowed(permissions, topic_id=3) == set()
    assert allowed(permissions, stream_id=3) == set()


def test_root_may_do_everything_and_a_user_without_permissions_nothing() -> None:
    assert allowed(ROOT_PERMISSIONS) == set(GUARDED)
    assert allowed(None) == allowed(Permissions()) == set()


def test_what_needs_no_right_is_allowed_to_anyone_logged_in() -> None:
    assert all(allows(None, command) for command, rule in RULES.items() if rule is None)


def test_denials_of_metadata_writes_travel_in_the_result_all_others_in_the_header() -> None:
    in_result = {command for command in GUARDED if denied_in_result(command)}
    assert in_result == MANAGE_USERS | MANAGE_STREAM | MANAGE_TOPIC | {
        C.CREATE_STREAM,
        C.CREATE_TOPIC,
        C.CREATE_GROUP,
        C.DELETE_GROUP,
        C.JOIN_GROUP,
        C.LEAVE_GROUP,
    }
