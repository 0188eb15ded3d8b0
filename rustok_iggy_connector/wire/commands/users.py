"""Commands 31–37: users and what they may do. Streams and topics in permissions are named by id."""

from __future__ import annotations

from dataclasses import field
from enum import IntEnum
from typing import Annotated, Any

from rustok_iggy_connector.errors import RemoteProtocolError
from rustok_iggy_connector.wire.layout import (
    U8,
    U32,
    U64,
    Codec,
    Flag,
    Identifier,
    Layout,
    Name,
    OptionalName,
    OptionalU8,
    Options,
    ShortText,
    SizedOptions,
    message,
    nested,
    repeated,
)
from rustok_iggy_connector.wire.primitives import Reader, Writer


class UserStatus(IntEnum):
    ACTIVE = 1
    INACTIVE = 2


def _chained(element: Codec) -> Codec:
    """A flag; if 1, an element and another flag; and so on."""

    def read(reader: Reader) -> tuple[Any, ...]:
        elements = []
        while reader.flag():
            elements.append(element.read(reader))
        return tuple(elements)

    def write(writer: Writer, elements: tuple[Any, ...]) -> None:
        for value in elements:
            writer.flag(True)
            element.write(writer, value)
        writer.flag(False)

    return Codec(read, write)


@message
class TopicPermissions(Layout):
    topic_id: U32
    manage_topic: Flag = False
    read_topic: Flag = False
    poll_messages: Flag = False
    send_messages: Flag = False


@message
class StreamPermissions(Layout):
    stream_id: U32
    manage_stream: Flag = False
    read_stream: Flag = False
    manage_topics: Flag = False
    read_topics: Flag = False
    poll_messages: Flag = False
    send_messages: Flag = False
    topics: Annotated[tuple[TopicPermissions, ...], _chained(nested(TopicPermissions))] = ()


@message
class Permissions(Layout):
    """Global rights, then those on single streams and topics."""

    manage_servers: Flag = False
    read_servers: Flag = False
    manage_users: Flag = False
    read_users: Flag = False
    manage_streams: Flag = False
    read_streams: Flag = False
    manage_topics: Flag = False
    read_topics: Flag = False
    poll_messages: Flag = False
    send_messages: Flag = False
    streams: Annotated[tuple[StreamPermissions, ...], _chained(nested(StreamPermissions))] = ()


def _read_permissions(reader: Reader) -> Permissions | None:
    return Permissions.decode(reader.view(reader.u32())) if reader.flag() else None


def _write_permissions(writer: Writer, permissions: Permissions | None) -> None:
    writer.flag(permissions is not None)
    if permissions is not None:
        writer.long_bytes(permissions.encode())


def _read_reply_permissions(reader: Reader) -> Permissions | None:
    """As in requests, but none at all is four zero bytes instead of one."""
    if reader.flag():
        return Permissions.decode(reader.view(reader.u32()))
    if reader.take(3) != bytes(3):
        raise RemoteProtocolError("permissions neither there nor absent")
    return None


def _write_reply_permissions(writer: Writer, permissions: Permissions | None) -> None:
    if permissions is None:
        writer.u32(0)
    else:
        _write_permissions(writer, permissions)


OptionalPermissions = Annotated[Permissions | None, Codec(_read_permissions, _write_permissions)]
OptionalReplyPermissions = Annotated[Permissions | None, Codec(_read_reply_permissions, _write_reply_permissions)]


@message
class UserInfo(Layout):
    """One user. `created_at` is microseconds since 1970, `status` a UserStatus."""

    id: U32
    created_at: U64
    status: U8
    username: Name
    options: SizedOptions = ()


@message
class UserDetails(Layout):
    """One user with permissions; also the reply to CreateUser."""

    user: UserInfo
    permissions: OptionalReplyPermissions = None


@message
class UserList(Layout):
    users: Annotated[tuple[UserInfo, ...], repeated(nested(UserInfo))] = ()


@message
class GetUser(Layout):
    user: Identifier


@message
class GetUsers(Layout):
    pass


@message
class CreateUser(Layout):
    username: Name
    password: ShortText = field(repr=False)
    status: U8 = UserStatus.ACTIVE
    permissions: OptionalPermissions = None
    options: Options = ()


@message
class DeleteUser(Layout):
    user: Identifier


@message
class UpdateUser(Layout):
    """What is not given stays as it is."""

    user: Identifier
    username: OptionalName = None
    status: OptionalU8 = None
    options: Options = ()


@message
class UpdatePermissions(Layout):
    user: Identifier
    permissions: OptionalPermissions = None


@message
class ChangePassword(Layout):
    user: Identifier
    current_password: ShortText = field(repr=False)
    new_password: ShortText = field(repr=False)
