"""A dead-letter topic that is a list, and the journals of owners who write to it: no server, no waiting."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from rustok_iggy.consumer.source_journal import Check, Journals
from rustok_iggy.dead_letters.drafts import RecordDraft
from rustok_iggy.dead_letters.journal import Journal, Verdict
from rustok_iggy.dead_letters.layout import Original, decode_original
from rustok_iggy.dead_letters.overtaken import OvertakenError
from rustok_iggy.dead_letters.records import AnyRecord, Claim, Epoch, Letter, Release, Source
from rustok_iggy.dead_letters.snapshot import ClaimInForce, FoldedLetter
from rustok_iggy_connector import ConnectorError

NEVER = 2**63
"""After every event: a list stores nothing at any time."""


@dataclass
class ListedTopic:
    """One dlq partition for everybody."""

    log: list[tuple[AnyRecord, bytes]] = field(default_factory=list)
    opened: list["ListedJournal"] = field(default_factory=list)
    writing: asyncio.Event = field(default_factory=asyncio.Event)
    """Appends wait until it is set; it is from the beginning."""
    appends: list[int] = field(default_factory=list)
    """How many records each of them had."""
    refusing: list[Exception] = field(default_factory=list)
    """What the next writes raise, one after the other."""

    def __post_init__(self) -> None:
        self.writing.set()

    async def ready(self) -> None:
        return

    async def has_begun(self, group: str, topic: str, partition_id: int) -> bool:
        return any(isinstance(record, Claim) for record, _ in self.log)

    def open(self, source: Source, handled_types: str) -> "ListedJournal":
        journal = ListedJournal(self, source, handled_types)
        self.opened.append(journal)
        return journal

    def journals(self) -> Journals:
        return Journals(opener=self, member="m", handled_types="h")

    def kinds(self) -> list[str]:
        return [type(record).__name__ for record, _ in self.log]

    def letters(self) -> list[Letter]:
        return [record for record, _ in self.log if isinstance(record, Letter)]


class ListedJournal:
    """As OwnedJournal, over a list."""

    def __init__(self, topic: ListedTopic, source: Source, handled_types: str) -> None:
        self.topic = topic
        self.handled_types = handled_types
        self.journal = Journal(source)
        self.claim_generation = 0
        self.predecessor: ClaimInForce | None = None
        self.letters_expired = False
        self.low_mark_at = NEVER
        self.trouble: ConnectorError | None = None
        self.abandoned = False
        self.released = False
        self.epoch: Epoch | None = None

    async def gain(self, *, epoch: Epoch, committed: int, check: Check) -> int:
        self._read()
        await check()
        self.predecessor = self.journal.claim
        await self._claim(epoch, committed)
        return max(committed, self.journal.low_mark)

    async def renew(self, *, epoch: Epoch, committed: int, check: Check) -> None:
        await check()
        await self._claim(epoch, committed)

    async def catch_up(self) -> bool:
        if self.abandoned:
            raise OvertakenError("abandoned")
        return bool(self._read())

    async def write(self, *records: RecordDraft) -> list[Verdict]:
        await self.topic.writing.wait()
        if self.topic.refusing:
            raise self.topic.refusing.pop(0)
        if self.abandoned:
            raise OvertakenError("abandoned")
        assert self.epoch is not None, "written before it was gained"
        self.topic.appends.append(len(records))
        for draft in records:
            drafted = draft(self.epoch)
            self.topic.log.append(drafted if isinstance(drafted, tuple) else (drafted, b""))
        verdicts = self._read()[-len(records) :]
        if Verdict.VOID in verdicts:
            raise OvertakenError("a higher claim")
        return verdicts

    async def bodies(self, letters: Sequence[FoldedLetter]) -> list[Original]:
        return [decode_original(self.topic.log[letter.position][1]) for letter in letters]

    async def keep_start(self, *, committed: int | None = None) -> None:
        return

    async def release(self, *, committed: int | None = None) -> None:
        if self.epoch is not None and not self.released:
            self.released = True
            position = 0 if self.journal.claim is None else self.journal.claim.position
            self.topic.log.append((Release(source=self.journal.source, epoch=self.epoch, claim=position), b""))

    def abandon(self) -> None:
        self.abandoned = True

    async def _claim(self, epoch: Epoch, committed: int) -> None:
        await self.topic.writing.wait()
        claim = Claim(source=self.journal.source, epoch=epoch, committed=committed, handled_types=self.handled_types)
        self.topic.log.append((claim, b""))
        self._read()
        if self.journal.is_overtaken(epoch):
            raise OvertakenError("a higher claim")
        self.epoch, self.claim_generation = epoch, epoch.generation

    def _read(self) -> list[Verdict]:
        start = self.journal.folded_up_to + 1
        records: Sequence[tuple[AnyRecord, bytes]] = self.topic.log[start:]
        return [self.journal.apply(record, position=start + at) for at, (record, _) in enumerate(records)]
