"""Everything this distribution raises on purpose, and the one table from server status codes to errors.

    RustokIggyError                        never raised itself
    ├─ ConfigError(ValueError)             lists every problem with its field path
    ├─ ConnectorError
    │  ├─ ServerUnreachableError *
    │  ├─ AuthenticationError
    │  ├─ ConnectionLostError * ?
    │  ├─ RequestTimeoutError(TimeoutError) * ?
    │  ├─ ConnectorClosedError
    │  ├─ IncompatibleServerError
    │  ├─ ProtocolError
    │  │  ├─ LocalProtocolError
    │  │  └─ RemoteProtocolError
    │  ├─ ServerError
    │  │  ├─ NotFoundError  AlreadyExistsError  PermissionDeniedError  InvalidRequestError
    │  │  └─ LimitExceededError  NotAssignedError  TransientServerError *  UnsupportedOptionError
    │  └─ ServerProcessError
    │     └─ ServerNotFoundError  ServerStartupError  ServerExitedError  DataDirInUseError
    └─ TransportError                      its own tree: rustok_iggy.errors

    *  retryable: the same call may succeed later
    ?  outcome unknown: it may have happened; repeat only with the same message id

Messages say what to do next and carry facts as attributes. Payloads and secrets never appear in them. What stands after
`Advice:` in a docstring is what the reference tells people to do.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar


class RustokIggyError(Exception):
    """Root of every error of both packages."""

    retryable: ClassVar[bool] = False
    """The same call may succeed later without anything being changed."""
    outcome_unknown: ClassVar[bool] = False
    """The call may have taken effect; repeat it only with the same message id."""


class ConfigError(RustokIggyError, ValueError):
    """The configuration is wrong. `problems` holds every one found, each as `field.path: what is wrong`.

    Advice: change every key that `problems` names; the configuration reference has all of them.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class ConnectorError(RustokIggyError):
    """Root of what can go wrong between this process and a server."""


class ServerUnreachableError(ConnectorError):
    """No address could be connected to, or none answered in time.

    Advice: look whether the server runs and whether its address is right; then call again.
    """

    retryable = True

    def __init__(self, message: str, *, addresses: Iterable[str] = ()) -> None:
        self.addresses = tuple(addresses)
        super().__init__(message)


class AuthenticationError(ConnectorError):
    """The server refused the user, password or token.

    Advice: check remote.username and remote.password, or the token; a new password needs a new transport.
    """


class ConnectionLostError(ConnectorError):
    """The connection went while a request was under way.

    Advice: call again; a publish with the same message id, so that consumers pass over the copy.
    """

    retryable = True
    outcome_unknown = True


class RequestTimeoutError(ConnectorError, TimeoutError):
    """The server did not answer within the deadline.

    Advice: as after a lost connection; if it lasts, look at the load and the disk of the server.
    """

    retryable = True
    outcome_unknown = True

    def __init__(self, message: str, *, command: str, timeout: float) -> None:
        self.command = command
        self.timeout = timeout
        super().__init__(message)


class ConnectorClosedError(ConnectorError):
    """The connector was shut down, never connected, or belongs to a parent process (fork).

    Advice: use it within its `async with`, in the process that opened it; a forked child opens its own.
    """


class IncompatibleServerError(ConnectorError):
    """The server speaks another generation of the protocol than the installed client.

    Advice: run a server of the 0.9 generation: apache/iggy:0.9.0.
    """

    def __init__(self, message: str, *, client_version: str, server_version: str | None = None) -> None:
        self.client_version = client_version
        self.server_version = server_version
        super().__init__(message)


class ProtocolError(ConnectorError):
    """Bytes on the wire do not follow the protocol."""


class LocalProtocolError(ProtocolError):
    """This side tried to send something the protocol does not allow.

    Advice: report it: a defect of this library, or of what was given to it.
    """


class RemoteProtocolError(ProtocolError):
    """The other side sent something the protocol does not allow.

    Advice: look whether the address is the TCP port of an Iggy server; if it is, report it.
    """


class ServerError(ConnectorError):
    """The server refused a request.

    `status` is its number (None when the client hid it), `name` the protocol's name for it, `command` what was asked.

    Advice: look up `status` and `name` in the table of status numbers, and at the log of the server.
    """

    def __init__(
        self, message: str, *, status: int | None = None, name: str | None = None, command: str | None = None
    ) -> None:
        self.status = status
        self.name = name
        self.command = command
        super().__init__(message)


class NotFoundError(ServerError):
    """The stream, topic, partition, group, offset or user does not exist.

    Advice: look at the name; `rustok-iggy topology apply` creates the stream and its topics.
    """


class AlreadyExistsError(ServerError):
    """Something of that name is already there.

    Advice: use what is there, or another name.
    """


class PermissionDeniedError(ServerError):
    """The user is logged in but may not do this.

    Advice: give the user the right; the production guide has those that each kind of user needs.
    """


class InvalidRequestError(ServerError):
    """The request's content is wrong: an empty payload, a bad name, an offset past the end.

    Advice: change what the message names; the same request is refused again.
    """


class LimitExceededError(ServerError):
    """Too big or too many: payload, headers, batch, partitions, connections.

    Advice: send less, or put large things elsewhere and send where they are.
    """


class NotAssignedError(ServerError):
    """This member does not own that partition (any more); read the assignment again before going on.

    Advice: nothing under a transport, which does it by itself.
    """


class TransientServerError(ServerError):
    """The server cannot do it right now: starting, electing, or full.

    Advice: call again later; if it lasts, look at the log and the disk of the server.
    """

    retryable = True


class UnsupportedOptionError(ServerError):
    """The server does not know an option that the request carries.

    Advice: run a server that knows it: apache/iggy:0.9.0.
    """


class ServerProcessError(ConnectorError):
    """Something about the server process that the embedded connector runs."""

    def __init__(self, message: str, *, log_tail: Iterable[str] = ()) -> None:
        self.log_tail = tuple(log_tail)
        super().__init__(message)


class ServerNotFoundError(ServerProcessError):
    """No iggy-server binary where one was asked for.

    Advice: set embedded.server_path or $IGGY_SERVER_PATH, or embedded.engine: local.
    """


class ServerStartupError(ServerProcessError):
    """The server did not become ready; `log_tail` holds its last lines.

    Advice: read those lines: mostly the memlock limit, the disk, or a port in use.
    """


class ServerExitedError(ServerProcessError):
    """The server ended by itself and was not, or could not be, started again; `log_tail` holds its last lines.

    Advice: read those lines, mend the cause, open a new transport.
    """


class DataDirInUseError(ServerProcessError):
    """Another process holds the data directory and no server can be reached there.

    Advice: end that process, or name another embedded.data_dir.
    """


# Status numbers of Iggy 0.9 (its error enumeration), for those a client can meet and act on.
# number -> (protocol's name, error class). Numbers that are not listed become a plain ServerError.
STATUS_ERRORS: dict[int, tuple[str, type[ConnectorError]]] = {
    1: ("error", TransientServerError),  # something within: a disk that is full, or cannot be read
    3: ("invalid_command", InvalidRequestError),
    4: ("invalid_format", InvalidRequestError),
    5: ("feature_unavailable", InvalidRequestError),
    6: ("invalid_identifier", InvalidRequestError),
    8: ("disconnected", ConnectionLostError),
    20: ("resource_not_found", NotFoundError),
    30: ("stale_client", ConnectionLostError),
    40: ("unauthenticated", AuthenticationError),
    41: ("unauthorized", PermissionDeniedError),
    42: ("invalid_credentials", AuthenticationError),
    43: ("invalid_username", InvalidRequestError),
    44: ("invalid_password", InvalidRequestError),
    46: ("user_already_exists", AlreadyExistsError),
    47: ("user_inactive", AuthenticationError),
    51: ("personal_access_token_already_exists", AlreadyExistsError),
    52: ("personal_access_tokens_limit_reached", LimitExceededError),
    53: ("invalid_personal_access_token", AuthenticationError),
    54: ("personal_access_token_expired", AuthenticationError),
    57: ("transient_not_committed", TransientServerError),
    58: ("transient_not_accepted", TransientServerError),
    59: ("request_already_applied", AlreadyExistsError),
    1009: ("stream_id_not_found", NotFoundError),
    1010: ("stream_name_not_found", NotFoundError),
    1012: ("stream_name_already_exists", AlreadyExistsError),
    1013: ("invalid_stream_name", InvalidRequestError),
    1014: ("invalid_stream_id", InvalidRequestError),
    1019: ("invalid_topic_size", InvalidRequestError),
    1020: ("too_many_streams", LimitExceededError),
    2010: ("topic_id_not_found", NotFoundError),
    2011: ("topic_name_not_found", NotFoundError),
    2013: ("topic_name_already_exists", AlreadyExistsError),
    2014: ("invalid_topic_name", InvalidRequestError),
    2015: ("too_many_partitions", LimitExceededError),
    2016: ("invalid_topic_id", InvalidRequestError),
    2019: ("invalid_partitions_count", InvalidRequestError),
    2021: ("too_many_topics", LimitExceededError),
    3007: ("partition_not_found", NotFoundError),
    3008: ("no_partitions", NotFoundError),
    3021: ("consumer_offset_not_found", NotFoundError),
    4002: ("invalid_segment_size", InvalidRequestError),
    4009: ("invalid_messages_count", InvalidRequestError),
    4010: ("cannot_append_message", TransientServerError),
    4017: ("too_big_headers", LimitExceededError),
    4018: ("invalid_header_key", InvalidRequestError),
    4019: ("invalid_header_value", InvalidRequestError),
    4022: ("too_big_payload", LimitExceededError),
    4023: ("too_many_messages", LimitExceededError),
    4024: ("empty_payload", InvalidRequestError),
    4025: ("invalid_payload_length", InvalidRequestError),
    4041: ("unsupported_option_key", UnsupportedOptionError),
    4042: ("invalid_option_value", InvalidRequestError),
    4043: ("options_block_too_large", LimitExceededError),
    4100: ("invalid_offset", InvalidRequestError),
    5000: ("consumer_group_id_not_found", NotFoundError),
    5002: ("invalid_consumer_group_id", InvalidRequestError),
    5003: ("consumer_group_name_not_found", NotFoundError),
    5004: ("consumer_group_name_already_exists", AlreadyExistsError),
    5005: ("invalid_consumer_group_name", InvalidRequestError),
    5006: ("consumer_group_member_not_found", NotAssignedError),
    5009: ("consumer_group_partition_not_owned", NotAssignedError),
    14003: ("incompatible_protocol_version", IncompatibleServerError),
}
