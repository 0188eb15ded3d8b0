"""Telling the journal that a group's offsets are set from outside: only then do events come again that were done.

The journal remembers up to which offset a partition was done, whatever the server says (F2 in journal.py). So whoever
sets an offset claims the partition first, as its owner of the moment, in a claim that resets.
"""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID, uuid4

from rustok_iggy.dead_letters.layout import encode_record
from rustok_iggy.dead_letters.partition_journal import dlq_partition_of
from rustok_iggy.dead_letters.records import NO_TYPES, NOTHING_COMMITTED, Claim, Epoch, Source
from rustok_iggy.topology import Topic
from rustok_iggy_connector import IggyConnector, PublishRequest, RetryPolicy

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
    group_id: int,
    generation: int,
) -> None:
    """Claim partitions under a generation in which they are ours; `offsets` are those to be stored, None: none.

    Idempotent. Raises connector errors.
    """
    epoch = Epoch(group_id=group_id, generation=generation, member=MEMBER)
    policy = RetryPolicy(max_elapsed=WRITE_TIMEOUT)
    for source, offset in offsets.items():
        committed = NOTHING_COMMITTED if offset is None else offset
        claim = Claim(source=source, epoch=epoch, committed=committed, handled_types=NO_TYPES, resets=True)
        partition_id = dlq_partition_of(source, dlq_partitions=dlq_partitions)
        request = _request(claim, stream=stream, partition_id=partition_id, message_id=uuid4())

        async def publish(request: PublishRequest = request) -> None:
            await connector.publish(request)

        await policy.run(publish)


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
