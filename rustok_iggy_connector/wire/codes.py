"""The numbers of protocol 0.11: frame kinds, operations, command codes, statuses, eviction reasons.

A command has a code (the name it goes by) and travels under an operation. Reads travel under NOT_REPLICATED with the
code in the header; writes travel under an operation of their own and the code stays out of the frame.
"""

from __future__ import annotations

from enum import IntEnum

PROTOCOL_VERSION = 11 << 10
"""0.11.0 packed as major << 20 | minor << 10 | patch. Peers must agree on major and minor."""


def format_protocol_version(packed: int) -> str:
    """`0.11.0` for 0x2c00."""
    return f"{packed >> 20}.{packed >> 10 & 0x3FF}.{packed & 0x3FF}"


def is_compatible_protocol(packed: int) -> bool:
    """A server of this generation takes any patch level of the same major and minor, and nothing else."""
    return packed >> 10 == PROTOCOL_VERSION >> 10


class FrameKind(IntEnum):
    """Byte 60 of every frame. Servers of a cluster use more kinds among themselves; a client meets these."""

    REQUEST = 5
    REPLY = 8
    EVICTION = 13


class Operation(IntEnum):
    """Byte 176 of a request, byte 208 of a reply.

    CREATE_TOPIC and CREATE_PARTITIONS are replicated in an internal form; their committed replies carry that form's
    number (64, 65), a denial carries the request's own.
    """

    REGISTER = 1
    NOT_REPLICATED = 2
    LOGOUT = 3
    CREATE_TOPIC_COMMITTED = 64
    CREATE_PARTITIONS_COMMITTED = 65
    TRUNCATE_PARTITION = 68
    CREATE_STREAM = 128
    UPDATE_STREAM = 129
    DELETE_STREAM = 130
    PURGE_STREAM = 131
    CREATE_TOPIC = 132
    UPDATE_TOPIC = 133
    DELETE_TOPIC = 134
    PURGE_TOPIC = 135
    CREATE_PARTITIONS = 136
    DELETE_PARTITIONS = 137
    DELETE_SEGMENTS = 138
    CREATE_GROUP = 139
    DELETE_GROUP = 140
    CREATE_USER = 141
    UPDATE_USER = 142
    DELETE_USER = 143
    CHANGE_PASSWORD = 144
    UPDATE_PERMISSIONS = 145
    CREATE_TOKEN = 146
    DELETE_TOKEN = 147
    JOIN_GROUP = 148
    LEAVE_GROUP = 149
    SEND_MESSAGES = 160
    STORE_OFFSET = 161
    DELETE_OFFSET = 162


class Command(IntEnum):
    """Command codes, also what `send_binary_request` of the published client takes."""

    PING = 1
    GET_STATS = 10
    GET_CLUSTER_METADATA = 12
    DESCRIBE_OPTIONS = 13
    GET_ME = 20
    GET_CLIENT = 21
    GET_CLIENTS = 22
    GET_USER = 31
    GET_USERS = 32
    CREATE_USER = 33
    DELETE_USER = 34
    UPDATE_USER = 35
    UPDATE_PERMISSIONS = 36
    CHANGE_PASSWORD = 37
    LOGOUT = 39
    LOGIN = 40
    GET_TOKENS = 41
    CREATE_TOKEN = 42
    DELETE_TOKEN = 43
    LOGIN_WITH_TOKEN = 45
    POLL_MESSAGES = 100
    SEND_MESSAGES = 101
    FLUSH_UNSAVED_BUFFER = 102
    GET_OFFSET = 120
    STORE_OFFSET = 121
    DELETE_OFFSET = 122
    GET_STREAM = 200
    GET_STREAMS = 201
    CREATE_STREAM = 202
    DELETE_STREAM = 203
    UPDATE_STREAM = 204
    PURGE_STREAM = 205
    GET_TOPIC = 300
    GET_TOPICS = 301
    CREATE_TOPIC = 302
    DELETE_TOPIC = 303
    UPDATE_TOPIC = 304
    PURGE_TOPIC = 305
    CREATE_PARTITIONS = 402
    DELETE_PARTITIONS = 403
    DELETE_SEGMENTS = 503
    GET_GROUP = 600
    GET_GROUPS = 601
    CREATE_GROUP = 602
    DELETE_GROUP = 603
    JOIN_GROUP = 604
    LEAVE_GROUP = 605
    SYNC_GROUP = 606


class Status(IntEnum):
    """What a reply's status field or result section says. 0 is success; the rest are refusals."""

    OK = 0
    ERROR = 1
    INVALID_COMMAND = 3
    INVALID_FORMAT = 4
    FEATURE_UNAVAILABLE = 5
    INVALID_IDENTIFIER = 6
    DISCONNECTED = 8
    RESOURCE_NOT_FOUND = 20
    STALE_CLIENT = 30
    UNAUTHENTICATED = 40
    UNAUTHORIZED = 41
    INVALID_CREDENTIALS = 42
    INVALID_USERNAME = 43
    INVALID_PASSWORD = 44
    INVALID_USER_STATUS = 45
    USER_ALREADY_EXISTS = 46
    USER_INACTIVE = 47
    CANNOT_DELETE_USER = 48
    CANNOT_CHANGE_PERMISSIONS = 49
    INVALID_TOKEN_NAME = 50
    TOKEN_ALREADY_EXISTS = 51
    TOKENS_LIMIT_REACHED = 52
    INVALID_TOKEN = 53
    TOKEN_EXPIRED = 54
    USERS_LIMIT_REACHED = 55
    INVALID_TOKEN_EXPIRY = 56
    TRANSIENT_NOT_COMMITTED = 57
    TRANSIENT_NOT_ACCEPTED = 58
    REQUEST_ALREADY_APPLIED = 59
    CLIENT_NOT_FOUND = 100
    INVALID_CLIENT_ID = 101
    STREAM_ID_NOT_FOUND = 1009
    STREAM_NAME_NOT_FOUND = 1010
    STREAM_NAME_ALREADY_EXISTS = 1012
    INVALID_STREAM_NAME = 1013
    INVALID_STREAM_ID = 1014
    INVALID_TOPIC_SIZE = 1019
    TOO_MANY_STREAMS = 1020
    TOPIC_ID_NOT_FOUND = 2010
    TOPIC_NAME_NOT_FOUND = 2011
    TOPIC_NAME_ALREADY_EXISTS = 2013
    INVALID_TOPIC_NAME = 2014
    TOO_MANY_PARTITIONS = 2015
    INVALID_TOPIC_ID = 2016
    INVALID_REPLICATION_FACTOR = 2018
    INVALID_PARTITIONS_COUNT = 2019
    TOO_MANY_TOPICS = 2021
    PARTITION_NOT_FOUND = 3007
    NO_PARTITIONS = 3008
    TOPIC_FULL = 3009
    CONSUMER_OFFSET_NOT_FOUND = 3021
    NOT_RESOLVED_CONSUMER = 3022
    SEGMENT_NOT_FOUND = 4000
    INVALID_SEGMENT_SIZE = 4002
    INVALID_MESSAGES_COUNT = 4009
    CANNOT_APPEND_MESSAGE = 4010
    TOO_BIG_HEADERS = 4017
    INVALID_HEADER_KEY = 4018
    INVALID_HEADER_VALUE = 4019
    TOO_BIG_PAYLOAD = 4022
    TOO_MANY_MESSAGES = 4023
    EMPTY_PAYLOAD = 4024
    INVALID_PAYLOAD_LENGTH = 4025
    INVALID_MESSAGE_CHECKSUM = 4027
    INVALID_KEY_VALUE_LENGTH = 4028
    INVALID_SEGMENTS_COUNT = 4030
    INVALID_TIMESTAMP_DELTA = 4038
    INVALID_BATCH_CHECKSUM = 4039
    INVALID_HEADER_KIND = 4040
    UNSUPPORTED_OPTION_KEY = 4041
    INVALID_OPTION_VALUE = 4042
    OPTIONS_BLOCK_TOO_LARGE = 4043
    INVALID_OFFSET = 4100
    INVALID_RESERVED_FIELD = 4101
    GROUP_ID_NOT_FOUND = 5000
    INVALID_GROUP_ID = 5002
    GROUP_NAME_NOT_FOUND = 5003
    GROUP_NAME_ALREADY_EXISTS = 5004
    INVALID_GROUP_NAME = 5005
    GROUP_MEMBER_NOT_FOUND = 5006
    GROUP_PARTITION_NOT_OWNED = 5009
    ALREADY_AUTHENTICATED = 14000
    INVALID_SESSION = 14001
    INCOMPATIBLE_PROTOCOL_VERSION = 14003


class EvictionReason(IntEnum):
    """The last byte of an eviction frame: why the server ends the session."""

    NO_SESSION = 1
    CLIENT_RELEASE_TOO_LOW = 2
    CLIENT_RELEASE_TOO_HIGH = 3
    INVALID_REQUEST_OPERATION = 4
    INVALID_REQUEST_BODY = 5
    INVALID_REQUEST_BODY_SIZE = 6
    SESSION_TOO_LOW = 7
    SESSION_RELEASE_MISMATCH = 8
    INVALID_CREDENTIALS = 9
    INVALID_TOKEN = 10
    USER_INACTIVE = 11
    SESSION_ERROR = 12
    STALE_CLIENT = 13
    INCOMPATIBLE_PROTOCOL = 14
    MALFORMED_LOGIN = 15


OPERATION_OF: dict[Command, Operation] = {
    **{
        Command[operation.name]: operation
        for operation in Operation
        if operation.name in Command.__members__ and operation is not Operation.LOGOUT
    },
    Command.LOGIN: Operation.REGISTER,
    Command.LOGIN_WITH_TOKEN: Operation.REGISTER,
    Command.LOGOUT: Operation.LOGOUT,
}
"""Commands that travel under an operation of their own; every other command travels under NOT_REPLICATED."""

COMMAND_OF: dict[Operation, Command] = {
    operation: command for command, operation in OPERATION_OF.items() if operation is not Operation.REGISTER
}
"""The reverse, but for REGISTER: only the login body tells LOGIN from LOGIN_WITH_TOKEN."""

COMMITTED_AS: dict[Operation, Operation] = {
    Operation.CREATE_TOPIC: Operation.CREATE_TOPIC_COMMITTED,
    Operation.CREATE_PARTITIONS: Operation.CREATE_PARTITIONS_COMMITTED,
    Operation.DELETE_SEGMENTS: Operation.TRUNCATE_PARTITION,
}
"""Operations whose committed reply carries another number than the request."""

RESULT_FRAMED: frozenset[Operation] = frozenset(
    operation
    for operation in Operation
    if operation not in (Operation.NOT_REPLICATED, Operation.LOGOUT, Operation.SEND_MESSAGES)
)
"""Operations whose committed reply starts with a result section (codec.py). Denials never have one."""


def operation_of(command: Command) -> Operation:
    """The operation a request of this command travels under."""
    return OPERATION_OF.get(command, Operation.NOT_REPLICATED)
