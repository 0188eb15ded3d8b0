"""Which tenants of a partition are held back, and which of its events are still to become letters. Decides only.

A letter of its own is that of an event that failed for good: its lane waits until it was written and read back. Then
the tenant is parked, and its later events become letters too, with cause `sequence`. What is parked is taken from the
journal as it was read back, and from nothing else; letters under way hold back what comes behind them, and so
does an event that no letter can hold.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from typing import NamedTuple
from uuid import UUID

from msgspec import Struct

from rustok_iggy.consumer.delivery import Delivery
from rustok_iggy.consumer.failure import Decision
from rustok_iggy.consumer.lanes import Lane
from rustok_iggy.dead_letters.journal import Journal
from rustok_iggy.dead_letters.records import Cause, Failure

MAX_PARKED_LETTERS = 10_000
"""Letters a tenant (delivery.md §3). Beyond, its events wait in the source, and hold the partition."""
MAX_PARKED_TENANTS = 1_000
"""Tenants a group, over all partitions of one member (delivery.md §3). Beyond, the lanes of failed events wait."""
MAX_BATCH = 500
"""Letters of one append: what one poll brings at most by default."""
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""Of original payloads in one append: as much as one poll aims at."""

TenantLane = Lane[int | None, Delivery]


class FailedDelivery(NamedTuple):
    """A delivery that has failed for good; its lane waits until its letter stands in the journal."""

    lane: TenantLane
    delivery: Delivery
    decision: Decision
    error: Exception


class PendingLetter(Struct, frozen=True, kw_only=True, gc=False):
    """A letter to be written; times in µs since 1970 UTC. `lane` waits for it; None: it follows another one."""

    delivery: Delivery
    cause: Cause
    parks: bool
    failure: Failure
    first_failed_at: int
    last_failed_at: int
    lane: TenantLane | None = None

    @property
    def tenant_id(self) -> UUID | None:
        return self.delivery.tenant_id


class Refused(Struct, frozen=True, kw_only=True):
    """An event that no letter can hold: it stays in the source."""

    delivery: Delivery
    reason: str


class Parking:
    """The letters of one partition on their way, and what they hold back."""

    def __init__(self, journal: Journal, *, max_letters: int = MAX_PARKED_LETTERS) -> None:
        self._journal = journal
        self.max_letters = max_letters
        self._parked: dict[int, int] = {}
        self._own: deque[PendingLetter] = deque()
        self._followers: dict[int, deque[Delivery]] = {}
        self._under_way: set[int] = set()
        self._stopped: set[int] = set()  # tenants with a follower that was refused
        self._writing = 0
        self._changes_seen = -1
        self.gathered = 0
        """Events that came to follow a letter since a batch was taken."""
        self.full: set[UUID] = set()
        """Tenants that have as many letters as one may have."""
        self.no_room: set[UUID] = set()
        """Tenants that would be parked, had not so many been already."""
        self.refused: list[Refused] = []
        self._look()

    @property
    def holds_any(self) -> bool:
        """Whether any tenant is held back: nearly always none is."""
        return bool(self._parked or self._followers or self._under_way or self._stopped)

    @property
    def parked(self) -> int:
        """How many tenants the journal holds back."""
        return len(self._parked)

    @property
    def is_writing(self) -> bool:
        """Whether a batch is under way."""
        return bool(self._writing)

    @property
    def waiting(self) -> int:
        """Events that are still to become letters."""
        return self._writing + len(self._own) + sum(map(len, self._followers.values()))

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way, and what is left cannot be written now."""
        held = self._stopped | {each.int for each in self.full}
        return self.waiting <= len(self.no_room) + sum(len(self._followers.get(each, ())) for each in held)

    def holds(self, tenant: int, offset: int) -> bool:
        """Whether an event becomes a letter because of earlier ones of its tenant.

        One below its tenant's first letter stood before it, and runs.
        """
        if tenant in self._followers or tenant in self._under_way or tenant in self._stopped:
            return True
        first = self._parked.get(tenant)
        return first is not None and offset > first

    def add(self, letter: PendingLetter) -> None:
        """A delivery has failed for good."""
        self._own.append(letter)

    def follow(self, delivery: Delivery) -> None:
        """An event of a tenant that is held back. Per tenant in order of offset."""
        tenant = delivery.opened.tenant_id.int
        queue = self._followers.get(tenant)
        if queue is None:
            queue = self._followers[tenant] = deque()
        queue.append(delivery)
        self.gathered += 1

    def has_next(self, offset: int) -> bool:
        """Whether an event is the next of its tenant that is to become a letter because of earlier ones."""
        return any(queue[0].offset == offset for queue in self._followers.values())

    def take(self, *, tenants_left: int, now: int) -> list[PendingLetter]:
        """Return what is to be written next, as one append; nothing while a batch is under way.

        `tenants_left`: how many more tenants may be parked. `now` in µs since 1970 UTC.
        """
        if self._writing:
            return []
        self.gathered = 0
        batch = self._take_own(tenants_left)
        room = MAX_BATCH - len(batch)
        size = sum(len(each.delivery.message.payload) for each in batch)
        batch += self._take_followers(room, MAX_BATCH_BYTES - size, now)
        self._writing = len(batch)
        self._under_way = {each.delivery.opened.tenant_id.int for each in batch if each.cause is Cause.SEQUENCE}
        return batch

    def written(self) -> None:
        """What was taken stands in the journal, which was read up to it."""
        self._writing = 0
        self._under_way = set()
        self._look()

    def refuse(self, letter: PendingLetter, reason: str) -> None:
        """A letter that was taken can never be written: its lane waits, or what follows it does."""
        self._writing -= 1
        self.refused.append(Refused(delivery=letter.delivery, reason=reason))
        if letter.cause is Cause.SEQUENCE:
            self._stopped.add(letter.delivery.opened.tenant_id.int)

    def is_behind_refused(self, letter: PendingLetter) -> bool:
        """Whether a letter that was taken may not be written any more: put_back() it."""
        return letter.cause is Cause.SEQUENCE and letter.delivery.opened.tenant_id.int in self._stopped

    def put_back(self, letters: Sequence[PendingLetter]) -> None:
        """These were taken, in this order, and are not written."""
        self._writing -= len(letters)
        for each in reversed(letters):
            self._followers.setdefault(each.delivery.opened.tenant_id.int, deque()).appendleft(each.delivery)

    def released(self) -> Iterator[Delivery]:
        """Look at the journal anew; take out what nothing holds back any more, per tenant in order of offset."""
        self._look()
        held = self._parked.keys() | self._under_way | self._stopped
        for tenant in [each for each in self._followers if each not in held]:
            yield from self._followers.pop(tenant)

    def _look(self) -> None:
        # After a batch of letters that follow others, and there may be a thousand tenants, all is as it was.
        if self._journal.parking_changes == self._changes_seen:
            return
        self._changes_seen = self._journal.parking_changes
        parked = {tenant: self._journal.parked_from(tenant) for tenant in self._journal.parked_tenants}
        self._parked = {tenant.int: offset for tenant, offset in parked.items() if offset is not None}

    def _take_own(self, tenants_left: int) -> list[PendingLetter]:
        taken: list[PendingLetter] = []
        waiting: deque[PendingLetter] = deque()
        self.no_room = set()
        for each in self._own:
            tenant = each.tenant_id if each.parks else None
            if tenant is not None and tenant.int not in self._parked:
                if tenants_left <= 0:
                    self.no_room.add(tenant)
                    waiting.append(each)
                    continue
                tenants_left -= 1
            taken.append(each)
        self._own = waiting
        return taken

    def _take_followers(self, room: int, room_bytes: int, now: int) -> Iterator[PendingLetter]:
        self.full = {each for each in self.full if each.int in self._followers}
        for tenant in [each for each in self._followers if each not in self._stopped]:
            if room <= 0 or room_bytes <= 0:
                break
            queue = self._followers[tenant]
            tenant_id = queue[0].opened.tenant_id
            self.full.discard(tenant_id)
            first = self._journal.letter(self._parked[tenant]) if tenant in self._parked else None
            if first is None:
                continue  # nothing holds it any more: released() comes next
            failure = Failure(error_type=first.error_type, fingerprint=first.fingerprint)
            left = self.max_letters - self._journal.parking_letters(tenant_id)
            while queue and left > 0 and room > 0 and room_bytes > 0:
                delivery = queue.popleft()
                left, room, room_bytes = left - 1, room - 1, room_bytes - len(delivery.message.payload)
                yield PendingLetter(
                    delivery=delivery,
                    cause=Cause.SEQUENCE,
                    parks=True,
                    failure=failure,
                    first_failed_at=now,
                    last_failed_at=now,
                )
            if not queue:
                del self._followers[tenant]
            elif left <= 0:
                self.full.add(tenant_id)
            else:
                self._followers[tenant] = self._followers.pop(tenant)  # the others first, next time
