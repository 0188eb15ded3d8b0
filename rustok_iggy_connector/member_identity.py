"""Who a member of a group is for the server, and a record of it that outlives the process.

A server that keeps members when it is restarted (docs/decisions/0006) keeps those of processes that died meanwhile too.
Only a logout with their client id removes them, so the id of every member of this directory is a file in it, locked
for as long as the member lives. A file without a lock is a member that died, and whoever takes the lock removes it.
"""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CLIENT_ID_BITS = 128
_HEX_DIGITS = CLIENT_ID_BITS // 4
MAX_ABANDONED = 64
"""Dead members taken at once: each costs a login of 75 ms, and what is left is taken the next time."""


def _new_client_id() -> int:
    return secrets.randbits(CLIENT_ID_BITS) | 1  # the protocol has no client 0


@dataclass(slots=True, kw_only=True)
class MemberIdentity:
    """`client` is the id that the server knows the member by.

    `next_request` goes on where the last connection stopped: iggy-server neither does nor answers another request under
    a number that it has seen. `is_known`: the server may have a session, and with it memberships, of this id.
    """

    client: int = field(default_factory=_new_client_id)
    next_request: int = 1
    is_known: bool = False
    record: MemberRecord | None = None

    def release(self) -> None:
        """The member is gone. Its record stays when the server may still know of it. Idempotent."""
        record, self.record = self.record, None
        if record is not None:
            record.close(keep=self.is_known)


class MemberRecord:
    """One locked file."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def close(self, *, keep: bool) -> None:
        if not keep:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)


class MemberDirectory:
    """The members of one server that processes of this machine have, or had."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def enter(self) -> MemberIdentity:
        """A new identity with its record. Raises OSError."""
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        client = _new_client_id()
        record = self._lock(self._path / f"{client:0{_HEX_DIGITS}x}", os.O_CREAT)
        if record is None:  # somebody looked at the new file before it was locked, and removes it
            return self.enter()
        return MemberIdentity(client=client, record=record)

    def abandoned(self) -> Iterator[MemberIdentity]:
        """The members that died, each locked for the caller: log it out, then release it."""
        try:
            names = sorted(path.name for path in self._path.iterdir())
        except FileNotFoundError:
            return
        found = 0
        for name in names:
            if found == MAX_ABANDONED:
                return
            if len(name) != _HEX_DIGITS:
                continue
            try:
                client = int(name, 16)
            except ValueError:
                continue
            record = self._lock(self._path / name, 0)
            if record is not None:
                found += 1
                yield MemberIdentity(client=client, is_known=True, record=record)

    def _lock(self, path: Path, flags: int) -> MemberRecord | None:
        """None when the member lives, or its file is gone by now."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | flags, 0o600)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink:
                return MemberRecord(path, descriptor)
        except BlockingIOError:
            pass
        os.close(descriptor)
        return None
