"""Who a member of a group is for the server, over all its connections."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

CLIENT_ID_BITS = 128


@dataclass(slots=True)
class MemberIdentity:
    """`client` is the id that the server knows the member by.

    `next_request` goes on where the last connection stopped: a server answers a number that it has seen before with
    what it answered then.
    """

    client: int = field(default_factory=lambda: secrets.randbits(CLIENT_ID_BITS) | 1)
    next_request: int = 1
