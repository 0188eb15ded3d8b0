"""From frames to handlers and back: one table, and the order in which one session's requests are answered.

Requests of a session are answered in their order. Sends may follow one another without waiting, so that a client that
pipelines fills the commits; any other request begins when those before it are answered, and so sees what they did.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from xxhash import xxh3_64_intdigest

from rustok_iggy_connector.errors import RemoteProtocolError
from rustok_iggy_connector.local_server.broker import Broker
from rustok_iggy_connector.local_server.commits import Job, Parts, outcome_of
from rustok_iggy_connector.local_server.handlers import accounts, groups, messages, system, topology
from rustok_iggy_connector.local_server.handlers.preconditions import PRECONDITIONS
from rustok_iggy_connector.local_server.login import log_in
from rustok_iggy_connector.local_server.refusal import Refusal
from rustok_iggy_connector.local_server.sessions import Session
from rustok_iggy_connector.wire import codec
from rustok_iggy_connector.wire.codes import Command, EvictionReason, Operation, Status, operation_of
from rustok_iggy_connector.wire.commands import COMMANDS, Message, command_of
from rustok_iggy_connector.wire.connection import RequestFrame, encode_eviction, encode_reply
from rustok_iggy_connector.wire.header import HEADER_BYTES, EvictionHeader
from rustok_iggy_connector.wire.layout import Layout
from rustok_iggy_connector.wire.primitives import Buffer, Reader

Run: TypeAlias = Callable[[Broker, Session, Any], Message | Parts | None]


class Handler(NamedTuple):
    """What a command does. `commits`: it writes, or shows what must not be seen before it is stored."""

    run: Run
    commits: bool
    decode: Callable[[Buffer], Any] | None = None


def _read(run: Run) -> Handler:
    return Handler(run, commits=False)


def _write(run: Run) -> Handler:
    return Handler(run, commits=True)


HANDLERS: Final = MappingProxyType(
    {
        Command.PING: _read(system.ping),
        Command.GET_STATS: _read(system.get_stats),
        Command.GET_CLUSTER_METADATA: _read(system.get_cluster_metadata),
        Command.DESCRIBE_OPTIONS: _read(system.describe_options),
        Command.GET_ME: _read(system.get_me),
        Command.GET_CLIENT: _read(system.get_client),
        Command.GET_CLIENTS: _read(system.get_clients),
        Command.GET_USER: _read(accounts.get_user),
        Command.GET_USERS: _read(accounts.get_users),
        Command.CREATE_USER: _write(accounts.create_user),
        Command.DELETE_USER: _write(accounts.delete_user),
        Command.UPDATE_USER: _write(accounts.update_user),
        Command.UPDATE_PERMISSIONS: _write(accounts.update_permissions),
        Command.CHANGE_PASSWORD: _write(accounts.change_password),
        Command.GET_TOKENS: _read(accounts.get_tokens),
        Command.CREATE_TOKEN: _write(accounts.create_token),
        Command.DELETE_TOKEN: _write(accounts.delete_token),
        Command.POLL_MESSAGES: _read(messages.poll_messages),
        Command.SEND_MESSAGES: Handler(messages.send_messages, True, messages.decode_send),
        Command.FLUSH_UNSAVED_BUFFER: _read(system.flush_unsaved_buffer),
        Command.GET_OFFSET: _read(messages.get_offset),
        Command.STORE_OFFSET: _write(messages.store_offset),
        Command.DELETE_OFFSET: _write(messages.delete_offset),
        Command.GET_STREAM: _read(topology.get_stream),
        Command.GET_STREAMS: _read(topology.get_streams),
        Command.CREATE_STREAM: _write(topology.create_stream),
        Command.DELETE_STREAM: _write(topology.delete_stream),
        Command.UPDATE_STREAM: _write(topology.update_stream),
        Command.PURGE_STREAM: _write(topology.purge_stream),
        Command.GET_TOPIC: _read(topology.get_topic),
        Command.GET_TOPICS: _read(topology.get_topics),
        Command.CREATE_TOPIC: _write(topology.create_topic),
        Command.DELETE_TOPIC: _write(topology.delete_topic),
        Command.UPDATE_TOPIC: _write(topology.update_topic),
        Command.PURGE_TOPIC: _write(topology.purge_topic),
        Command.CREATE_PARTITIONS: _write(topology.create_partitions),
        Command.DELETE_PARTITIONS: _write(topology.delete_partitions),
        Command.DELETE_SEGMENTS: _write(topology.delete_segments),
        Command.GET_GROUP: _read(groups.get_group),
        Command.GET_GROUPS: _read(groups.get_groups),
        Command.CREATE_GROUP: _write(groups.create_group),
        Command.DELETE_GROUP: _write(groups.delete_group),
        Command.JOIN_GROUP: _write(groups.join_group),
        Command.LEAVE_GROUP: _write(groups.leave_group),
        # It shows the generation, which must not fall when the server is killed.
        Command.SYNC_GROUP: _write(groups.sync_group),
    }
)

_STATUS_ON_FAILURE: Final = {Command.SEND_MESSAGES: Status.CANNOT_APPEND_MESSAGE}
"""What a client hears when the storage cannot write; of other commands plain ERROR."""


class Dispatcher:
    """Takes frames in, gives frames to the session's peer. Everything happens in the broker's thread."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.bytes_held = 0
        """Bytes of all requests that were received and not answered."""

    def receive(self, session: Session, frame: RequestFrame) -> None:
        """Begin the request now or when those before it allow."""
        session.last_heard = self._broker.world.monotonic()
        self._hold(session, _size(frame))
        session.waiting.append(frame)
        self._drain(session)

    def end(self, session: Session) -> None:
        """The connection is gone; what it asked for and did not begin is forgotten. Idempotent."""
        while session.waiting:
            self._hold(session, -_size(session.waiting.popleft()))
        self._broker.end_session(session)

    def evict(self, session: Session) -> None:
        """End a session that was silent for too long."""
        session.peer.write([EvictionHeader(client=session.client, reason=EvictionReason.STALE_CLIENT).encode()])
        session.peer.close()

    def _drain(self, session: Session) -> None:
        if session.draining:
            return
        session.draining = True
        while session.waiting and self._may_begin(session, session.waiting[0]):
            self._begin(session, session.waiting.popleft())
        session.draining = False

    def _may_begin(self, session: Session, frame: RequestFrame) -> bool:
        is_send = frame.header.operation is Operation.SEND_MESSAGES
        return not session.under_way or (session.sends_only and is_send)

    def _begin(self, session: Session, frame: RequestFrame) -> None:
        operation = frame.header.operation
        session.sends_only = operation is Operation.SEND_MESSAGES
        session.under_way += 1
        finish = partial(self._finish, session, frame)
        if operation is Operation.REGISTER:
            log_in(self._broker, session, frame, finish)
        elif operation is Operation.LOGOUT:
            self._broker.log_out(session)
            finish(encode_reply(frame.header))
        elif session.user_id is None and operation is not Operation.NOT_REPLICATED:
            finish([encode_eviction(frame.header, EvictionReason.NO_SESSION)])
        else:
            self._handle(session, frame, finish)

    def _handle(self, session: Session, frame: RequestFrame, finish: Callable[[Parts], None]) -> None:
        answer = partial(_answer, frame, finish)
        status = Status.ERROR
        try:
            command, request = self._decode(session, frame)
        except Refusal as refusal:
            # Behind sends that are not answered yet it takes its turn among them.
            run, commits = partial(_refuse, refusal), session.under_way > 1
        else:
            run = partial(self._run, session, command, request)
            commits = HANDLERS[command].commits or getattr(request, "auto_commit", False)
            status = _STATUS_ON_FAILURE.get(command, status)
        if commits:
            self._broker.commits.submit(Job(run=run, answer=answer, status_on_failure=status))
        else:
            answer(outcome_of(run))

    def _decode(self, session: Session, frame: RequestFrame) -> tuple[Command, Any]:
        header = frame.header
        if header.request_checksum and xxh3_64_intdigest(frame.body) != header.request_checksum:
            raise Refusal(Status.INVALID_FORMAT)
        command = command_of(header, frame.body)
        if session.user_id is None and command is not Command.PING:
            raise Refusal(Status.UNAUTHENTICATED)
        if command is None:
            raise Refusal(Status.INVALID_COMMAND)
        if operation_of(command) is not header.operation:
            raise Refusal(Status.FEATURE_UNAVAILABLE)
        try:
            return command, (HANDLERS[command].decode or partial(_read_fields, command))(frame.body)
        except RemoteProtocolError as error:
            raise Refusal(Status.INVALID_COMMAND) from error

    def _run(self, session: Session, command: Command, request: Any) -> Parts:
        try:
            self._authorize(session, command, request)
        except Refusal:
            if command in PRECONDITIONS:
                PRECONDITIONS[command](self._broker, session, request)
            raise
        reply = HANDLERS[command].run(self._broker, session, request)
        return reply if isinstance(reply, list) else [codec.encode_reply_body(command, reply)]

    def _authorize(self, session: Session, command: Command, request: Any) -> None:
        """What is not there is not authorized: its handler says so, and "not found" comes before "not allowed".

        A session that went before its turn came is nobody's any more, so that a join does not outlive its connection.
        """
        stream_id = topic_id = None
        if hasattr(request, "topic"):
            topic = self._broker.catalog.find_topic(request.stream, request.topic)
            if topic is None:
                return
            stream_id, topic_id = topic.key
        elif hasattr(request, "stream"):
            stream = self._broker.catalog.find_stream(request.stream)
            if stream is None:
                return
            stream_id = stream.id
        if session.user_id is None:
            if command is Command.PING:
                return
            raise Refusal(Status.UNAUTHENTICATED)
        target = getattr(request, "user", None)
        self._broker.users.authorize(session.user_id, command, stream_id=stream_id, topic_id=topic_id, target=target)

    def _finish(self, session: Session, frame: RequestFrame, parts: Parts) -> None:
        session.under_way -= 1
        self._hold(session, -_size(frame))
        if session.closed:
            return
        session.peer.write(parts)
        self._drain(session)

    def _hold(self, session: Session, size: int) -> None:
        session.bytes_held += size
        self.bytes_held += size


def _read_fields(command: Command, body: Buffer) -> Layout:
    """As iggy-server reads: what comes behind the last field is a later client's, and passed over."""
    request = COMMANDS[command].request
    assert issubclass(request, Layout)
    return request.read(Reader(body))


def _size(frame: RequestFrame) -> int:
    return HEADER_BYTES + len(frame.body)


def _refuse(refusal: Refusal) -> Parts:
    raise refusal


def _answer(frame: RequestFrame, finish: Callable[[Parts], None], outcome: Parts | Refusal) -> None:
    if not isinstance(outcome, Refusal):
        finish(encode_reply(frame.header, *outcome))
    elif outcome.committed:
        finish(encode_reply(frame.header, codec.Refusal(outcome.status, committed=True).encode()))
    else:
        finish(encode_reply(frame.header, status=outcome.status))
