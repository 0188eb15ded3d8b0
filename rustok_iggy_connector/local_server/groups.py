"""Consumer groups: who owns which partition, and how ownership moves.

The rules are iggy-server's (core/metadata/src/stm/consumer_group.rs), to the order of members and partitions, because
clients can see them:

- Members take the lowest free member id. Every deal goes through them in ascending id.
- A **join** is cooperative. Partitions nobody owns go to idle members. What an owner has above its fair share goes to
  idle members, the owner's last partition first: at once when nothing of it is in flight, else as a revocation. A
  revoked partition stays with its owner, who may commit it but no longer polls it, until all it polled is committed or
  `REBALANCING_TIMEOUT_MICROS` have passed.
- A **leave**, a lost connection or another number of partitions deals everything anew at once, round robin, and forgets
  revocations: partitions move away from live members too, whose late commits are then refused.
- Each of these, and each completed revocation, raises the generation by one. It never falls, also not over a restart:
  group id, name and generation are stored. Members and what they polled are bound to connections and are not.

In flight means: polled by the group beyond the committed offset. The highest polled offset never goes back; committed
offsets belong to the partitions' logs and come in as an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

REBALANCING_TIMEOUT_MICROS = 30_000_000
"""How long an owner may hold a revoked partition with uncommitted messages; iggy-server's config.toml says 30 s."""

Session: TypeAlias = Hashable
"""Whatever identifies a logged-in connection; membership lives and dies with it."""

Committed: TypeAlias = Callable[[int], int | None]
"""Partition id to the group's committed offset there, None when it has none."""


@dataclass(kw_only=True, slots=True)
class Revocation:
    """A partition on its way from its owner to the member `target`, since `created_at` (microseconds)."""

    partition_id: int
    target: int
    created_at: int


@dataclass(kw_only=True, slots=True)
class Member:
    """One connection's place in a group. `partitions` are in the order in which they came."""

    id: int
    session: Session
    partitions: list[int] = field(default_factory=list)
    revocations: list[Revocation] = field(default_factory=list)

    def pollable(self) -> list[int]:
        """The partitions to read: owned and not on their way to another member."""
        leaving = {revocation.partition_id for revocation in self.revocations}
        return [partition_id for partition_id in self.partitions if partition_id not in leaving]


class ConsumerGroup:
    """One consumer group of one topic. Not safe for threads; every method returns at once.

    `partitions` is always the topic's live partition ids in ascending order, `now` microseconds of any clock that does
    not go back, `committed` the group's committed offsets (see `Committed`).
    """

    def __init__(self, *, id: int, name: str, generation: int = 0) -> None:
        self.id = id
        self.name = name
        self.generation = generation
        self._members: dict[int, Member] = {}
        self._sessions: dict[Session, Member] = {}
        self._last_polled: dict[int, int] = {}

    @property
    def members(self) -> Iterator[Member]:
        """The members in ascending id."""
        return (self._members[member_id] for member_id in sorted(self._members))

    @property
    def members_count(self) -> int:
        """How many connections are members."""
        return len(self._members)

    @property
    def settling(self) -> bool:
        """Whether a revocation waits; if so, call `settle` at least once a second."""
        return any(member.revocations for member in self._members.values())

    def is_member(self, session: Session) -> bool:
        """Whether the connection is a member."""
        return session in self._sessions

    def assignment(self, session: Session) -> tuple[int, list[int]] | None:
        """Generation and the partitions the member shall poll; None for a stranger."""
        member = self._sessions.get(session)
        return None if member is None else (self.generation, member.pollable())

    def may_poll(self, session: Session, partition_id: int) -> bool:
        """The fence of polls: a stranger, and an owner who is to give the partition up, reads nothing."""
        member = self._sessions.get(session)
        return member is not None and partition_id in member.pollable()

    def may_commit(self, session: Session, partition_id: int) -> bool:
        """The fence of commits: owners only, including one who is still to give the partition up."""
        member = self._sessions.get(session)
        return member is not None and partition_id in member.partitions

    def polled(self, partition_id: int, last_offset: int) -> None:
        """Note that messages up to `last_offset` were handed to the owner."""
        self._last_polled[partition_id] = max(last_offset, self._last_polled.get(partition_id, last_offset))

    def forget_polled(self, partitions: Iterable[int]) -> None:
        """Forget what was handed out of partitions that were purged or deleted: their offsets start again."""
        for partition_id in partitions:
            self._last_polled.pop(partition_id, None)

    def join(self, session: Session, *, partitions: Sequence[int], committed: Committed, now: int) -> bool:
        """Make the connection a member. False, and nothing changes, when it is one already."""
        in_flight = self._in_flight(partitions, committed)
        if session in self._sessions:
            return False
        member = Member(id=lowest_free(self._members), session=session)
        self._members[member.id] = member
        self._sessions[session] = member
        self._deal_cooperatively(partitions, in_flight, now)
        return True

    def hand_on(self, session: Session, heir: Session) -> None:
        """The membership goes on over another connection. Nothing happens when there is none."""
        member = self._sessions.pop(session, None)
        if member is not None:
            member.session = heir
            self._sessions[heir] = member

    def leave(self, session: Session, *, partitions: Sequence[int]) -> bool:
        """End the membership, asked for or by a lost connection. False when there was none."""
        member = self._sessions.pop(session, None)
        if member is None:
            return False
        del self._members[member.id]
        self.deal(partitions)
        return True

    def deal(self, partitions: Sequence[int]) -> None:
        """Deal all partitions anew, round robin, at once."""
        self.generation += 1
        members = list(self.members)
        for place, member in enumerate(members):
            member.partitions = list(partitions[place :: len(members)])
            member.revocations = []

    def settle(self, *, committed: Committed, now: int) -> bool:
        """Hand over the revoked partitions that are ready: nothing in flight any more, or waited for too long.

        True when ownership moved. iggy-server looks every 10 ms; a caller that looks after each commit of a group and
        once a second meanwhile is never noticeably later.
        """
        moved = False
        for member in list(self.members):
            for revocation in list(member.revocations):
                late = now - revocation.created_at >= REBALANCING_TIMEOUT_MICROS
                if late or not self._is_in_flight(revocation.partition_id, committed):
                    self._complete(member, revocation)
                    moved = True
        return moved

    def _is_in_flight(self, partition_id: int, committed: Committed) -> bool:
        last_polled = self._last_polled.get(partition_id)
        if last_polled is None:
            return False
        done = committed(partition_id)
        return done is None or done < last_polled

    def _in_flight(self, partitions: Iterable[int], committed: Committed) -> set[int]:
        """Owned partitions with work in flight; what a member that is gone left behind on others is forgotten."""
        owned = {partition_id for member in self._members.values() for partition_id in member.partitions}
        waiting = {partition_id for partition_id in partitions if self._is_in_flight(partition_id, committed)}
        self.forget_polled(waiting - owned)
        return waiting & owned

    def _deal_cooperatively(self, partitions: Sequence[int], in_flight: set[int], now: int) -> None:
        self.generation += 1
        owned = {partition_id for member in self._members.values() for partition_id in member.partitions}
        unowned = [partition_id for partition_id in partitions if partition_id not in owned]
        idle = [member for member in self.members if not member.partitions]
        for place, partition_id in enumerate(unowned):
            if idle:
                idle[place % len(idle)].partitions.append(partition_id)
        awaiting = {revocation.target for member in self._members.values() for revocation in member.revocations}
        idle = [member for member in self.members if not member.partitions and member.id not in awaiting]
        if not idle:
            return
        for place, (owner, partition_id) in enumerate(self._excess(len(partitions))):
            heir = idle[place % len(idle)]
            if partition_id in in_flight:
                owner.revocations.append(Revocation(partition_id=partition_id, target=heir.id, created_at=now))
            else:
                owner.partitions.remove(partition_id)
                heir.partitions.append(partition_id)

    def _excess(self, partitions_count: int) -> list[tuple[Member, int]]:
        """What each owner holds above its share, its last partition first.

        The remainder of the division goes to the first members that hold more than the plain share.
        """
        share, remainder = divmod(partitions_count, len(self._members))
        excess: list[tuple[Member, int]] = []
        for member in self.members:
            kept = member.pollable()
            allowed = share + (remainder > 0)
            if len(kept) > share:
                remainder = max(remainder - 1, 0)
            surplus = len(kept) - allowed
            if surplus > 0:
                excess.extend((member, partition_id) for partition_id in kept[: -surplus - 1 : -1])
        return excess

    def _complete(self, owner: Member, revocation: Revocation) -> None:
        """The target is always still a member: whoever leaves causes a deal, and a deal ends all revocations."""
        owner.revocations.remove(revocation)
        owner.partitions.remove(revocation.partition_id)
        self._members[revocation.target].partitions.append(revocation.partition_id)
        self.generation += 1


def lowest_free(taken: Mapping[int, object]) -> int:
    """The id iggy-server would give next (core/metadata/src/stm/id_slab.rs)."""
    candidate = 0
    while candidate in taken:
        candidate += 1
    return candidate
