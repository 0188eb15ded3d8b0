"""Verified passwords, so that the expensive hash runs once for each and not at every login.

What is kept is a keyed hash of password and stored line under a key that lives and dies with the process: whoever reads
the memory could as well read the passwords as they arrive. A changed password changes its line and so its entry.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from rustok_iggy_connector.local_server.passwords import verify_password

MAX_ENTRIES: Final = 1024
"""More accounts than a local server has, and little enough to hold what someone who guesses leaves behind."""


class PasswordCache:
    """Answers from memory what was asked before. `key` is 32 fresh random bytes."""

    def __init__(self, *, key: bytes, verify: Callable[[str, str], bool] = verify_password) -> None:
        self._key = key
        self._verify = verify
        self._known: OrderedDict[bytes, bool] = OrderedDict()

    def knows(self, password: str, stored: str) -> bool:
        """Whether `verify` would answer at once."""
        return self._entry(password, stored) in self._known

    def verify(self, password: str, stored: str) -> bool:
        """Whether the stored line was made from this password; takes 50 ms for a new pair."""
        entry = self._entry(password, stored)
        known = self._known.get(entry)
        return self.learn(password, stored, self._verify(password, stored)) if known is None else known

    def learn(self, password: str, stored: str, fits: bool) -> bool:
        """Remember an answer found elsewhere; gives it back."""
        self._known[self._entry(password, stored)] = fits
        if len(self._known) > MAX_ENTRIES:
            self._known.popitem(last=False)
        return fits

    def _entry(self, password: str, stored: str) -> bytes:
        return hmac.digest(self._key, f"{stored}\0{password}".encode(), "sha256")
