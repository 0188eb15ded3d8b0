"""Users and personal access tokens."""

from __future__ import annotations

from dataclasses import replace

from rustok_iggy_connector.local_server.broker import Broker
from rustok_iggy_connector.local_server.passwords import SALT_BYTES
from rustok_iggy_connector.local_server.refusal import Refusal
from rustok_iggy_connector.local_server.sessions import Session
from rustok_iggy_connector.local_server.users import TOKEN_BYTES, User
from rustok_iggy_connector.wire.codes import Status
from rustok_iggy_connector.wire.commands import tokens, users


def get_user(broker: Broker, session: Session, request: users.GetUser) -> users.UserDetails | None:
    found = broker.users.find(request.user)
    return None if found is None else _user_details(found)


def get_users(broker: Broker, session: Session, request: users.GetUsers) -> users.UserList:
    return users.UserList(users=tuple(_user_info(user) for user in broker.users.users))


def create_user(broker: Broker, session: Session, request: users.CreateUser) -> users.UserDetails:
    made = broker.users.create_user(
        request.username,
        request.password,
        status=request.status,
        permissions=request.permissions,
        options=request.options,
        salt=broker.world.randomness(SALT_BYTES),
        now=broker.world.now(),
    )
    shown = replace(_user_info(made), status=request.status)  # an unknown one is shown once, and means active
    return users.UserDetails(user=shown, permissions=made.permissions)


def update_user(broker: Broker, session: Session, request: users.UpdateUser) -> None:
    broker.users.update_user(request.user, username=request.username, status=request.status, options=request.options)


def delete_user(broker: Broker, session: Session, request: users.DeleteUser) -> None:
    """Sessions of the user stay connected; a user who is gone has no rights."""
    broker.users.delete_user(request.user)


def change_password(broker: Broker, session: Session, request: users.ChangePassword) -> None:
    broker.users.change_password(
        request.user, request.current_password, request.new_password, salt=broker.world.randomness(SALT_BYTES)
    )


def update_permissions(broker: Broker, session: Session, request: users.UpdatePermissions) -> None:
    broker.users.update_permissions(request.user, request.permissions)


def get_tokens(broker: Broker, session: Session, request: tokens.GetTokens) -> tokens.TokenList:
    found = broker.users.tokens_of(_user_id(session))
    return tokens.TokenList(
        tokens=tuple(tokens.TokenInfo(name=token.name, expiry_at=token.expires_at or 0) for token in found)
    )


def create_token(broker: Broker, session: Session, request: tokens.CreateToken) -> tokens.CreateTokenReply:
    token = broker.users.create_token(
        _user_id(session),
        request.name,
        expiry=request.expiry,
        randomness=broker.world.randomness(TOKEN_BYTES),
        now=broker.world.now(),
    )
    return tokens.CreateTokenReply(token=token)


def delete_token(broker: Broker, session: Session, request: tokens.DeleteToken) -> None:
    broker.users.delete_token(_user_id(session), request.name)


def _user_id(session: Session) -> int:
    if session.user_id is None:
        raise Refusal(Status.UNAUTHENTICATED)
    return session.user_id


def _user_details(user: User) -> users.UserDetails:
    return users.UserDetails(user=_user_info(user), permissions=user.permissions)


def _user_info(user: User) -> users.UserInfo:
    return users.UserInfo(id=user.id, created_at=user.created_at, status=user.status, username=user.username)
