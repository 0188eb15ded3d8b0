"""Consumer groups from outside: who reads, how far, what they pin; moving and forgetting offsets of a stopped group."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from rustok_iggy.dead_letters.group_reset import check_letters_of_this_log, claim_for_reset, group_journals, unpin
from rustok_iggy.dead_letters.records import Source
from rustok_iggy.errors import ConsumerError, NotFoundError
from rustok_iggy.moments import microseconds
from rustok_iggy.topology import Topic
from rustok_iggy_connector import CommittedOffset, IggyConnector, MessageSubscriber, TopicInfo

ResetTo = Literal["earliest", "latest"] | int | datetime
"""Where a group goes on: the first event kept, behind the last one, at an offset, at the first event since a time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionProgress:
    """How far a group is in one partition.

    `committed` is the last event done (None: nothing stored), `current` the last one there is (None: never any),
    `member` the id of the owner (None: nobody), `lag` messages.
    """

    partition_id: int
    committed: int | None
    current: int | None
    member: int | None

    @property
    def lag(self) -> int:
        return 0 if self.current is None else self.current - (-1 if self.committed is None else self.committed)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerGroup:
    """One group of one topic. `members` are the ids of its members; `id` changes when it is created again."""

    topic: str
    group: str
    id: int
    members: tuple[int, ...]
    partitions: tuple[PartitionProgress, ...]

    @property
    def lag(self) -> int:
        return sum(partition.lag for partition in self.partitions)


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetChange:
    """`before` and `after` are committed offsets; None: nothing is stored, so the subscription's `start` decides.

    `remembered` is the offset up to which the journal of dead letters says that all is done, where it lies beyond
    `after` and the server's offset stays: so it is after a purge. None: it is not beyond.
    """

    partition_id: int
    before: int | None
    after: int | None
    remembered: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OffsetReset:
    """What reset() would do; partitions that stay as they are have no change.

    `again` counts the events that will be handled again, `skipped` those that never will be.
    """

    topic: str
    group: str
    members: int
    changes: tuple[OffsetChange, ...]

    @property
    def again(self) -> int:
        return sum(max(0, _at(change.before) - _at(change.after)) for change in self.changes)

    @property
    def skipped(self) -> int:
        return sum(max(0, _at(change.after) - _at(change.before)) for change in self.changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """Who keeps retention from removing closed segments of a partition: the lowest stored offset in it.

    `behind` is how many messages it stands before the partition's last one.
    """

    partition_id: int
    holder: str
    committed: int
    behind: int


def pins(groups: Iterable[ConsumerGroup], readers: Mapping[tuple[str, int], CommittedOffset]) -> tuple[Pin, ...]:
    """Return the lowest stored offset of each partition, ascending by partition.

    `readers` maps (name, partition) of named readers to what is stored for them; the server does not list their names.
    A group that has stored nothing protects nothing. Of two at the same offset the first by name is named.
    """
    held = [
        Pin(partition_id=part.partition_id, holder=f"group {group.group}", committed=part.committed, behind=part.lag)
        for group in groups
        for part in group.partitions
        if part.committed is not None
    ]
    held += [
        Pin(
            partition_id=partition_id,
            holder=f"reader {name}",
            committed=stored.committed,
            behind=stored.current - stored.committed,
        )
        for (name, partition_id), stored in readers.items()
    ]
    lowest: dict[int, Pin] = {}
    for pin in sorted(held, key=lambda pin: (pin.partition_id, pin.committed, pin.holder)):
        lowest.setdefault(pin.partition_id, pin)
    return tuple(lowest.values())


def stopped_committing(before: ConsumerGroup, after: ConsumerGroup) -> tuple[int, ...]:
    """Return the partitions where a group had work at both looks and committed nothing between them.

    How far apart the looks are is the caller's choice: longer than the slowest handler may take.
    """
    earlier = {part.partition_id: part for part in before.partitions}
    return tuple(
        part.partition_id
        for part in after.partitions
        if part.partition_id in earlier
        and part.lag
        and earlier[part.partition_id].lag
        and part.committed == earlier[part.partition_id].committed
    )


class ConsumerGroupManager:
    """Looks at the groups of a stream without joining them, and changes those that nobody reads in.

    Every call also raises what TopologyAdmin raises; NotFoundError when the topic or the group does not exist.
    """

    def __init__(self, connector: IggyConnector, *, stream: str) -> None:
        self._connector = connector
        self._stream = stream

    async def list(self, *, topic: str) -> tuple[ConsumerGroup, ...]:
        """Return every group of a topic, by name. One that is deleted meanwhile is left out."""
        described = await self._topic(topic)
        names = await self._connector.admin.list_groups(stream=self._stream, topic=topic)
        found = [await self._describe(described, name) for name in names]
        return tuple(group for group in found if group is not None)

    async def describe(self, *, topic: str, group: str) -> ConsumerGroup:
        """Return one group."""
        found = await self._describe(await self._topic(topic), group)
        if found is None:
            raise NotFoundError(f"topic {topic} has no group {group}: look at the name; it exists after its first use")
        return found

    async def pins(self, *, topic: str, readers: Iterable[str] = ()) -> tuple[Pin, ...]:
        """Return who holds back retention in each partition, among the groups and these named readers."""
        groups, described = await self.list(topic=topic), await self._topic(topic)
        stored = {}
        for name in readers:
            for partition_id in range(described.partitions):
                offset = await self._connector.admin.reader_offset(
                    stream=self._stream, topic=topic, partition_id=partition_id, consumer=name
                )
                if offset is not None:
                    stored[name, partition_id] = offset
        return pins(groups, stored)

    async def plan_reset(self, *, topic: str, group: str, to: ResetTo) -> OffsetReset:
        """Return what reset() would store, changing nothing. `to` as an offset is the next one to be read.

        An offset past the end means the end. Raises ConsumerError (a time without a zone, an offset below 0, or open
        dead letters of a log that was reset since), and DeadLetterError when their journal cannot be read.
        """
        _check(to)
        found = await self.describe(topic=topic, group=group)
        reader = await self._connector.subscribe(stream=self._stream, topic=topic)
        try:
            wanted = [(part, await _target(reader, part, to)) for part in found.partitions]
            remembered = await self._remembered(reader, found, {part.partition_id: after for part, after in wanted})
        finally:
            await reader.leave()
        return OffsetReset(
            topic=topic,
            group=group,
            members=len(found.members),
            changes=tuple(
                OffsetChange(
                    partition_id=part.partition_id,
                    before=part.committed,
                    after=after,
                    remembered=remembered.get(part.partition_id) if after == part.committed else None,
                )
                for part, after in wanted
                if after != part.committed or part.partition_id in remembered
            ),
        )

    async def reset(self, plan: OffsetReset) -> ConsumerGroup:
        """Store what was planned; return the group as it is then. Repeat it after a failure: it goes on.

        Set back, events come again that were done, also those whose dead letters were handled or discarded. Letters
        that are open stay, and are not run but by a redrive; tenants that are parked stay so.

        Raises: ConsumerError (an offset moved since the plan was made), NotAssignedError (the group has members).
        """
        found = await self.describe(topic=plan.topic, group=plan.group)
        now = {part.partition_id: part.committed for part in found.partitions}
        moved = [change.partition_id for change in plan.changes if now.get(change.partition_id) not in _ends(change)]
        if moved:
            raise ConsumerError(f"group {plan.group} committed in partitions {moved} since the plan: plan again")
        await self._store(found, {change.partition_id: change.after for change in plan.changes})
        return await self.describe(topic=plan.topic, group=plan.group)

    async def forget(self, *, topic: str, group: str) -> ConsumerGroup:
        """Delete a group and its offsets; return what it was.

        It no longer holds back retention, of the dead-letter topic only where none of its letters is open. When a
        service uses the name again it starts where its `start` says, with a new group id; its open dead letters stay in
        the journal, park their tenants, and have their partitions begin at the first event there is. Raises
        ConsumerError while it has members, and DeadLetterError when the journal cannot be read: repeat it.
        """
        found = await self.describe(topic=topic, group=group)
        if found.members:
            raise ConsumerError(f"group {group} has {len(found.members)} members: stop them, then forget it")
        await self._store(found, {part.partition_id: None for part in found.partitions})
        if await self._dlq() is not None:
            await unpin(self._connector, self._sources(found), stream=self._stream)
        await self._connector.admin.delete_group(stream=self._stream, topic=topic, group=group)
        return found

    async def _store(self, group: ConsumerGroup, offsets: Mapping[int, int | None]) -> None:
        """Set offsets at the server and in the journal of dead letters, which remembers what was done as well."""
        dlq, topic = await self._dlq(), await self._topic(group.topic)
        sources = {source: offsets[source.partition] for source in self._sources(group) if source.partition in offsets}

        async def claim(generation: int) -> None:
            if dlq is None:
                return  # nothing was ever kept there
            await claim_for_reset(
                self._connector,
                sources,
                stream=self._stream,
                dlq_partitions=dlq.partitions,
                topic_created_at=topic.created_at,
                group_id=group.id,
                generation=generation,
            )

        await self._connector.admin.store_group_offsets(
            stream=self._stream, topic=group.topic, group=group.group, offsets=offsets, before=claim
        )

    async def _remembered(
        self, reader: MessageSubscriber, group: ConsumerGroup, wanted: Mapping[int, int | None]
    ) -> dict[int, int]:
        """Up to where the journal says that partitions are done, of those where that is beyond what is wanted."""
        if await self._dlq() is None:
            return {}
        found = {}
        for journal in await group_journals(self._connector, self._sources(group), stream=self._stream):
            partition_id = journal.source.partition
            await check_letters_of_this_log(reader, journal)
            if journal.low_mark > _at(wanted[partition_id]):
                found[partition_id] = journal.low_mark
        return found

    async def _dlq(self) -> TopicInfo | None:
        return await self._connector.admin.describe_topic(stream=self._stream, topic=Topic.DLQ)

    def _sources(self, group: ConsumerGroup) -> tuple[Source, ...]:
        return tuple(
            Source(group=group.group, topic=group.topic, partition=part.partition_id) for part in group.partitions
        )

    async def _topic(self, topic: str) -> TopicInfo:
        found = await self._connector.admin.describe_topic(stream=self._stream, topic=topic)
        if found is None:
            raise NotFoundError(f"stream {self._stream} has no topic {topic}: apply the topology, or look at the name")
        return found

    async def _describe(self, topic: TopicInfo, group: str) -> ConsumerGroup | None:
        admin, place = self._connector.admin, {"stream": self._stream, "topic": topic.name, "group": group}
        info = await admin.describe_group(**place)
        if info is None:
            return None
        try:
            stored = await admin.committed_offsets(**place)
        except NotFoundError:  # deleted between the two questions
            return None
        owners = {partition: member for member, owned in info.members.items() for partition in owned}
        return ConsumerGroup(
            topic=topic.name,
            group=group,
            id=info.id,
            members=tuple(sorted(info.members)),
            partitions=tuple(
                _progress(partition_id, stored.get(partition_id), topic, owners.get(partition_id))
                for partition_id in range(topic.partitions)
            ),
        )


def _progress(
    partition_id: int, stored: CommittedOffset | None, topic: TopicInfo, member: int | None
) -> PartitionProgress:
    return PartitionProgress(
        partition_id=partition_id,
        committed=None if stored is None else stored.committed,
        # Asked later than the topic, so it is the newer one.
        current=topic.current_offsets.get(partition_id) if stored is None else stored.current,
        member=member,
    )


async def _target(reader: MessageSubscriber, part: PartitionProgress, to: ResetTo) -> int | None:
    """The offset to store; None where the next one to read is 0: there is nothing before it to call done."""
    if part.current is None:
        return None
    match to:
        case "latest":
            first: int | None = None
        case "earliest":
            kept = await reader.poll(part.partition_id, offset=0, max_messages=1)
            first = kept[0].offset if kept else None
        case datetime():
            first = await reader.first_offset_since(part.partition_id, timestamp=microseconds(to))
        case _:
            first = to
    done = part.current if first is None else min(first - 1, part.current)
    return done if done >= 0 else None


def _check(to: ResetTo) -> None:
    if isinstance(to, datetime):
        if to.tzinfo is None:
            raise ConsumerError(f"{to.isoformat()} has no time zone: say which one, such as +00:00")
    elif isinstance(to, int):
        if to < 0:
            raise ConsumerError(f"offset {to}: offsets start at 0")
    elif to not in {"earliest", "latest"}:
        raise ConsumerError(f"{to!r} is neither earliest, latest, an offset nor a time")


def _ends(change: OffsetChange) -> tuple[int | None, ...]:
    """What may be stored when a reset begins: what was planned from, or what a cut run of it stored."""
    return change.before, change.after


def _at(offset: int | None) -> int:
    return -1 if offset is None else offset
