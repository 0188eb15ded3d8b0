"""Commands 41–43: personal access tokens."""

from __future__ import annotations

from dataclasses import field
from typing import Annotated

from rustok_iggy_connector.wire.layout import U64, Layout, Name, message, nested, repeated


@message
class TokenInfo(Layout):
    """`expiry_at` is microseconds since 1970, 0 for never. The token itself is shown once, at creation."""

    name: Name
    expiry_at: U64


@message
class TokenList(Layout):
    tokens: Annotated[tuple[TokenInfo, ...], repeated(nested(TokenInfo))] = ()


@message
class GetTokens(Layout):
    pass


@message
class CreateToken(Layout):
    """`expiry` is microseconds from now, 2**64 − 1 for never."""

    name: Name
    expiry: U64


@message
class CreateTokenReply(Layout):
    token: Name = field(repr=False)


@message
class DeleteToken(Layout):
    name: Name
