"""The rules of dead-letters.md, read naively: the whole log from its beginning, everything kept for ever.

No anchors, no pruning, no shared code with the journal: what the journal must agree with.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

from rustok_iggy.dead_letters.records import (
    AnyRecord,
    Attempt,
    Checkpoint,
    Claim,
    Letter,
    Outcome,
    Release,
    Request,
    RequestEnd,
    Settlement,
    Source,
)


@dataclass
class NaiveLetter:
    parks: bool
    tenant_id: UUID | None
    outcome: Outcome | None = None
    attempts: int = 0


@dataclass
class NaiveJournal:
    fence: tuple[int, int, int] = (0, 0, 0)
    low_mark: int = -1
    letters: dict[int, NaiveLetter] = field(default_factory=dict)
    requests: list[UUID] = field(default_factory=list)
    void: set[int] = field(default_factory=set)

    def observed(self) -> dict[str, object]:
        return {
            "fence": self.fence,
            "low mark": self.low_mark,
            "requests": self.requests,
            "open": {offset: letter.attempts for offset, letter in self.letters.items() if letter.outcome is None},
            "above": {offset: letter.outcome for offset, letter in self.letters.items() if offset > self.low_mark},
            "parked": {x.tenant_id for x in self.letters.values() if x.outcome is None and x.parks},
        }


def naive_fold(log: Sequence[AnyRecord], source: Source) -> NaiveJournal:
    naive = NaiveJournal()
    for position, record in enumerate(log):
        if isinstance(record, Request):
            if record.concerns(source) and record.id not in naive.requests:
                naive.requests.append(record.id)
        elif record.source == source and not isinstance(record, Release):
            take_in(naive, record, position)
    return naive


def take_in(naive: NaiveJournal, record: AnyRecord, position: int) -> None:
    assert not isinstance(record, Request)
    rank = (record.epoch.topic_created_at, record.epoch.group_id, record.epoch.generation)
    if rank < naive.fence:
        naive.void.add(position)
        return
    known = naive.letters.get(record.offset) if isinstance(record, Letter | Attempt | Settlement) else None
    if isinstance(record, Claim):
        naive.fence = rank
    if isinstance(record, Claim) and record.resets:
        naive.low_mark = record.committed
        naive.letters = {
            offset: letter
            for offset, letter in naive.letters.items()
            if letter.outcome is None or offset <= record.committed
        }
    elif isinstance(record, Claim | Checkpoint):
        naive.low_mark = max(naive.low_mark, record.committed)
    elif isinstance(record, Letter):
        if known is None and record.offset > naive.low_mark:
            naive.letters[record.offset] = NaiveLetter(parks=record.parks, tenant_id=record.tenant_id)
    elif isinstance(record, RequestEnd):
        naive.requests = [request for request in naive.requests if request != record.request]
    elif known is not None and known.outcome is None:
        if isinstance(record, Attempt):
            known.attempts = max(known.attempts, record.number)
        elif isinstance(record, Settlement) and record.outcome is Outcome.NOT_RUN:
            known.attempts -= 0 < record.number == known.attempts
        elif isinstance(record, Settlement) and record.outcome is not Outcome.FAILED:
            known.outcome = record.outcome
