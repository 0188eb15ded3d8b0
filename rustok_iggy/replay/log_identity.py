"""What a plan remembers of a partition's log, so that a run knows it again.

A log that was begun again (a purge, a topic made anew) counts its offsets again, and once it is long enough nothing in
them shows that. An event keeps the id and the time under which the server stored it at its offset.
"""

from __future__ import annotations

from datetime import datetime
from typing import Self
from uuid import UUID

from msgspec import Struct

from rustok_iggy.moments import moment_of
from rustok_iggy_connector import ReceivedMessage


class KnownMessage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A message as it stood at `offset` when the plan was made; `stored_at` is the server's time, in UTC."""

    offset: int
    message_id: UUID
    stored_at: datetime

    @classmethod
    def of(cls, message: ReceivedMessage) -> Self:
        """Return what is to be remembered of a message."""
        return cls(offset=message.offset, message_id=UUID(int=message.id), stored_at=moment_of(message.timestamp))

    def is_another(self, message: ReceivedMessage) -> bool:
        """Whether another message stands at this offset. One above it tells nothing: retention removed this one."""
        return message.offset == self.offset and KnownMessage.of(message) != self
