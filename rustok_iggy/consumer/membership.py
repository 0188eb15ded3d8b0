"""What a partition asks the member that holds it."""

from __future__ import annotations

from typing import Protocol

from rustok_iggy.consumer.context import GroupLife
from rustok_iggy_connector import Assignment, ConnectorError, MessageSubscriber, NotAssignedError, TopologyAdmin


class Membership(Protocol):
    """One member of a group on one topic."""

    @property
    def subscriber(self) -> MessageSubscriber: ...

    @property
    def life(self) -> GroupLife: ...

    def may_begin(self) -> bool:
        """Whether a delivery may begin now."""
        ...

    def ask(self) -> None:
        """Ask who owns what soon, instead of at the next heartbeat."""
        ...

    async def assignment(self) -> Assignment:
        """Ask who owns what. Raises connector errors. Whoever asks acts on the answer before anything is stored."""
        ...

    async def next_answer(self) -> None:
        """Ask who owns what at once; return when the answer was acted upon."""
        ...

    def overtaken(self, partition_id: int) -> None:
        """The journal says that a partition is another's, whatever the server says."""
        ...


async def life_of(admin: TopologyAdmin, *, stream: str, topic: str, group: str) -> GroupLife | None:
    """Return which group of that name it is; None when it is gone. Raises connector errors."""
    described = await admin.describe_topic(stream=stream, topic=topic)
    found = await admin.describe_group(stream=stream, topic=topic, group=group)
    return None if described is None or found is None else GroupLife(described.created_at, found.id)


def is_transient(error: ConnectorError) -> bool:
    """Whether the next answer about ownership mends it."""
    return error.retryable or isinstance(error, NotAssignedError)
