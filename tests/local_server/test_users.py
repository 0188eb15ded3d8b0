"""Accounts, logins, permissions and personal access tokens."""

import json
from collections.abc import Callable

import pytest

from rustok_iggy_connector.local_server.changes import Change
from rustok_iggy_connector.local_server.options import NEVER
from rustok_iggy_connector.local_server.passwords import SALT_BYTES
from rustok_iggy_connector.local_server.refusal import Refusal
from rustok_iggy_connector.local_server.users import (
    MAX_TOKENS_PER_USER,
    ROOT_ID,
    ROOT_PERMISSIONS,
    TOKEN_BYTES,
    User,
    Users,
)
from rustok_iggy_connector.wire.codes import Command
from rustok_iggy_connector.wire.commands.users import Permissions, StreamPermissions, TopicPermissions, UserStatus
from rustok_iggy_connector.wire.fields import Field

SALT = b"s" * SALT_BYTES
SEND_ONLY = Permissions(
    streams=(StreamPermissions(stream_id=0, topics=(TopicPermissions(topic_id=1, send_messages=True),)),)
)


@pytest.fixture
def users() -> Users:
    """Root is iggy/iggy; alice, who may send to one topic, is user 1."""
    users = Users()
    assert users.ensure_root("iggy", "iggy", salt=SALT, now=1)
    users.create_user("alice", "secret", permissions=SEND_ONLY, salt=SALT, now=2)
    users.take_changes()
    return users


def new_token(users: Users, name: str = "ci", *, expiry: int = 0, now: int = 100, user_id: int = 1) -> str:
    randomness = name.encode().ljust(TOKEN_BYTES, b".")
    return users.create_token(user_id, name, expiry=expiry, randomness=randomness, now=now)


def assert_refused(status: int, call: Callable[[], object], *, committed: bool) -> None:
    with pytest.raises(Refusal) as caught:
        call()
    assert (caught.value.status, caught.value.committed) == (status, committed)


def through_json(changes: list[Change]) -> list[Change]:
    return [
        Change(table=change.table, key=change.key, row=json.loads(json.dumps(change.row)))
        for change in changes
        if change.row is not None
    ]


def test_root_is_made_once_and_may_do_everything(users: Users) -> None:
    assert not users.ensure_root("other", "password", salt=SALT, now=9)
    root = users.find("iggy")
    assert root is not None
    assert (root.id, root.permissions) == (ROOT_ID, ROOT_PERMISSIONS)
    users.authorize(ROOT_ID, Command.DELETE_STREAM, stream_id=5)


@pytest.mark.parametrize(
    ("username", "password"), [("ab", "iggy"), ("a" * 51, "iggy"), ("iggy", "ab"), ("iggy", "a" * 101)]
)
def test_root_credentials_that_could_never_log_in_are_refused_at_the_start(username: str, password: str) -> None:
    with pytest.raises(ValueError, match="root"):
        Users().ensure_root(username, password, salt=SALT, now=1)


def test_login_takes_the_right_password_of_an_active_user(users: Users) -> None:
    assert users.login("alice", "secret").id == 1


@pytest.mark.parametrize(
    ("username", "password"),
    [("alice", "wrong"), ("nobody", "secret"), ("al", "secret"), ("alice", ""), ("alice", "x" * 101), ("", "")],
)
def test_every_failed_login_looks_alike(users: Users, username: str, password: str) -> None:
    assert_refused(42, lambda: users.login(username, password), committed=False)


def test_an_inactive_user_cannot_log_in(users: Users) -> None:
    users.update_user("alice", status=UserStatus.INACTIVE)
    assert_refused(42, lambda: users.login("alice", "secret"), committed=False)
    token = new_token(users)
    assert_refused(47, lambda: users.login_with_token(token, now=101), committed=False)


def test_an_unknown_user_costs_a_password_check_too() -> None:
    checked: list[str] = []

    def verify(password: str, stored: str) -> bool:
        checked.append(stored)
        return True

    users = Users(verify=verify)
    assert_refused(42, lambda: users.login("nobody", "secret"), committed=False)
    assert len(checked) == 1


@pytest.mark.parametrize(("username", "status"), [("ab", 43), ("a" * 51, 43), ("alice", 46)])
def test_usernames_have_3_to_50_bytes_and_are_unique(users: Users, username: str, status: int) -> None:
    users.create_user("bob", "secret", salt=SALT, now=3)
    users.take_changes()
    assert_refused(status, lambda: users.create_user(username, "secret", salt=SALT, now=3), committed=True)
    assert_refused(status, lambda: users.update_user("bob", username=username), committed=True)
    assert users.take_changes() == []


def test_users_take_no_options(users: Users) -> None:
    option = Field.text("theme", "dark")
    assert_refused(
        4041, lambda: users.create_user("bob", "secret", options=[option], salt=SALT, now=3), committed=False
    )
    assert_refused(4041, lambda: users.update_user("alice", options=[option]), committed=False)


def test_an_update_changes_what_is_given(users: Users) -> None:
    users.update_user("alice", username="alicia")
    assert users.find("alice") is None
    users.update_user(1, status=UserStatus.INACTIVE)
    users.update_user(1, status=77)
    user = users.find("alicia")
    assert user is not None
    assert (user.id, user.status, user.permissions) == (1, UserStatus.INACTIVE, SEND_ONLY)


def test_a_missing_user_is_refused_in_the_result(users: Users) -> None:
    assert_refused(20, lambda: users.update_user(9), committed=True)
    assert_refused(20, lambda: users.delete_user("nobody"), committed=True)
    assert_refused(20, lambda: users.change_password("nobody", "a", "b", salt=SALT), committed=True)
    assert_refused(20, lambda: users.update_permissions("nobody", None), committed=True)


def test_root_can_be_neither_deleted_nor_cut_down(users: Users) -> None:
    assert_refused(48, lambda: users.delete_user(ROOT_ID), committed=True)
    assert_refused(49, lambda: users.update_permissions("iggy", None), committed=True)


def test_a_deleted_user_is_gone_with_tokens_and_rights_and_the_id_is_free(users: Users) -> None:
    token = new_token(users)
    users.delete_user("alice")
    assert_refused(42, lambda: users.login("alice", "secret"), committed=False)
    assert_refused(53, lambda: users.login_with_token(token, now=101), committed=False)
    assert_refused(41, lambda: users.authorize(1, Command.SEND_MESSAGES, stream_id=0, topic_id=1), committed=False)
    assert users.create_user("bob", "secret", salt=SALT, now=3).id == 1
    assert users.tokens_of(1) == []


def test_a_password_changes_for_who_knows_the_current_one(users: Users) -> None:
    assert_refused(42, lambda: users.change_password("alice", "guess", "better one", salt=SALT), committed=True)
    users.change_password("alice", "secret", "better one", salt=SALT)
    assert users.login("alice", "better one").id == 1
    assert_refused(42, lambda: users.login("alice", "secret"), committed=False)


def test_new_permissions_count_at_once(users: Users) -> None:
    users.authorize(1, Command.SEND_MESSAGES, stream_id=0, topic_id=1)
    assert_refused(41, lambda: users.authorize(1, Command.POLL_MESSAGES, stream_id=0, topic_id=1), committed=False)
    users.update_permissions(1, Permissions(poll_messages=True))
    users.authorize(1, Command.POLL_MESSAGES, stream_id=0, topic_id=1)
    assert_refused(41, lambda: users.authorize(1, Command.SEND_MESSAGES, stream_id=0, topic_id=1), committed=False)


def test_permissions_are_kept_by_id_and_the_last_word_counts(users: Users) -> None:
    topics = tuple(TopicPermissions(topic_id=topic_id, read_topic=True) for topic_id in (5, 2))
    users.update_permissions(
        "alice",
        Permissions(
            streams=(
                StreamPermissions(stream_id=7, read_stream=True, topics=topics),
                StreamPermissions(stream_id=3, read_stream=True),
                StreamPermissions(stream_id=3, send_messages=True),
            )
        ),
    )
    alice = users.find("alice")
    assert alice is not None
    assert alice.permissions is not None
    assert alice.permissions.streams == (
        StreamPermissions(stream_id=3, send_messages=True),
        StreamPermissions(stream_id=7, read_stream=True, topics=topics[::-1]),
    )


def test_a_denied_write_is_refused_in_its_result(users: Users) -> None:
    assert_refused(41, lambda: users.authorize(1, Command.CREATE_STREAM), committed=True)


@pytest.mark.parametrize("command", [Command.GET_USER, Command.CHANGE_PASSWORD])
def test_ones_own_account_needs_no_right(users: Users, command: Command) -> None:
    users.authorize(1, command, target="alice")
    users.authorize(1, command, target=1)
    users.authorize(1, command, target="not there")
    assert_refused(41, lambda: users.authorize(1, command, target="iggy"), committed=command != Command.GET_USER)


@pytest.mark.parametrize("command", [Command.UPDATE_USER, Command.UPDATE_PERMISSIONS, Command.DELETE_USER])
def test_nobody_raises_their_own_rights(users: Users, command: Command) -> None:
    assert_refused(41, lambda: users.authorize(1, command, target="alice"), committed=True)


def test_a_token_logs_its_user_in_until_it_expires(users: Users) -> None:
    token = new_token(users, expiry=50, now=100)
    assert users.login_with_token(token, now=149).username == "alice"
    assert_refused(53, lambda: users.login_with_token(token, now=150), committed=False)
    assert_refused(53, lambda: users.login_with_token("made up", now=100), committed=False)


@pytest.mark.parametrize("expiry", [0, NEVER])
def test_a_token_without_an_expiry_stays(users: Users, expiry: int) -> None:
    token = new_token(users, expiry=expiry)
    assert users.tokens_of(1)[0].expires_at is None
    assert users.login_with_token(token, now=NEVER).id == 1


def test_token_names_are_unique_for_each_user(users: Users) -> None:
    new_token(users, "ci")
    assert_refused(51, lambda: new_token(users, "ci"), committed=True)
    users.create_token(ROOT_ID, "ci", expiry=0, randomness=b"r" * TOKEN_BYTES, now=1)


def test_a_user_has_at_most_100_tokens(users: Users) -> None:
    for number in range(MAX_TOKENS_PER_USER):
        new_token(users, f"token {number}")
    assert_refused(52, lambda: new_token(users, "one more"), committed=False)
    assert_refused(52, lambda: new_token(users, "token 1"), committed=False)


def test_an_expiry_beyond_time_is_refused(users: Users) -> None:
    assert_refused(56, lambda: new_token(users, expiry=NEVER - 1), committed=True)


def test_deleted_and_expired_tokens_are_gone(users: Users) -> None:
    token = new_token(users, "b")
    new_token(users, "a", expiry=5, now=100)
    assert [found.name for found in users.tokens_of(1)] == ["a", "b"]
    assert users.delete_expired_tokens(now=105) == 1
    users.delete_token(1, "b")
    assert users.tokens_of(1) == []
    assert_refused(53, lambda: users.login_with_token(token, now=1), committed=False)
    assert_refused(20, lambda: users.delete_token(1, "b"), committed=True)


def test_users_and_tokens_are_there_after_a_restart() -> None:
    users = Users()
    users.ensure_root("iggy", "iggy", salt=SALT, now=1)
    users.create_user("alice", "secret", permissions=SEND_ONLY, salt=SALT, now=2)
    token = new_token(users, expiry=50)
    again = Users.from_rows(through_json(users.take_changes()))
    assert again.users == users.users
    assert again.tokens_of(1) == users.tokens_of(1)
    assert again.login_with_token(token, now=101).username == "alice"
    assert again.take_changes() == []


def test_removed_rows_are_told(users: Users) -> None:
    new_token(users, "ci")
    users.take_changes()
    users.delete_user("alice")
    gone = [(change.table, change.key) for change in users.take_changes() if change.row is None]
    assert gone == [("tokens", "1/ci"), ("users", "1")]


def test_secrets_are_in_no_repr_and_in_no_row(users: Users) -> None:
    token = new_token(users)
    users.change_password("alice", "secret", "another one", salt=SALT)
    changes = users.take_changes()
    user = users.find("alice")
    assert isinstance(user, User)
    shown = repr((user, users.tokens_of(1), changes))
    stored = json.dumps([change.row for change in changes])
    assert user.password_hash not in shown
    assert users.tokens_of(1)[0].token_hash not in shown
    assert token not in shown + stored
    assert "another one" not in shown + stored
