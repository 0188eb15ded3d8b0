"""From an envelope to the message that is sent: validated, encoded, with its topic and partition."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import ValidationError
from rustok_iggy.message import message_headers
from rustok_iggy.partitioning import partition_for
from rustok_iggy.serialization import EventSerializer
from rustok_iggy.topology import DesiredTopology, Topic, topic_of
from rustok_iggy.validation import validate_envelope
from rustok_iggy_connector import OutgoingMessage

MAX_REMEMBERED_ROUTES = 16_384
"""Tenants per topic, about 8 MB; above, all are forgotten and found again at 2 µs each."""


class Route(NamedTuple):
    """Where the events of one tenant go in one topic, and the headers they carry."""

    topic: str
    partition_id: int
    headers: Mapping[str, bytes]


class Writer(ABC):
    """Makes messages of envelopes."""

    @abstractmethod
    def write(self, envelope: EventEnvelope) -> tuple[Route, OutgoingMessage]:
        """Raises ValidationError (also for an event that is too large), EncodeError, UnknownEventTypeError."""


class EnvelopeWriter(Writer):
    """Makes messages of envelopes. The partition follows from the tenant and the configured count alone."""

    def __init__(self, serializer: EventSerializer, topology: DesiredTopology, *, max_event_bytes: int) -> None:
        self._serializer = serializer
        self._partitions = {Topic(spec.name): spec.partitions for spec in topology.topics}
        self._max_event_bytes = max_event_bytes
        self._routes: dict[Topic, dict[int, Route]] = {topic: {} for topic in Topic}

    def write(self, envelope: EventEnvelope) -> tuple[Route, OutgoingMessage]:
        validate_envelope(envelope)
        payload = self._serializer.encode(envelope)
        if len(payload) > self._max_event_bytes:
            raise ValidationError(
                [f"event: is {len(payload)} bytes, more than max_event_bytes ({self._max_event_bytes})"],
                event_type=envelope.event_type,
                event_id=envelope.id,
            )
        topic = topic_of(envelope.event_type)
        route = self._routes[topic].get(envelope.tenant_id.int) or self._find_route(topic, envelope.tenant_id)
        return route, OutgoingMessage(id=envelope.id, payload=payload, headers=route.headers)

    def _find_route(self, topic: Topic, tenant_id: UUID) -> Route:
        routes = self._routes[topic]
        if len(routes) >= MAX_REMEMBERED_ROUTES:
            routes.clear()
        route = routes[tenant_id.int] = Route(
            topic.value,
            partition_for(tenant_id, self._partitions[topic]),
            message_headers(tenant_id, format=self._serializer.format),
        )
        return route
