"""Who gets in, and what they may do then."""

import pytest

from rustok_iggy_connector.local_server.broker import RETENTION_INTERVAL
from rustok_iggy_connector.local_server.in_process import EvictedError, InProcessServer, InProcessSession
from rustok_iggy_connector.wire.codec import Refusal
from rustok_iggy_connector.wire.codes import EvictionReason, Status
from rustok_iggy_connector.wire.commands import Message, streams, system, topics
from rustok_iggy_connector.wire.commands.session import Login, Logout
from rustok_iggy_connector.wire.commands.tokens import CreateToken, CreateTokenReply, DeleteToken, GetTokens, TokenList
from rustok_iggy_connector.wire.commands.users import (
    ChangePassword,
    CreateUser,
    DeleteUser,
    GetUser,
    Permissions,
    UpdatePermissions,
    UpdateUser,
    UserDetails,
)
from tests.local_server.clients import (
    GROUP,
    SINGLE,
    Clock,
    confirmation,
    join,
    owned,
    payloads,
    poll,
    send,
    store,
    token_login,
)


def test_before_login_only_ping_is_answered(server: InProcessServer) -> None:
    stranger = server.open_session()
    assert stranger.request(system.Ping()) == system.Empty()
    assert stranger.request(streams.GetStreams()) == Refusal(Status.UNAUTHENTICATED)
    assert stranger.request(Logout()) == system.Empty()
    with pytest.raises(EvictedError) as caught:
        stranger.request(streams.CreateStream(name="s"))
    assert caught.value.reason is EvictionReason.NO_SESSION
    stranger.log_in()
    assert isinstance(stranger.request(streams.CreateStream(name="s")), streams.StreamInfo)


def test_after_logout_a_session_is_a_stranger_again(topic: InProcessSession) -> None:
    join(topic)
    topic.request(Logout())
    assert topic.request(streams.GetStreams()) == Refusal(Status.UNAUTHENTICATED)
    topic.log_in()
    assert owned(topic) is None


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (
            Login(protocol_version=11264, sdk_name="x", sdk_version="1", username="iggy", password="no"),
            "INVALID_CREDENTIALS",
        ),
        (
            Login(protocol_version=11264, sdk_name="x", sdk_version="1", username="nobody", password="iggy"),
            "INVALID_CREDENTIALS",
        ),
        (token_login("made-up"), "INVALID_TOKEN"),
        (Login(protocol_version=11264, sdk_name="x", sdk_version="1", username="iggy", password=""), "INVALID_TOKEN"),
        (
            Login(protocol_version=10 << 10, sdk_name="x", sdk_version="1", username="iggy", password="iggy"),
            "INCOMPATIBLE_PROTOCOL",
        ),
    ],
)
def test_a_refused_login_says_why_and_leaves_the_connection_to_another(
    server: InProcessServer, request_: Message, reason: str
) -> None:
    session = server.open_session()
    with pytest.raises(EvictedError) as caught:
        session.request(request_)
    assert caught.value.reason is EvictionReason[reason]
    assert session.request(streams.GetStreams()) == Refusal(Status.UNAUTHENTICATED)
    session.log_in()
    assert session.request(streams.GetStreams()) == streams.StreamList()


def test_a_login_of_the_same_client_id_takes_the_memberships_with_it(
    server: InProcessServer, topic: InProcessSession
) -> None:
    join(topic)
    heir = server.open_session(client=topic.client)
    heir.log_in()
    assert owned(heir) == (0, 1)
    assert topic.request(streams.GetStreams()) == Refusal(Status.UNAUTHENTICATED)
    topic.close()
    assert owned(heir) == (0, 1)
    heir.request(Logout())
    heir.log_in()
    assert owned(heir) is None


def test_the_client_id_of_another_user_is_refused(server: InProcessServer, topic: InProcessSession) -> None:
    make_user(topic, "other", Permissions())
    join(topic)
    thief = server.open_session(client=topic.client)
    with pytest.raises(EvictedError) as caught:
        thief.log_in("other", "secret")
    assert caught.value.reason is EvictionReason.SESSION_ERROR
    assert owned(topic) == (0, 1)
    assert thief.request(streams.GetStreams()) == Refusal(Status.UNAUTHENTICATED)


def make_user(root: InProcessSession, name: str, permissions: Permissions) -> None:
    root.request(CreateUser(username=name, password="secret", permissions=permissions))


def test_a_user_who_may_only_send_cannot_poll_and_the_other_way_round(
    server: InProcessServer, topic: InProcessSession
) -> None:
    make_user(topic, "sender", Permissions(send_messages=True))
    make_user(topic, "reader", Permissions(poll_messages=True, read_topics=True))
    sender, reader = server.open_session(), server.open_session()
    sender.log_in("sender", "secret")
    reader.log_in("reader", "secret")
    assert sender.request(send(b"a")) == confirmation(0)
    assert sender.request(poll()) == Refusal(Status.UNAUTHORIZED)
    assert sender.request(store(SINGLE, 0)) == Refusal(Status.UNAUTHORIZED)
    assert sender.request(streams.CreateStream(name="x")) == Refusal(Status.UNAUTHORIZED, committed=True)
    assert payloads(reader.request(poll())) == [b"a"]
    assert reader.request(send(b"b")) == Refusal(Status.UNAUTHORIZED)
    join(reader)
    assert reader.request(store(GROUP, 0)) == system.Empty()
    assert reader.request(topics.DeleteTopic(stream="s", topic="t")) == Refusal(Status.UNAUTHORIZED, committed=True)


def test_rights_end_at_once_when_they_are_taken_or_the_user_is_deleted(
    server: InProcessServer, topic: InProcessSession
) -> None:
    make_user(topic, "sender", Permissions(send_messages=True))
    sender = server.open_session()
    sender.log_in("sender", "secret")
    topic.request(UpdatePermissions(user="sender", permissions=None))
    assert sender.request(send(b"a")) == Refusal(Status.UNAUTHORIZED)
    topic.request(UpdatePermissions(user="sender", permissions=Permissions(send_messages=True)))
    assert sender.request(send(b"a")) == confirmation(0)
    topic.request(DeleteUser(user="sender"))
    assert sender.request(send(b"a")) == Refusal(Status.UNAUTHORIZED)


def test_an_unknown_status_of_a_new_user_is_shown_once_and_means_active(client: InProcessSession) -> None:
    made = client.request(CreateUser(username="alice", password="secret", status=9))
    found = client.request(GetUser(user="alice"))
    assert isinstance(made, UserDetails)
    assert isinstance(found, UserDetails)
    assert (made.user.status, found.user.status) == (9, 1)


def test_accounts_can_be_changed(server: InProcessServer, client: InProcessSession) -> None:
    make_user(client, "alice", Permissions())
    wrong = ChangePassword(user="alice", current_password="nope", new_password="better")
    assert client.request(wrong) == Refusal(Status.INVALID_CREDENTIALS, committed=True)
    client.request(ChangePassword(user="alice", current_password="secret", new_password="better"))
    client.request(UpdateUser(user="alice", username="alicia"))
    with pytest.raises(EvictedError):
        server.open_session().log_in("alicia", "secret")
    session = server.open_session()
    session.log_in("alicia", "better")
    details = session.request(GetUser(user="alicia"))
    assert isinstance(details, UserDetails)
    assert details.user.username == "alicia"


def test_a_token_logs_in_until_it_is_deleted_or_expires(
    server: InProcessServer, client: InProcessSession, clock: Clock
) -> None:
    def log_in(token: str) -> InProcessSession:
        session = server.open_session()
        session.request(token_login(token))
        return session

    made = [client.request(CreateToken(name=name, expiry=expiry)) for name, expiry in (("a", 0), ("b", 1_000_000))]
    assert all(isinstance(reply, CreateTokenReply) for reply in made)
    lasting, short = (reply.token for reply in made if isinstance(reply, CreateTokenReply))
    assert log_in(lasting).request(GetTokens()) == client.request(GetTokens())
    assert log_in(short).is_open
    clock.seconds += 2
    with pytest.raises(EvictedError):
        log_in(short)
    client.request(DeleteToken(name="a"))
    with pytest.raises(EvictedError):
        log_in(lasting)
    clock.seconds += RETENTION_INTERVAL
    server.tick()
    assert client.request(GetTokens()) == TokenList()
