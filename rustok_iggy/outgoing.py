"""From an envelope to the message that is sent: validated, encoded, with its topic and partition."""

from __future__ import annotations

from typing import NamedTuple

from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import ValidationError
from rustok_iggy.message import message_headers
from rustok_iggy.partitioning import partition_for
from rustok_iggy.serialization import EventSerializer
from rustok_iggy.topology import DesiredTopology, Topic, topic_of
from rustok_iggy.validation import validate_envelope
from rustok_iggy_connector import OutgoingMessage


class Outgoing(NamedTuple):
    """A message and where it goes."""

    topic: str
    partition_id: int
    message: OutgoingMessage


class EnvelopeWriter:
    """Makes messages of envelopes. The partition follows from the tenant and the configured count alone."""

    def __init__(self, serializer: EventSerializer, topology: DesiredTopology, *, max_event_bytes: int) -> None:
        self._serializer = serializer
        self._partitions = {Topic(spec.name): spec.partitions for spec in topology.topics}
        self._max_event_bytes = max_event_bytes

    def write(self, envelope: EventEnvelope) -> Outgoing:
        """Raises ValidationError (also for an event that is too large), EncodeError, UnknownEventTypeError."""
        validate_envelope(envelope)
        payload = self._serializer.encode(envelope)
        if len(payload) > self._max_event_bytes:
            raise ValidationError(
                [f"event: is {len(payload)} bytes, more than max_event_bytes ({self._max_event_bytes})"],
                event_type=envelope.event_type,
                event_id=envelope.id,
            )
        topic = topic_of(envelope.event_type)
        return Outgoing(
            topic.value,
            partition_for(envelope.tenant_id, self._partitions[topic]),
            OutgoingMessage(
                id=envelope.id,
                payload=payload,
                headers=message_headers(envelope.tenant_id, format=self._serializer.format),
            ),
        )
