"""Storing a group's offsets from outside: the server takes them only from the member that owns the partition."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from rustok_iggy_connector.client import Client
from rustok_iggy_connector.errors import NotAssignedError, NotFoundError
from rustok_iggy_connector.names import group_of, partition_of
from rustok_iggy_connector.wire.commands import groups, offsets
from rustok_iggy_connector.wire.primitives import Consumer, ConsumerKind

Before = Callable[[int], Awaitable[None]]
"""Takes the generation of the group under which its partitions are this session's."""


async def store_as_only_member(
    client: Client, stream: str, topic: str, group: str, *, wanted: Mapping[int, int | None], before: Before | None
) -> None:
    """Join, await `before`, store every offset (None: delete it), leave. Refused before joining when there are members.

    A member polls nothing here, so a service that joins meanwhile gets its partitions at once, and the server refuses
    what is stored after that. Whatever goes wrong, also a cancellation: the session is closed, which ends membership.
    """
    subject = group_of(stream, topic, group)
    details = await client.ask(
        groups.GetGroup(stream=stream, topic=topic, group=group), groups.GroupDetails, subject=subject
    )
    if details is None:
        raise NotFoundError(f"{subject} does not exist", command="get_group")
    if details.members:
        raise NotAssignedError(f"{subject} has {len(details.members)} members: stop them, then store its offsets")
    try:
        await client.request(groups.JoinGroup(stream=stream, topic=topic, group=group), subject=subject)
        generation = await _owned(client, stream, topic, group, wanted)
        if before is not None:
            await before(generation)
        await _store(client, stream, topic, group, wanted)
        await client.request(groups.LeaveGroup(stream=stream, topic=topic, group=group), subject=subject)
    except BaseException:
        await client.close()
        raise


async def _owned(client: Client, stream: str, topic: str, group: str, wanted: Mapping[int, int | None]) -> int:
    """The generation under which every wanted partition is this member's. Raises NotAssignedError."""
    subject = group_of(stream, topic, group)
    request = groups.SyncGroup(stream=stream, topic=topic, group=group)
    owned = await client.ask(request, groups.Assignment, subject=subject)
    missing = sorted(set(wanted) - set(owned.partitions if owned is not None else ()))
    if missing or owned is None:
        raise NotAssignedError(f"{subject}: partitions {missing} do not exist, or belong to a member that just joined")
    return owned.generation


async def _store(client: Client, stream: str, topic: str, group: str, wanted: Mapping[int, int | None]) -> None:
    consumer = Consumer(ConsumerKind.GROUP, group)
    for partition_id, offset in wanted.items():
        place = partition_of(stream, topic, partition_id)
        if offset is not None:
            await client.request(
                offsets.StoreOffset(
                    consumer=consumer, stream=stream, topic=topic, partition_id=partition_id, offset=offset
                ),
                subject=place,
            )
            continue
        question = offsets.GetOffset(consumer=consumer, stream=stream, topic=topic, partition_id=partition_id)
        if await client.ask(question, offsets.OffsetInfo, subject=place) is not None:
            await client.request(
                offsets.DeleteOffset(consumer=consumer, stream=stream, topic=topic, partition_id=partition_id),
                subject=place,
            )
