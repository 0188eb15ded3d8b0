"""The contracts: what every way of reaching a server offers. One conformance suite holds all of them to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Self

from rustok_iggy_connector.models import (
    Assignment,
    BatchConfirmation,
    CommittedOffset,
    ConnectorStatistics,
    GroupInfo,
    PolledMessages,
    PublishBatch,
    PublishConfirmation,
    PublishRequest,
    ServerInfo,
    StreamInfo,
    TopicInfo,
    TopicSpec,
)


class MessageSubscriber(ABC):
    """A member of a consumer group on one topic, or a plain reader of it.

    One session with the server belongs to it and is shared with nothing else. Calls may come from several tasks; they
    are sent one at a time. Every call has a deadline. A cancelled call may still have taken effect.

    A connection that goes takes the membership with it: the next `assignment()` connects and joins again, and until
    then a member's polls and commits raise NotAssignedError or ConnectionLostError, they do not pretend.
    """

    @abstractmethod
    async def assignment(self) -> Assignment:
        """Ask the server what this member owns, joining (again) if it is not a member.

        This is the only truth about ownership. A plain reader is told all partitions of the topic and generation 0.

        Raises: NotFoundError (topic or group is gone), ConnectionLostError, RequestTimeoutError,
        ServerUnreachableError.
        """

    @abstractmethod
    async def poll(self, partition_id: int, *, offset: int, max_messages: int) -> PolledMessages:
        """Messages from `offset` on, ascending, at most `max_messages`; commits nothing, waits for nothing.

        Empty at the end of the log, and for a member that does not own the partition: only assignment() tells which.
        Below the first retained offset the first retained message comes, without an error: look at its offset. Where
        the reply says it, the last offset of the partition stands beside the messages.

        Raises: NotFoundError, ConnectionLostError, RequestTimeoutError.
        """

    @abstractmethod
    async def peek(self, partition_id: int, *, offset: int, max_messages: int) -> PolledMessages:
        """As poll(), but no progress of the group, and whoever owns the partition: a look at what is not handled now.

        The server hands a partition over to a new member once everything polled is committed, or after 30 s.
        """

    @abstractmethod
    async def committed(self, partition_id: int) -> CommittedOffset | None:
        """The stored offset of this group (or named reader), None when nothing is stored."""

    @abstractmethod
    async def commit(self, partition_id: int, *, offset: int) -> None:
        """Store `offset` as done. Idempotent. It may go back: the caller keeps it from doing so.

        Raises: NotAssignedError (a member that does not own the partition), InvalidRequestError (past the end of the
        log, or a reader without a name), ConnectionLostError, RequestTimeoutError (outcome unknown).
        """

    @abstractmethod
    async def first_offset_since(self, partition_id: int, *, timestamp: int) -> int | None:
        """Offset of the first message stored at or after `timestamp` (µs since 1970 UTC), None when there is none."""

    @abstractmethod
    async def lag(self) -> dict[int, int]:
        """Messages not yet committed, per assigned partition (current − committed; all of them when none stored)."""

    @abstractmethod
    async def leave(self) -> None:
        """Leave the group and close the session. Idempotent. The server deals all partitions of the group anew."""


class TopologyAdmin(ABC):
    """Streams, topics and groups, and the offsets of named readers. Nothing here is called once per event.

    Creating what exists raises AlreadyExistsError, naming what does not exist raises NotFoundError, describing it gives
    None. Names of digits only are refused (InvalidRequestError): the server reads them as numbers. Safe for concurrent
    use. Every call also raises ConnectionLostError, RequestTimeoutError, PermissionDeniedError.
    """

    @abstractmethod
    async def describe_stream(self, stream: str) -> StreamInfo | None: ...

    @abstractmethod
    async def describe_topic(self, *, stream: str, topic: str) -> TopicInfo | None: ...

    @abstractmethod
    async def describe_group(self, *, stream: str, topic: str, group: str) -> GroupInfo | None: ...

    @abstractmethod
    async def committed_offsets(self, *, stream: str, topic: str, group: str) -> dict[int, CommittedOffset]:
        """Stored offset of a group per partition that has one, without joining the group (it would be dealt anew).

        Raises: NotFoundError (stream, topic or group).
        """

    @abstractmethod
    async def list_groups(self, *, stream: str, topic: str) -> tuple[str, ...]:
        """Names of a topic's groups, sorted; none when the stream or the topic does not exist.

        Without those of other clients that `name_problem` finds wanting: no call here takes them.
        """

    @abstractmethod
    async def store_group_offsets(
        self,
        *,
        stream: str,
        topic: str,
        group: str,
        offsets: Mapping[int, int | None],
        before: Callable[[int], Awaitable[None]] | None = None,
    ) -> None:
        """Store offsets (partition → offset, None: delete what is stored) for a group that nobody reads in.

        The server takes a group's offsets from members only, so this session is its only member for a moment: a
        service that joins meanwhile waits up to a second for its partitions. Partitions are stored one after another,
        and a failure leaves the earlier ones stored: repeat the call. `before` is called once with the generation under
        which the partitions are this session's, and must not use this admin; when it raises, nothing is stored.

        Raises: NotFoundError (stream, topic or group), NotAssignedError (the group has members, or one joined
        meanwhile), InvalidRequestError (an offset past the end of the log).
        """

    @abstractmethod
    async def cluster_size(self) -> int:
        """Nodes of the cluster as the server reports them; 1 for a single server."""

    @abstractmethod
    async def reader_offset(
        self, *, stream: str, topic: str, partition_id: int, consumer: str
    ) -> CommittedOffset | None:
        """The offset stored for a named reader, None when nothing is; without a session of that reader's own.

        The server keeps names as 32-bit hashes: two may share an offset, so check what stands where it points. Of a
        stream or topic that does not exist it says the same as of one where nothing is stored.

        Raises: NotFoundError (the topic has no such partition).
        """

    @abstractmethod
    async def store_reader_offset(
        self, *, stream: str, topic: str, partition_id: int, consumer: str, offset: int
    ) -> None:
        """Store an offset for a named reader. Idempotent; it may go back. The server keeps what is not below it.

        Raises: NotFoundError (stream, topic or partition), InvalidRequestError (below 0, or past the end of the log).
        """

    @abstractmethod
    async def delete_reader_offset(self, *, stream: str, topic: str, partition_id: int, consumer: str) -> None:
        """Forget the offset of a named reader, and keep nothing for it any more.

        Raises: NotFoundError (stream, topic or partition, or nothing is stored).
        """

    @abstractmethod
    async def create_stream(self, stream: str) -> None: ...

    @abstractmethod
    async def create_topic(self, *, stream: str, spec: TopicSpec) -> None:
        """Create the topic with the durability asked for.

        A server that does not know the durability option but can write and sync every batch at once (`enforce_fsync`,
        `messages_required_to_save`) is told to, which keeps the promise of `persisted`. Raises UnsupportedOptionError
        when neither is known.
        """

    @abstractmethod
    async def update_topic(self, *, stream: str, spec: TopicSpec) -> None:
        """Set retention (max_age, max_bytes). Partitions, segment size and durability stay as they are."""

    @abstractmethod
    async def create_group(self, *, stream: str, topic: str, group: str) -> None: ...

    @abstractmethod
    async def delete_group(self, *, stream: str, topic: str, group: str) -> None: ...

    @abstractmethod
    async def delete_topic(self, *, stream: str, topic: str) -> None: ...

    @abstractmethod
    async def delete_stream(self, stream: str) -> None: ...


class IggyConnector(ABC):
    """A way to reach a server. `async with` is the normal use; connect and shutdown are what it calls."""

    @abstractmethod
    async def connect(self) -> None:
        """Reach (or start) the server and log in; returns when it has answered. Idempotent while connected.

        Raises: ConfigError, ServerUnreachableError, AuthenticationError, IncompatibleServerError, ServerProcessError
        and its kinds. After a failure nothing is left running.
        """

    @abstractmethod
    async def publish(self, request: PublishRequest) -> PublishConfirmation:
        """Store one message; returns when the server has confirmed it.

        Not repeated here: ConnectionLostError and RequestTimeoutError mean that it may be stored. Also raises
        NotFoundError, InvalidRequestError (empty payload), LimitExceededError, ConnectorClosedError.
        """

    @abstractmethod
    async def publish_batch(self, batch: PublishBatch) -> BatchConfirmation:
        """Store messages in order, all or none. Errors as publish()."""

    @abstractmethod
    async def subscribe(
        self, *, stream: str, topic: str, group: str | None = None, consumer: str | None = None
    ) -> MessageSubscriber:
        """Join `group` as a new member, or open a plain reader when it is None.

        `consumer` names a plain reader, so that it can commit; a reader without a name cannot. The group must exist.
        Raises: NotFoundError and what connect() raises.
        """

    @property
    @abstractmethod
    def admin(self) -> TopologyAdmin: ...

    @property
    @abstractmethod
    def server(self) -> ServerInfo:
        """The server in use. Raises ConnectorClosedError before connect()."""

    @abstractmethod
    def statistics(self) -> ConnectorStatistics: ...

    @abstractmethod
    async def shutdown(self) -> None:
        """Close every session, subscribers included, and stop what was started. Idempotent, has a deadline."""

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.shutdown()
