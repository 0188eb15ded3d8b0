"""Telling the journal that a group's offsets are set from outside: only then do events come again that were done.

The journal remembers up to which offset a partition was done, whatever the server says (F2 in journal.py). So whoever
sets an offset claims the partition first, as its owner of the moment, in a claim that resets.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import suppress
from uuid import UUID, uuid4

from rustok_iggy.dead_letters.journal import Journal
from rustok_iggy.dead_letters.layout import encode_record
from rustok_iggy.dead_letters.log_identity import Mark, is_another
from rustok_iggy.dead_letters.partition_journal import dlq_partition_of
from rustok_iggy.dead_letters.records import NO_TYPES, NOTHING_COMMITTED, Claim, Epoch, Source
from rustok_iggy.dead_letters.stored_start import Kept, consumer_name
from rustok_iggy.dead_letters.survey import JournalSurvey, open_survey
from rustok_iggy.errors import ConsumerError
from rustok_iggy.topology import Topic
from rustok_iggy_connector import IggyConnector, MessageSubscriber, NotFoundError, PublishRequest, RetryPolicy

WRITE_TIMEOUT = 10.0
"""Seconds for each record, repetitions included: meanwhile the group belongs to whoever resets it."""
MEMBER = "groups reset"
"""Who claims, in the journal and in logs."""


async def claim_for_reset(
    connector: IggyConnector,
    offsets: Mapping[Source, int | None],
    *,
    stream: str,
    dlq_partitions: int,
    topic_created_at: int,
    group_id: int,
    generation: int,
) -> None:
    """Claim partitions under a generation in which they are ours; `offsets` are those to be stored, None: none.

    Idempotent. Raises connector errors.
    """
    epoch = Epoch(group_id=group_id, generation=generation, member=MEMBER, topic_created_at=topic_created_at)
    policy = RetryPolicy(max_elapsed=WRITE_TIMEOUT)
    for source, offset in offsets.items():
        committed = NOTHING_COMMITTED if offset is None else offset
        claim = Claim(source=source, epoch=epoch, committed=committed, handled_types=NO_TYPES, resets=True)
        partition_id = dlq_partition_of(source, dlq_partitions=dlq_partitions)
        request = _request(claim, stream=stream, partition_id=partition_id, message_id=uuid4())

        async def publish(request: PublishRequest = request) -> None:
            await connector.publish(request)

        await policy.run(publish)


async def unpin(connector: IggyConnector, sources: Iterable[Source], *, stream: str) -> None:
    """Let retention remove the journals of sources without open letters and requests: nobody owns them any more.

    What keeps the start of their folds is deleted; a later owner folds from the first record there is. Idempotent.
    Raises DeadLetterError and connector errors.
    """
    async with open_survey(connector, stream=stream) as survey:
        async for partition_id, source, journal in _folded(survey, sources):
            if journal is None or not (journal.open_count or journal.requests):
                await _delete_start(connector, source, stream=stream, partition_id=partition_id)


async def group_journals(connector: IggyConnector, sources: Iterable[Source], *, stream: str) -> list[Journal]:
    """Return the journals of those sources that have one, as they stand. Raises DeadLetterError, connector errors."""
    async with open_survey(connector, stream=stream) as survey:
        return [journal async for _, _, journal in _folded(survey, sources) if journal is not None]


async def check_letters_of_this_log(reader: MessageSubscriber, journal: Journal) -> None:
    """Raise ConsumerError when a source's open letters are of a log that was reset since.

    A letter's key is its offset: a new event at that offset would be taken for it, and never be run.
    """
    newest = max((letter.offset for letter in journal.open_letters()), default=None)
    letter = None if newest is None else journal.letter(newest)
    if letter is None:
        return
    source = journal.source
    events = await reader.poll(source.partition, offset=letter.offset, max_messages=1)
    if not events or is_another(Mark.of_letter(letter), events):
        raise ConsumerError(
            f"group {source.group}, topic {source.topic}, partition {source.partition}: {journal.open_count} dead"
            " letters are open whose events stood in a log that was reset since. Export them, and use another name for"
            " the group: under this one, new events at their offsets would be taken for them"
        )


async def _folded(
    survey: JournalSurvey, sources: Iterable[Source]
) -> AsyncIterator[tuple[int, Source, Journal | None]]:
    kept_in: dict[tuple[int, str], list[Source]] = defaultdict(list)
    for source in sources:
        kept_in[survey.partition_of(source), source.group].append(source)
    for (partition_id, group), kept in kept_in.items():
        folded = await survey.fold(partition_id, group=group)
        for source in kept:
            yield partition_id, source, folded.journal(source)


async def _delete_start(connector: IggyConnector, source: Source, *, stream: str, partition_id: int) -> None:
    for kept in Kept:
        with suppress(NotFoundError):  # nothing is stored
            await connector.admin.delete_reader_offset(
                stream=stream, topic=Topic.DLQ, partition_id=partition_id, consumer=consumer_name(source, kept)
            )


def _request(claim: Claim, *, stream: str, partition_id: int, message_id: UUID) -> PublishRequest:
    message = encode_record(claim)
    return PublishRequest(
        stream=stream,
        topic=Topic.DLQ,
        partition_id=partition_id,
        payload=message.payload,
        event_id=message_id,
        headers=message.headers,
    )
