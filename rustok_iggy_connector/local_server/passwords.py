"""Password hashes: scrypt with a salt of its own each, as one line of text.

    scrypt$16384$8$1$<salt, hex>$<hash, hex>

The three numbers are cost, block size and parallelism. They cost about 50 ms and 16 MiB a check, OWASP's least for an
interactive login; a later, dearer choice leaves old hashes valid, since each line says how it was made.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

SALT_BYTES: Final = 16
HASH_BYTES: Final = 32
COST, BLOCK_SIZE, PARALLELISM = 1 << 14, 8, 1
_MEMORY_LIMIT: Final = 64 << 20
"""OpenSSL refuses by default what needs 32 MiB; 16 are needed, the rest is room for a dearer choice."""


def hash_password(password: str, *, salt: bytes) -> str:
    """The line to store. `salt` is SALT_BYTES fresh random bytes."""
    digest = _scrypt(password, salt, COST, BLOCK_SIZE, PARALLELISM)
    return f"scrypt${COST}${BLOCK_SIZE}${PARALLELISM}${salt.hex()}${digest.hex()}"


def verify_password(password: str, stored: str) -> bool:
    """Whether the line was made from this password. Takes as long for a wrong one. ValueError: not such a line."""
    name, cost, block_size, parallelism, salt, digest = stored.split("$")
    if name != "scrypt":
        raise ValueError("not a scrypt line")
    made = _scrypt(password, bytes.fromhex(salt), int(cost), int(block_size), int(parallelism))
    return hmac.compare_digest(made, bytes.fromhex(digest))


def _scrypt(password: str, salt: bytes, cost: int, block_size: int, parallelism: int) -> bytes:
    return hashlib.scrypt(
        password.encode(), salt=salt, n=cost, r=block_size, p=parallelism, maxmem=_MEMORY_LIMIT, dklen=HASH_BYTES
    )


NOBODY: Final = f"scrypt${COST}${BLOCK_SIZE}${PARALLELISM}${bytes(SALT_BYTES).hex()}${bytes(HASH_BYTES).hex()}"
"""A line that no password fits: checked when there is no such user, so that this takes as long as a wrong password."""
