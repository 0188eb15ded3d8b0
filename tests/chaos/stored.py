"""What stands on the server after a chaos run, read from the first record on, whatever the engine thinks it needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

from rustok_iggy import JsonSerializer
from rustok_iggy.dead_letters.journal import Journal, Verdict
from rustok_iggy.dead_letters.layout import decode_record
from rustok_iggy.dead_letters.records import AnyRecord, Attempt, Claim, Letter, Outcome, Settlement, Source
from rustok_iggy_connector import IggyConnector, ReceivedMessage
from tests.chaos.scenario import GROUP, PARTITIONS, TOPIC, Happened, catalog

MESSAGES_A_POLL = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """One message of the source topic."""

    tenant: int
    number: int
    partition: int
    offset: int

    @property
    def event(self) -> tuple[int, int]:
        return self.tenant, self.number


@dataclass(slots=True, kw_only=True)
class LetterLife:
    """One letter that counts: `outcome` None while it is open."""

    partition: int
    offset: int
    position: int
    attempts: int = 0
    failed_again: int = 0
    outcome: Outcome | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A claim that counted. `at` is when the server stored it, in µs since 1970 UTC."""

    at: int
    position: int
    process: int
    committed: int


@dataclass(slots=True, kw_only=True)
class JournalHistory:
    """The whole journal of the group: letters by (partition, offset), claims by partition in order; records by kind.

    `void` are records of owners that had been overtaken: how often the fence was needed.
    """

    letters: dict[tuple[int, int], LetterLife] = field(default_factory=dict)
    claims: dict[int, list[Claimed]] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    void: int = 0
    open_letters: int = 0
    open_requests: int = 0

    def take(self, record: AnyRecord, verdict: Verdict, *, message: ReceivedMessage) -> None:
        kind = type(record).__name__
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        self.void += verdict is Verdict.VOID
        if verdict is not Verdict.APPLIED or not isinstance(record, Claim | Letter | Attempt | Settlement):
            return
        partition = record.source.partition
        match record:
            case Claim():
                process = int(record.epoch.member.split(":")[1])  # host, process, chance
                self.claims.setdefault(partition, []).append(
                    Claimed(at=message.timestamp, position=message.offset, process=process, committed=record.committed)
                )
            case Letter():
                key = partition, record.offset
                assert key not in self.letters, f"the journal counted the letter of {key} twice"
                self.letters[key] = LetterLife(partition=partition, offset=record.offset, position=message.offset)
            case Attempt():
                self.letters[partition, record.offset].attempts = record.number
            case Settlement():
                letter = self.letters[partition, record.offset]
                if record.outcome is Outcome.FAILED:
                    letter.failed_again += 1
                elif record.outcome is Outcome.NOT_RUN:
                    letter.attempts = record.number - 1
                else:
                    assert letter.outcome is None, f"the letter of {partition}, {record.offset} was closed twice"
                    letter.outcome = record.outcome

    def of_outcome(self, outcome: Outcome | None) -> Iterator[LetterLife]:
        return (each for each in self.letters.values() if each.outcome is outcome)


async def read_events(connector: IggyConnector, *, stream: str) -> list[Stored]:
    """Every message of the source topic, partition by partition."""
    serializer = JsonSerializer(catalog)
    found = []
    for partition in range(PARTITIONS):
        async for message in messages(connector, stream=stream, topic=TOPIC, partition=partition):
            event = serializer.decode(message.payload).event
            assert isinstance(event, Happened)
            found.append(Stored(tenant=event.tenant, number=event.number, partition=partition, offset=message.offset))
    return found


async def read_journal(
    connector: IggyConnector, *, stream: str, group: str = GROUP, partitions: int = PARTITIONS
) -> JournalHistory:
    """Fold the whole journal, without the pins and checkpoints that its owners go by.

    As many dlq partitions as source partitions: each has its own.
    """
    history = JournalHistory()
    for partition in range(partitions):
        journal = Journal(Source(group=group, topic=TOPIC, partition=partition))
        async for message in messages(connector, stream=stream, topic="dlq", partition=partition):
            record = decode_record(message.payload).record
            history.take(record, journal.apply(record, position=message.offset), message=message)
        history.open_letters += sum(1 for _ in journal.open_letters())
        history.open_requests += len(journal.requests)
    return history


async def messages(
    connector: IggyConnector, *, stream: str, topic: str, partition: int
) -> AsyncIterator[ReceivedMessage]:
    """Every message of a partition."""
    reader = await connector.subscribe(stream=stream, topic=topic)
    try:
        offset = 0
        while found := await reader.poll(partition, offset=offset, max_messages=MESSAGES_A_POLL):
            for message in found:
                yield message
            offset = found[-1].offset + 1
    finally:
        await reader.leave()
