"""The public names of rustok_iggy, which has them from here (see its __init__)."""

from rustok_iggy.backpressure import (
    BackpressureConfig,
    BackpressureController,
    BackpressurePolicy,
    BackpressureState,
)
from rustok_iggy.bus import EventBus, EventBusStats
from rustok_iggy.catalog import EventCatalog
from rustok_iggy.config import (
    ConsumerConfig,
    EmbeddedConfig,
    EventTransportKind,
    IggyConfig,
    IggyMode,
    RemoteConfig,
    RetentionConfig,
    TopologyConfig,
)
from rustok_iggy.consumer.context import DeliveryContext, Fence, Redrive
from rustok_iggy.consumer.failure import Block, DeadLetter, ParkTenant, Retry, Stop
from rustok_iggy.consumer.group_statistics import GroupStanding, GroupStatistics
from rustok_iggy.consumer.statistics import ConsumerStatistics
from rustok_iggy.consumer.subscription import (
    Ack,
    OnGap,
    OnUndecodable,
    OnUnknown,
    Ordering,
    Replaying,
    Start,
    SubscribeOptions,
)
from rustok_iggy.consumer_groups import ConsumerGroupManager
from rustok_iggy.dead_letters.export import ExportProgress
from rustok_iggy.dead_letters.letters import DeadLetterDetails, DeadLetterSummary, LetterKey, LetterPage
from rustok_iggy.dead_letters.queue import DlqManager
from rustok_iggy.dead_letters.records import Cause
from rustok_iggy.dead_letters.request_options import RedriveOptions
from rustok_iggy.dead_letters.request_progress import RequestProgress, RequestState
from rustok_iggy.dead_letters.requests import LetterRequest, PlannedLane
from rustok_iggy.dead_letters.selection import EVERYTHING, LetterSelection
from rustok_iggy.dead_letters.statistics import DeadLetterStatistics, LetterCount, RequestStatistics
from rustok_iggy.dead_letters.survey import ReadProgress
from rustok_iggy.dispatcher import DispatcherConfig, DispatcherStats, EventDispatcher, EventHandler
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import (
    AlreadyExistsError,
    AuthenticationError,
    BackpressureError,
    ConfigError,
    ConnectionLostError,
    ConnectorClosedError,
    ConnectorError,
    ConsumerError,
    DataDirInUseError,
    DeadLetterError,
    DecodeError,
    EncodeError,
    IncompatibleServerError,
    InvalidRequestError,
    LimitExceededError,
    LocalProtocolError,
    NotAssignedError,
    NotFoundError,
    OffsetOutOfRangeError,
    PermissionDeniedError,
    PredecessorFailedError,
    ProtocolError,
    RedriveError,
    Reject,
    RemoteProtocolError,
    ReplayCancelledError,
    ReplayError,
    RequestTimeoutError,
    RetryLater,
    RustokIggyError,
    SerializationError,
    ServerError,
    ServerExitedError,
    ServerNotFoundError,
    ServerProcessError,
    ServerStartupError,
    ServerUnreachableError,
    TopologyConflictError,
    TopologyError,
    TransientServerError,
    TransportClosedError,
    TransportError,
    UnknownEventTypeError,
    UnsupportedOptionError,
    UnsupportedVersionError,
    ValidationError,
)
from rustok_iggy.events import DomainEvent
from rustok_iggy.health import ComponentHealth, HealthReport, HealthStatus
from rustok_iggy.iggy_transport import IggyTransport, MemoryTransport
from rustok_iggy.publish_lane import ProducerStatistics
from rustok_iggy.publish_queue import PublishStatus
from rustok_iggy.publish_results import PublishResult, PublishResults
from rustok_iggy.replay.log_identity import KnownMessage
from rustok_iggy.replay.manager import ReplayManager
from rustok_iggy.replay.options import FileTarget, ReplayOptions, Undecodable, to_file
from rustok_iggy.replay.plan import EventCount, PartitionRange, ReplayPlan
from rustok_iggy.replay.planning import ReplaySelection
from rustok_iggy.replay.progress import ReplayProgress
from rustok_iggy.serialization import EventSerializer, JsonSerializer, PostcardSerializer, RawEvent, SerializationFormat
from rustok_iggy.topology import TopologyManager
from rustok_iggy.transport import EventTransport, ReliabilityLevel
from rustok_iggy.transport_statistics import TransportStatistics
from rustok_iggy.validation import ValidateEvent
from rustok_iggy_connector import Durability, Position, PublishConfirmation

__all__ = [
    "Ack",
    "AlreadyExistsError",
    "AuthenticationError",
    "BackpressureConfig",
    "BackpressureController",
    "BackpressureError",
    "BackpressurePolicy",
    "BackpressureState",
    "Block",
    "Cause",
    "ComponentHealth",
    "ConfigError",
    "ConnectionLostError",
    "ConnectorClosedError",
    "ConnectorError",
    "ConsumerConfig",
    "ConsumerError",
    "ConsumerGroupManager",
    "ConsumerStatistics",
    "DataDirInUseError",
    "DeadLetter",
    "DeadLetterDetails",
    "DeadLetterError",
    "DeadLetterStatistics",
    "DeadLetterSummary",
    "DecodeError",
    "DeliveryContext",
    "DispatcherConfig",
    "DispatcherStats",
    "DlqManager",
    "DomainEvent",
    "Durability",
    "EVERYTHING",
    "EmbeddedConfig",
    "EncodeError",
    "EventBus",
    "EventBusStats",
    "EventCatalog",
    "EventCount",
    "EventDispatcher",
    "EventEnvelope",
    "EventHandler",
    "EventSerializer",
    "EventTransport",
    "EventTransportKind",
    "ExportProgress",
    "Fence",
    "FileTarget",
    "GroupStanding",
    "GroupStatistics",
    "HealthReport",
    "HealthStatus",
    "IggyConfig",
    "IggyMode",
    "IggyTransport",
    "IncompatibleServerError",
    "InvalidRequestError",
    "JsonSerializer",
    "KnownMessage",
    "LetterCount",
    "LetterKey",
    "LetterPage",
    "LetterRequest",
    "LetterSelection",
    "LimitExceededError",
    "LocalProtocolError",
    "MemoryTransport",
    "NotAssignedError",
    "NotFoundError",
    "OffsetOutOfRangeError",
    "OnGap",
    "OnUndecodable",
    "OnUnknown",
    "Ordering",
    "PartitionRange",
    "ParkTenant",
    "PermissionDeniedError",
    "PlannedLane",
    "Position",
    "PostcardSerializer",
    "PredecessorFailedError",
    "ProducerStatistics",
    "ProtocolError",
    "PublishConfirmation",
    "PublishResult",
    "PublishResults",
    "PublishStatus",
    "RawEvent",
    "ReadProgress",
    "Redrive",
    "RedriveError",
    "RedriveOptions",
    "Reject",
    "ReliabilityLevel",
    "RemoteConfig",
    "RemoteProtocolError",
    "ReplayCancelledError",
    "ReplayError",
    "ReplayManager",
    "ReplayOptions",
    "ReplayPlan",
    "ReplayProgress",
    "ReplaySelection",
    "Replaying",
    "RequestProgress",
    "RequestState",
    "RequestStatistics",
    "RequestTimeoutError",
    "RetentionConfig",
    "Retry",
    "RetryLater",
    "RustokIggyError",
    "SerializationError",
    "SerializationFormat",
    "ServerError",
    "ServerExitedError",
    "ServerNotFoundError",
    "ServerProcessError",
    "ServerStartupError",
    "ServerUnreachableError",
    "Start",
    "Stop",
    "SubscribeOptions",
    "TopologyConfig",
    "TopologyConflictError",
    "TopologyError",
    "TopologyManager",
    "TransientServerError",
    "TransportClosedError",
    "TransportError",
    "TransportStatistics",
    "Undecodable",
    "UnknownEventTypeError",
    "UnsupportedOptionError",
    "UnsupportedVersionError",
    "ValidateEvent",
    "ValidationError",
    "to_file",
]
