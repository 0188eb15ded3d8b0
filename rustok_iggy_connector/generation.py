"""Tells a server of an older generation from one that is only silent.

Up to 0.8 a request was its length u32, a command code u32 and a body; a reply a status u32, a length u32 and a body. To
such a server a login of today is noise, and it waits for the rest of it. But it answers a ping in its own words, which
to a server of today are the beginning of a header and nothing to answer yet.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct

_PING = struct.pack("<II", 4, 1)
_PONG = struct.pack("<II", 0, 0)
ANSWER_TIMEOUT = 0.5
"""Seconds; a ping needs no login and no disk."""


async def speaks_older_protocol(address: str) -> bool:
    """Whether the server at `host:port` answers a ping of the generations up to 0.8. Raises nothing."""
    host, _, port = address.rpartition(":")
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(ANSWER_TIMEOUT):
            reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
            try:
                writer.write(_PING)
                return await reader.readexactly(len(_PONG)) == _PONG
            finally:
                writer.close()
                await writer.wait_closed()
    return False
