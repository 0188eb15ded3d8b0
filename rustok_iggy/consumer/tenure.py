"""Under which claim a partition is ours: taken over once, claimed anew under each new generation of the group."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from rustok_iggy.consumer.commits import Commits
from rustok_iggy.consumer.context import GroupLife
from rustok_iggy.consumer.log_watch import LogWatch
from rustok_iggy.consumer.source_journal import SourceJournal
from rustok_iggy.dead_letters.records import NOTHING_COMMITTED, Epoch


class Tenure:
    """The claims of one partition's owner. `generation` is that of the group when ownership was last looked at."""

    def __init__(
        self,
        clock: Callable[[], float],
        journal: SourceJournal,
        commits: Commits,
        watch: LogWatch,
        *,
        member: str,
        life: GroupLife,
        generation: int,
    ) -> None:
        self._clock = clock
        self._journal = journal
        self._commits = commits
        self._watch = watch
        self._member = member
        self._life = life
        self._newest = generation
        self._gaining: asyncio.Task[int] | None = None
        self._renewal = asyncio.Event()
        self._over = False
        self._unanswered = False
        self.generation = generation
        self.began_at: float | None = None
        """When the partition was taken over, by the consumer's clock; None before."""

    def freeze(self, generation: int) -> None:
        """Ownership may have gone away and come back: commit nothing until renew() has claimed it again."""
        self._commits.frozen = True
        self._newest = generation

    def renew(self, generation: int) -> None:
        """It is still ours, under another generation: claim it again, then commit again."""
        self.generation = generation
        self._renewal.set()

    def answers_end(self) -> None:
        """Nobody asks any more whose it is: renew() does not follow freeze()."""
        self._unanswered = True

    @property
    def awaits_claim(self) -> bool:
        """Whether nothing may be committed before it is claimed again, which is still to come."""
        return self._commits.frozen and (self.generation == self._newest or not self._unanswered)

    def end(self) -> None:
        """The partition is given back: take it over no more."""
        self._over = True
        if self._gaining is not None:
            self._gaining.cancel()

    async def take_over(self) -> int | None:
        """Fold the journal, claim, wait for the owner before; return the offset to begin after, None after end().

        Raises OvertakenError, and OffsetOutOfRangeError when the log is not the one that the journal knows.
        """
        if self._over:
            return None
        gaining = self._gaining = asyncio.create_task(
            self._journal.gain(epoch=self._epoch(), committed=self._committed(), check=self._compare)
        )
        try:
            start = await gaining
        except asyncio.CancelledError:
            if not self._is_over:
                gaining.cancel()
                raise
            return None
        finally:
            self._gaining = None
        self.began_at = self._clock()
        return None if self._is_over else start

    @property
    def _is_over(self) -> bool:
        return self._over

    async def renewed(self) -> None:
        """Claim it again when renew() was called. Raises OvertakenError and OffsetOutOfRangeError."""
        await self._renewal.wait()
        self._renewal.clear()
        await self._journal.renew(epoch=self._epoch(), committed=self._committed(), check=self._watch.look)
        if self._journal.claim_generation == self._newest:
            self._commits.frozen = False

    async def _compare(self) -> None:
        journal = self._journal
        await self._watch.compare(journal.journal, noted_at=journal.low_mark_at, committed=self._committed())

    def _epoch(self) -> Epoch:
        topic_created_at, group_id = self._life
        return Epoch(
            group_id=group_id, generation=self.generation, member=self._member, topic_created_at=topic_created_at
        )

    def _committed(self) -> int:
        stored = self._commits.watermark.stored
        return NOTHING_COMMITTED if stored is None else stored
