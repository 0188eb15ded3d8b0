"""Login, by password or by token. A refusal is an eviction frame; the connection stays, and may log in again.

A client makes up the id it logs in with. Over another connection that id is the same client again, with the memberships
it had, if it is the same user; the connection that had it before is nobody's then.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from rustok_iggy_connector.errors import RemoteProtocolError
from rustok_iggy_connector.local_server.broker import SERVER_VERSION, Broker
from rustok_iggy_connector.local_server.commits import Parts
from rustok_iggy_connector.local_server.passwords import NOBODY, verify_password
from rustok_iggy_connector.local_server.refusal import Refusal
from rustok_iggy_connector.local_server.sessions import Session
from rustok_iggy_connector.local_server.users import User
from rustok_iggy_connector.wire.codes import (
    PROTOCOL_VERSION,
    Command,
    EvictionReason,
    Status,
    is_compatible_protocol,
)
from rustok_iggy_connector.wire.commands.session import Login, LoginReply, LoginWithToken
from rustok_iggy_connector.wire.connection import RequestFrame, encode_eviction, encode_success
from rustok_iggy_connector.wire.primitives import Reader

_REASONS: Final = {
    Status.INVALID_CREDENTIALS: EvictionReason.INVALID_CREDENTIALS,
    Status.INVALID_TOKEN: EvictionReason.INVALID_TOKEN,
    Status.USER_INACTIVE: EvictionReason.USER_INACTIVE,
    Status.INVALID_SESSION: EvictionReason.SESSION_ERROR,
}
"""Why a login was refused → what the client is told."""

Finish = Callable[[Parts], None]
"""Takes the frame to send."""


def log_in(broker: Broker, session: Session, frame: RequestFrame, finish: Finish) -> None:
    """Answer a login request, perhaps later: a password seen for the first time takes 50 ms, elsewhere."""
    request = _decode(frame.body)
    if isinstance(request, EvictionReason):
        finish(_eviction(frame, request))
    elif isinstance(request, LoginWithToken):
        _conclude(broker, session, frame, finish, partial(_by_token, broker, request))
    else:
        user = broker.users.find(request.username)
        stored = NOBODY if user is None else user.password_hash
        conclude = partial(_conclude, broker, session, frame, finish, partial(_by_password, broker, request))
        if broker.passwords.knows(request.password, stored):
            conclude()
            return

        def learned(fits: bool) -> None:
            broker.passwords.learn(request.password, stored, fits)
            conclude()

        check = partial(verify_password, request.password, stored)
        broker.world.run_slow(check, learned, stored, broker.passwords.guesses(stored))


def _conclude(
    broker: Broker, session: Session, frame: RequestFrame, finish: Finish, authenticate: Callable[[], User]
) -> None:
    if session.closed:
        return
    try:
        user = authenticate()
        _bind(broker, session, user, client=frame.header.client)
    except Refusal as refusal:
        finish(_eviction(frame, _REASONS[Status(refusal.status)]))
        return
    reply = LoginReply(
        user_id=user.id, session=session.number, protocol_version=PROTOCOL_VERSION, server_version=SERVER_VERSION
    )
    finish(encode_success(frame.header, Command.LOGIN, reply, op=session.number, commit=session.number))


def _bind(broker: Broker, session: Session, user: User, *, client: int) -> None:
    """The session is this user's and this client's from now on. Refuses another user's client id (14001).

    A user who is logged in stays who it is, whatever client id comes with a second login.
    """
    if session.user_id != user.id:
        broker.log_out(session)
        if broker.is_taken(client, by=user.id):
            raise Refusal(Status.INVALID_SESSION)
        broker.hand_on(client, session)
        session.user_id = user.id
        session.client = client
        session.number = broker.next_login_number()


def _by_password(broker: Broker, request: Login) -> User:
    return broker.users.login(request.username, request.password)


def _by_token(broker: Broker, request: LoginWithToken) -> User:
    return broker.users.login_with_token(request.token, now=broker.world.now())


def _decode(body: bytes) -> Login | LoginWithToken | EvictionReason:
    """The version comes first, so that a client of another generation hears about that and not about the rest."""
    reader = Reader(body)
    try:
        version, _, _ = reader.u32(), reader.name(), reader.name()
        if not is_compatible_protocol(version):
            return EvictionReason.INCOMPATIBLE_PROTOCOL
        return _by_shape(body)
    except RemoteProtocolError:
        return EvictionReason.MALFORMED_LOGIN


def _by_shape(body: bytes) -> Login | LoginWithToken:
    """A name and a password, or else a token. A name without a password can be read as a token too, and is."""
    try:
        login = Login.read(Reader(body))
        if login.password:
            return login
    except RemoteProtocolError:
        pass
    return LoginWithToken.read(Reader(body))


def _eviction(frame: RequestFrame, reason: EvictionReason) -> Parts:
    version = PROTOCOL_VERSION if reason is EvictionReason.INCOMPATIBLE_PROTOCOL else 0
    return [encode_eviction(frame.header, reason, lowest=version, highest=version)]
