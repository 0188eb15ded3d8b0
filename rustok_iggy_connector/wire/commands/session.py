"""Commands 39, 40 and 45: login, login with a token, logout. A server tries the first shape, then the second.

protocol version u32, SDK name, SDK version, then user name and password, or a token; context length u32, context
"""

from __future__ import annotations

from dataclasses import field

from rustok_iggy_connector.wire.layout import U32, U64, Layout, LongText, Name, ShortText, message


@message
class Login(Layout):
    protocol_version: U32
    sdk_name: Name
    sdk_version: Name
    username: Name
    password: ShortText = field(repr=False)
    context: LongText = ""


@message
class LoginWithToken(Layout):
    protocol_version: U32
    sdk_name: Name
    sdk_version: Name
    token: ShortText = field(repr=False)
    context: LongText = ""


@message
class LoginReply(Layout):
    """`session` goes into the header of every later request."""

    user_id: U32
    session: U64
    protocol_version: U32
    server_version: Name


@message
class Logout(Layout):
    pass
