"""Everything the event transport raises on purpose, and the signals a handler steers delivery with.

    RustokIggyError                        of the connector, re-exported here with its whole tree
    └─ TransportError
       ├─ ValidationError
       ├─ BackpressureError *
       ├─ PredecessorFailedError *
       ├─ TransportClosedError
       ├─ SerializationError
       │  └─ EncodeError  DecodeError  UnknownEventTypeError  UnsupportedVersionError
       ├─ TopologyError
       │  └─ TopologyConflictError
       ├─ ConsumerError
       │  └─ OffsetOutOfRangeError
       ├─ DeadLetterError
       ├─ RedriveError
       └─ ReplayError
          └─ ReplayCancelledError

    *  retryable: the same call may succeed later

Messages say what to do next and carry facts as attributes. Payloads and secrets never appear in them. What stands after
`Advice:` in a docstring is what the reference tells people to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from rustok_iggy_connector import (
    AlreadyExistsError,
    AuthenticationError,
    ConfigError,
    ConnectionLostError,
    ConnectorClosedError,
    ConnectorError,
    DataDirInUseError,
    IncompatibleServerError,
    InvalidRequestError,
    LimitExceededError,
    LocalProtocolError,
    NotAssignedError,
    NotFoundError,
    PermissionDeniedError,
    Position,
    ProtocolError,
    RemoteProtocolError,
    RequestTimeoutError,
    RustokIggyError,
    ServerError,
    ServerExitedError,
    ServerNotFoundError,
    ServerProcessError,
    ServerStartupError,
    ServerUnreachableError,
    TransientServerError,
    UnsupportedOptionError,
)

__all__ = [
    "AlreadyExistsError",
    "AuthenticationError",
    "BackpressureError",
    "ConfigError",
    "ConnectionLostError",
    "ConnectorClosedError",
    "ConnectorError",
    "ConsumerError",
    "DataDirInUseError",
    "DeadLetterError",
    "DecodeError",
    "EncodeError",
    "IncompatibleServerError",
    "InvalidRequestError",
    "LimitExceededError",
    "LocalProtocolError",
    "NotAssignedError",
    "NotFoundError",
    "OffsetOutOfRangeError",
    "PermissionDeniedError",
    "PredecessorFailedError",
    "ProtocolError",
    "RedriveError",
    "Reject",
    "RemoteProtocolError",
    "ReplayCancelledError",
    "ReplayError",
    "RequestTimeoutError",
    "RetryLater",
    "RustokIggyError",
    "SerializationError",
    "ServerError",
    "ServerExitedError",
    "ServerNotFoundError",
    "ServerProcessError",
    "ServerStartupError",
    "ServerUnreachableError",
    "TopologyConflictError",
    "TopologyError",
    "TransientServerError",
    "TransportClosedError",
    "TransportError",
    "UnknownEventTypeError",
    "UnsupportedOptionError",
    "UnsupportedVersionError",
    "ValidationError",
]

MAX_RETRY_LATER_DELAY = 300.0
"""Seconds. A lane that waits holds its partition's watermark; longer waits belong to a scheduler of the host."""


class TransportError(RustokIggyError):
    """Root of what can go wrong between a host application and its events."""


class ValidationError(TransportError):
    """An event or a tenant identifier breaks the rules. `problems` holds every one, each as `field: what is wrong`.

    Advice: change the fields it names; nothing was sent.
    """

    def __init__(self, problems: Iterable[str], *, event_type: str | None = None, event_id: UUID | None = None) -> None:
        self.problems = tuple(problems)
        self.event_type = event_type
        self.event_id = event_id
        what = "" if event_type is None else f"{event_type}: "
        super().__init__(what + "; ".join(self.problems))


class BackpressureError(TransportError):
    """The publish queue is too full to take another event; nothing was queued.

    `depth` and `queued_bytes` are what was in the queue, without the refused event.

    Advice: publish later or more slowly, or set backpressure.policy: wait.
    """

    retryable = True

    def __init__(self, message: str, *, depth: int, queued_bytes: int) -> None:
        self.depth = depth
        self.queued_bytes = queued_bytes
        super().__init__(message)


class PredecessorFailedError(TransportError):
    """Not sent: an earlier event of the same tenant failed for good, and sending this one would break its order.

    `predecessor_id` is the event that failed; publish it again first.

    Advice: publish that event again and then this one, both as the same envelopes.
    """

    retryable = True

    def __init__(self, message: str, *, predecessor_id: UUID | None = None) -> None:
        self.predecessor_id = predecessor_id
        super().__init__(message)


class TransportClosedError(TransportError):
    """The transport is closed, or was never opened.

    Advice: use the transport within its `async with`; a closed one is not opened again.
    """


class SerializationError(TransportError):
    """Root of what can go wrong between an event and its bytes."""


class EncodeError(SerializationError):
    """The event's fields do not fit its own schema. `path` is the field, `format` json or postcard.

    Advice: change the field that `path` names; nothing was sent.
    """

    def __init__(self, message: str, *, format: str, path: str | None = None) -> None:
        self.format = format
        self.path = path
        super().__init__(_located(message, format, path))


class DecodeError(SerializationError):
    """The bytes are not an envelope in this format. `path` is the field at which that showed, None for all of it.

    Advice: look who wrote the bytes, and in which format; consumers keep them as a dead letter.
    """

    def __init__(self, message: str, *, format: str, path: str | None = None) -> None:
        self.format = format
        self.path = path
        super().__init__(_located(message, format, path))


class UnknownEventTypeError(SerializationError):
    """No catalogue in use knows this event type, or this class was never declared as an event.

    Advice: declare the type in the catalogue that the transport is made with.
    """

    def __init__(self, message: str, *, event_type: str) -> None:
        self.event_type = event_type
        super().__init__(message)


class UnsupportedVersionError(SerializationError):
    """The event type is known, this schema version of it is not. `supported` are those that can be read.

    Advice: install the version of the catalogue that knows it, or write an upcaster.
    """

    def __init__(self, message: str, *, event_type: str, version: int, supported: Iterable[int]) -> None:
        self.event_type = event_type
        self.version = version
        self.supported = tuple(supported)
        super().__init__(message)


class TopologyError(TransportError):
    """The streams, topics or groups are not there, or could not be made.

    Advice: `rustok-iggy topology plan` shows what differs.
    """


class TopologyConflictError(TopologyError):
    """What the server has contradicts the configuration and cannot be changed in place.

    Advice: set the configuration to what the server has, or move to a new stream; nothing was changed.
    """

    def __init__(self, message: str, *, desired: object, actual: object) -> None:
        self.desired = desired
        self.actual = actual
        super().__init__(message)


class ConsumerError(TransportError):
    """Root of what can go wrong while consuming. Itself: a call that does not fit, or a subscription that ended.

    Advice: it says what to do instead.
    """


class OffsetOutOfRangeError(ConsumerError):
    """A gap, or a log that was reset: the next message is not the one that follows the committed offset.

    `expected` is the offset that should have come, `found` the one that came (None: the log ends before it).

    Advice: find out what removed the events; then on_gap="continue", or reset the group.
    """

    def __init__(self, message: str, *, topic: str, partition_id: int, expected: int, found: int | None) -> None:
        self.topic = topic
        self.partition_id = partition_id
        self.expected = expected
        self.found = found
        super().__init__(message)


class DeadLetterError(TransportError):
    """A dead letter could not be written, read or settled.

    Advice: it says what is missing; list the letters again.
    """


class RedriveError(TransportError):
    """A redrive request is wrong, or cannot be carried out.

    Advice: it says what is wrong with the request; ask again.
    """


class ReplayError(TransportError):
    """A replay plan is wrong, its range is gone, or a replay had to stop: at `position`, None when at no event.

    Advice: mend what it names, and run again with resume; a range that is gone needs a new plan.
    """

    def __init__(self, message: str, *, position: Position | None = None) -> None:
        self.position = position
        super().__init__(message)


class ReplayCancelledError(ReplayError):
    """A replay ended because somebody cancelled it from another process; its checkpoint says how far it got.

    Advice: to go on with it, remove the note that the message names, and run again with resume.
    """


class Reject(Exception):  # noqa: N818  a signal of a handler, not an error
    """Raised by a handler: this event will never succeed, do not try again.

    The event is kept as a dead letter with `reason`. `park=False` lets the tenant's later events go on.
    """

    def __init__(self, reason: str, *, park: bool = True) -> None:
        self.reason = reason
        self.park = park
        super().__init__(reason)


class RetryLater(Exception):  # noqa: N818  a signal of a handler, not an error
    """Raised by a handler: run this same delivery again after `delay` seconds (0 to 300); its lane waits."""

    def __init__(self, delay: float) -> None:
        if not 0 <= delay <= MAX_RETRY_LATER_DELAY:
            raise ValueError(f"delay must be between 0 and {MAX_RETRY_LATER_DELAY:g} seconds")
        self.delay = delay
        super().__init__(f"again in {delay:g} s")


def _located(message: str, format_name: str, path: str | None) -> str:
    return f"{format_name}: {message}" if path is None else f"{format_name}: {path}: {message}"
