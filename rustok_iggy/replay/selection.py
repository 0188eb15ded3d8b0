"""Which messages of a range are wanted: by tenant and type from the ids, by predicate from the whole. Decides only."""

from __future__ import annotations

from uuid import UUID

from rustok_iggy.consumer.delivery import EnvelopeReader
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import DecodeError, ReplayError, UnknownEventTypeError, UnsupportedVersionError
from rustok_iggy.message import read_rk_header
from rustok_iggy.replay.plan import ReplayPlan
from rustok_iggy.serialization import OpenedEnvelope
from rustok_iggy_connector import Position, ReceivedMessage

UNREADABLE = (DecodeError, UnknownEventTypeError, UnsupportedVersionError)
"""What EventSerializer.decode raises."""


class DecodedEnvelope(OpenedEnvelope):
    """An envelope that is decoded already, for whoever wants to decode it."""

    __slots__ = ("correlation_id", "envelope", "id")

    id: UUID
    correlation_id: UUID

    def __init__(self, envelope: EventEnvelope) -> None:
        self.envelope = envelope
        self.id = envelope.id
        self.event_type = envelope.event_type
        self.schema_version = envelope.schema_version
        self.correlation_id = envelope.correlation_id
        self.tenant_id = envelope.tenant_id

    def decode(self) -> EventEnvelope:
        return self.envelope

    def decode_raw(self) -> EventEnvelope:
        return self.envelope


class Selection:
    """What a plan chooses. Raises ReplayError when its predicate cannot be imported."""

    def __init__(self, plan: ReplayPlan, reader: EnvelopeReader) -> None:
        self._topic = plan.topic
        self._reader = reader
        self._tenants = None if plan.tenants is None else frozenset(plan.tenants)
        self._types = None if plan.event_types is None else frozenset(plan.event_types)
        self._label = "" if plan.predicate is None else plan.predicate.label
        self._predicate = None if plan.predicate is None else plan.predicate.resolve()

    def choose(self, partition_id: int, message: ReceivedMessage) -> OpenedEnvelope | None:
        """Return a message's envelope, None when it is not wanted. Raises one of UNREADABLE, ReplayError."""
        try:
            opened = self._reader.open(message)
        except DecodeError:
            if self._is_of_another_tenant(message):
                return None
            raise
        if self._tenants is not None and opened.tenant_id not in self._tenants:
            return None
        if self._types is not None and opened.event_type not in self._types:
            return None
        if self._predicate is None:
            return opened
        decoded = DecodedEnvelope(opened.decode())
        return decoded if self._is_chosen(partition_id, message, decoded.envelope) else None

    def _is_of_another_tenant(self, message: ReceivedMessage) -> bool:
        header = None if self._tenants is None else read_rk_header(message.headers)
        return header is not None and self._tenants is not None and header.tenant_id not in self._tenants

    def _is_chosen(self, partition_id: int, message: ReceivedMessage, envelope: EventEnvelope) -> bool:
        assert self._predicate is not None, "asked without a predicate"
        try:  # user code: what it could not decide upon is in no plan
            return self._predicate(envelope)
        except Exception as error:
            position = Position(self._topic, partition_id, message.offset)
            raise ReplayError(
                f"predicate {self._label} raised {type(error).__name__} at {position}", position=position
            ) from error
