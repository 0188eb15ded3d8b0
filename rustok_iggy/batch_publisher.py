"""publish_batch(): every envelope encoded before anything is sent, one submission per partition, a result for each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import SerializationError, ValidationError
from rustok_iggy.outgoing import Route, Writer
from rustok_iggy.producer import Producer
from rustok_iggy.publish_lane import PartitionMessages
from rustok_iggy.publish_queue import PublishFailure, PublishStatus, predecessor_failure
from rustok_iggy.publish_results import PublishResults, Share
from rustok_iggy.validation import require_envelopes
from rustok_iggy_connector import OutgoingMessage


@dataclass(slots=True)
class _Partition(PartitionMessages):
    """What of the batch goes to one partition, and where in the batch it stands."""

    messages: list[OutgoingMessage] = field(default_factory=list)
    tenants: list[UUID] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)


async def publish_batch(producer: Producer, writer: Writer, envelopes: Iterable[EventEnvelope]) -> PublishResults:
    """See EventTransport.publish_batch. Calls keep their order: all is queued before the first await, or waits."""
    producer.require_open()
    given = list(envelopes)
    require_envelopes(given)
    failures: dict[int, PublishFailure] = {}
    partitions = _written(writer, given, failures)
    submissions = await producer.publish_together(partitions)
    shares = [
        Share(topic=part.topic, partition_id=part.partition_id, indexes=part.indexes, submission=submission)
        for part, submission in zip(partitions, submissions, strict=True)
    ]
    return PublishResults([envelope.id for envelope in given], shares, failures)


def _written(writer: Writer, envelopes: list[EventEnvelope], failures: dict[int, PublishFailure]) -> list[_Partition]:
    """Encode all; what cannot be encoded fails, and holds back what its tenant has later in the batch."""
    partitions: dict[tuple[str, int], _Partition] = {}
    held_back: dict[UUID, UUID] = {}
    last: Route | None = None
    part: _Partition | None = None
    for index, envelope in enumerate(envelopes):
        tenant = envelope.tenant_id
        if held_back and tenant in held_back:
            failures[index] = predecessor_failure(held_back[tenant])
            continue
        try:
            route, message = writer.write(envelope)
        except (ValidationError, SerializationError) as error:
            failures[index] = PublishFailure(PublishStatus.FAILED, error)
            held_back[tenant] = envelope.id
            continue
        if route is not last:
            last, part = route, partitions.get(route[:2])
            if part is None:
                part = partitions[route[:2]] = _Partition(route.topic, route.partition_id)
        assert part is not None, "a route was found"
        part.indexes.append(index)
        part.messages.append(message)
        part.tenants.append(tenant)
    return list(partitions.values())
