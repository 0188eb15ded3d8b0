"""Checked passwords, so that the expensive hash runs once for each and not at every login.

What is kept is a keyed hash of password and stored line under a key that lives and dies with the process: whoever reads
the memory could as well read the passwords as they arrive. A changed password changes its line and so its entry.

Right and wrong ones are kept apart: no number of guesses makes who knows the password wait for a hash again.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from rustok_iggy_connector.local_server.passwords import verify_password

MAX_ENTRIES: Final = 1024
"""Of each kind: more accounts than a local server has, and little enough to hold what someone who guesses leaves."""


class PasswordCache:
    """Answers from memory what was asked before. `key` is 32 fresh random bytes."""

    def __init__(self, *, key: bytes, verify: Callable[[str, str], bool] = verify_password) -> None:
        self._key = key
        self._verify = verify
        self._known: dict[bool, OrderedDict[bytes, str]] = {True: OrderedDict(), False: OrderedDict()}

    def knows(self, password: str, stored: str) -> bool:
        """Whether `verify` would answer at once."""
        return self._answer(self._entry(password, stored)) is not None

    def verify(self, password: str, stored: str) -> bool:
        """Whether the stored line was made from this password; takes 50 ms for a new pair."""
        known = self._answer(self._entry(password, stored))
        return self.learn(password, stored, self._verify(password, stored)) if known is None else known

    def learn(self, password: str, stored: str, fits: bool) -> bool:
        """Remember an answer found elsewhere; gives it back."""
        alike = self._known[fits]
        alike[self._entry(password, stored)] = stored
        if len(alike) > MAX_ENTRIES:
            alike.popitem(last=False)
        return fits

    def guesses(self, stored: str) -> int:
        """How many wrong passwords for this line are remembered."""
        return sum(line == stored for line in self._known[False].values())

    def _answer(self, entry: bytes) -> bool | None:
        return next((fits for fits, entries in self._known.items() if entry in entries), None)

    def _entry(self, password: str, stored: str) -> bytes:
        return hmac.digest(self._key, f"{stored}\0{password}".encode(), "sha256")
