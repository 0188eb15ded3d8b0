"""Publishing within spans: what IggyTransport does when somebody records them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from rustok_iggy.batch_publisher import publish_batch
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.outgoing import EnvelopeWriter, Route, Writer
from rustok_iggy.producer import Producer
from rustok_iggy.publish_results import PublishResults
from rustok_iggy.topology import topic_of
from rustok_iggy.tracing.contract import PublishSpan, Tracing
from rustok_iggy.validation import require_envelopes
from rustok_iggy_connector import OutgoingMessage, PublishConfirmation


class StampingWriter(Writer):
    """Writes messages that carry the context of one publish span."""

    def __init__(self, writer: EnvelopeWriter, span: PublishSpan) -> None:
        self._writer = writer
        self._span = span
        self._headers: dict[int, Mapping[str, bytes]] = {}

    def write(self, envelope: EventEnvelope) -> tuple[Route, OutgoingMessage]:
        route, message = self._writer.write(self._span.stamp(envelope))
        tenant = envelope.tenant_id.int
        headers = self._headers.get(tenant)
        if headers is None:  # one mapping for all events of a tenant: the client measures each but once
            headers = self._headers[tenant] = {**route.headers, **self._span.headers}
        return route, replace(message, headers=headers)


async def publish_traced(
    tracing: Tracing, producer: Producer, writer: EnvelopeWriter, envelope: EventEnvelope
) -> PublishConfirmation:
    """See EventTransport.publish."""
    require_envelopes([envelope])
    with tracing.publishing(topic=topic_of(envelope.event_type), count=1) as span:
        (topic, partition_id, _), message = StampingWriter(writer, span).write(envelope)
        offset = await producer.publish(message, topic=topic, partition_id=partition_id, tenant_id=envelope.tenant_id)
        span.stored(partition_id=partition_id, offset=offset)
    return PublishConfirmation(topic, partition_id, offset, envelope.id)


async def publish_batch_traced(
    tracing: Tracing, producer: Producer, writer: EnvelopeWriter, envelopes: Iterable[EventEnvelope]
) -> PublishResults:
    """See EventTransport.publish_batch: one span, whose context every event of the batch carries."""
    producer.require_open()
    given = list(envelopes)
    require_envelopes(given)
    with tracing.publishing(topic=None, count=len(given)) as span:
        return await publish_batch(producer, StampingWriter(writer, span), given)
