"""Login, by password or by token. A refusal ends the connection with an eviction frame, as iggy-server's does."""

from __future__ import annotations

import struct
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

_REASONS: Final = {
    Status.INVALID_CREDENTIALS: EvictionReason.INVALID_CREDENTIALS,
    Status.INVALID_TOKEN: EvictionReason.INVALID_TOKEN,
    Status.USER_INACTIVE: EvictionReason.USER_INACTIVE,
}
"""Why a login was refused → what the client is told."""

Finish = Callable[[Parts, bool], None]
"""Takes the frame to send, and whether the connection ends with it."""


def log_in(broker: Broker, session: Session, frame: RequestFrame, finish: Finish) -> None:
    """Answer a login request, perhaps later: a password seen for the first time takes 50 ms, elsewhere."""
    request = _decode(frame.body)
    if isinstance(request, EvictionReason):
        finish(_eviction(frame, request), True)
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

        broker.world.run_slow(partial(verify_password, request.password, stored), learned)


def _conclude(
    broker: Broker, session: Session, frame: RequestFrame, finish: Finish, authenticate: Callable[[], User]
) -> None:
    if session.closed:
        return
    try:
        user = authenticate()
    except Refusal as refusal:
        finish(_eviction(frame, _REASONS[Status(refusal.status)]), True)
        return
    if session.user_id != user.id:
        broker.log_out(session)
    session.user_id = user.id
    session.client = frame.header.client
    session.number = session.number or broker.next_login_number()
    reply = LoginReply(
        user_id=user.id, session=session.number, protocol_version=PROTOCOL_VERSION, server_version=SERVER_VERSION
    )
    finish(encode_success(frame.header, Command.LOGIN, reply, op=session.number, commit=session.number), False)


def _by_password(broker: Broker, request: Login) -> User:
    return broker.users.login(request.username, request.password)


def _by_token(broker: Broker, request: LoginWithToken) -> User:
    return broker.users.login_with_token(request.token, now=broker.world.now())


def _decode(body: bytes) -> Login | LoginWithToken | EvictionReason:
    """The version comes first, so that a client of another generation hears about that and not about its body."""
    if len(body) >= struct.calcsize("<I") and not is_compatible_protocol(struct.unpack_from("<I", body)[0]):
        return EvictionReason.INCOMPATIBLE_PROTOCOL
    for shape in (Login, LoginWithToken):
        try:
            return shape.decode(body)
        except RemoteProtocolError:
            continue
    return EvictionReason.MALFORMED_LOGIN


def _eviction(frame: RequestFrame, reason: EvictionReason) -> Parts:
    version = PROTOCOL_VERSION if reason is EvictionReason.INCOMPATIBLE_PROTOCOL else 0
    return [encode_eviction(frame.header, reason, lowest=version, highest=version)]
