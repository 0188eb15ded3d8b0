"""The texts that the client's wheel raises, and the status each stands for.

The wheel raises RuntimeError or ValueError with a text and no number, and leaves the names in the text blank. Each row
is a pattern that must match the whole text, and the number of the protocol's error enumeration; rows marked (client)
never come from a server. Source: texts recorded with apache-iggy 0.9.0, and the enumeration in the server's source.
"""

from __future__ import annotations

import re

from rustok_iggy_connector.wire.codes import Status

CANNOT_CONNECT = 9
"""(client) nobody listens, the name is not known, or TLS was not agreed on."""
TLS_DOMAIN, TLS_CA_PATH, TLS_CA_FILE = 64, 65, 66
"""(client) settings that TLS cannot work with."""

SESSION_GONE = frozenset({Status.DISCONNECTED, CANNOT_CONNECT, Status.STALE_CLIENT, 31, 61, 63, 206, 304})
"""(client but for STALE_CLIENT) Whatever was asked, this session answers nothing any more."""

_TEXTS: tuple[tuple[str, int], ...] = (
    (r"Invalid command", Status.INVALID_COMMAND),
    (r"Invalid format", Status.INVALID_FORMAT),
    (r"Feature is unavailable", Status.FEATURE_UNAVAILABLE),
    (r"Invalid identifier", Status.INVALID_IDENTIFIER),
    (r"Disconnected", Status.DISCONNECTED),
    (r"Cannot establish connection", CANNOT_CONNECT),
    (r"Resource with key: .* was not found\.", Status.RESOURCE_NOT_FOUND),
    (r"Stale client", Status.STALE_CLIENT),
    (r"TCP error", 31),
    (r"Unauthenticated", Status.UNAUTHENTICATED),
    (r"Unauthorized", Status.UNAUTHORIZED),
    (r"Invalid credentials", Status.INVALID_CREDENTIALS),
    (r"Invalid username", Status.INVALID_USERNAME),
    (r"Invalid password", Status.INVALID_PASSWORD),
    (r"User already exists", Status.USER_ALREADY_EXISTS),
    (r"User inactive", Status.USER_INACTIVE),
    (r"Personal access token: .* already exists", Status.TOKEN_ALREADY_EXISTS),
    (r"User with ID: .* has reached the maximum number of personal access tokens: .*", Status.TOKENS_LIMIT_REACHED),
    (r"Invalid personal access token", Status.INVALID_TOKEN),
    (r"Personal access token: .* has expired\.", Status.TOKEN_EXPIRED),
    (r"Request transiently not committed; retry", Status.TRANSIENT_NOT_COMMITTED),
    (r"Request transiently not accepted; retry, on any replica", Status.TRANSIENT_NOT_ACCEPTED),
    (r"Request already applied; its reply is no longer available", Status.REQUEST_ALREADY_APPLIED),
    (r"Not connected", 61),
    (r"Client shutdown", 63),
    (r"Invalid TLS domain", TLS_DOMAIN),
    (r"Invalid TLS certificate path", TLS_CA_PATH),
    (r"Invalid TLS certificate", TLS_CA_FILE),
    (r"Connection closed", 206),
    (r"Empty response", 304),
    (r"Stream with ID: .* was not found\.", Status.STREAM_ID_NOT_FOUND),
    (r"Stream with name: .* was not found\.", Status.STREAM_NAME_NOT_FOUND),
    (r"Stream with name: .* already exists\.", Status.STREAM_NAME_ALREADY_EXISTS),
    (r"Invalid stream name", Status.INVALID_STREAM_NAME),
    (r"Invalid stream ID", Status.INVALID_STREAM_ID),
    (r"Max topic size cannot be lower than segment size\..*", Status.INVALID_TOPIC_SIZE),
    (r"Too many streams", Status.TOO_MANY_STREAMS),
    (r"Topic with ID: .* for stream with ID: .* was not found\.", Status.TOPIC_ID_NOT_FOUND),
    (r"Topic with name: .* for stream with ID: .* was not found\.", Status.TOPIC_NAME_NOT_FOUND),
    (r"Topic with name: .* for stream with ID: .* already exists\.", Status.TOPIC_NAME_ALREADY_EXISTS),
    (r"Invalid topic name", Status.INVALID_TOPIC_NAME),
    (r"Too many partitions", Status.TOO_MANY_PARTITIONS),
    (r"Invalid topic ID", Status.INVALID_TOPIC_ID),
    (r"Invalid partitions count", Status.INVALID_PARTITIONS_COUNT),
    (r"Too many topics", Status.TOO_MANY_TOPICS),
    (r"Partition with ID: .* for topic with ID: .* for stream with ID: .* was not found\.", Status.PARTITION_NOT_FOUND),
    (r"Topic with ID: .* for stream with ID: .* has no partitions\.", Status.NO_PARTITIONS),
    (r"Consumer offset for consumer with ID: .* was not found\.", Status.CONSUMER_OFFSET_NOT_FOUND),
    (r"Segment size is invalid", Status.INVALID_SEGMENT_SIZE),
    (r"Invalid messages count", Status.INVALID_MESSAGES_COUNT),
    (r"Cannot append message", Status.CANNOT_APPEND_MESSAGE),
    (r"Too big headers payload", Status.TOO_BIG_HEADERS),
    (r"Invalid header key", Status.INVALID_HEADER_KEY),
    (r"Invalid header value", Status.INVALID_HEADER_VALUE),
    (r"Too big message payload", Status.TOO_BIG_PAYLOAD),
    (r"Too many messages", Status.TOO_MANY_MESSAGES),
    (r"Empty message payload", Status.EMPTY_PAYLOAD),
    (r"Invalid message payload length", Status.INVALID_PAYLOAD_LENGTH),
    (r"Unsupported option key: .*", Status.UNSUPPORTED_OPTION_KEY),
    (r"Invalid option value for key: .*", Status.INVALID_OPTION_VALUE),
    (r"Options block exceeds its limits: .*", Status.OPTIONS_BLOCK_TOO_LARGE),
    (r"Invalid offset: .*", Status.INVALID_OFFSET),
    (r"Consumer group with ID: .* for topic with ID: .* was not found\.", Status.GROUP_ID_NOT_FOUND),
    (r"Consumer group with name: .* for topic with ID: .* was not found\.", Status.GROUP_NAME_NOT_FOUND),
    (r"Consumer group with name: .* for topic with ID: .* already exists\.", Status.GROUP_NAME_ALREADY_EXISTS),
    (r"Invalid consumer group name", Status.INVALID_GROUP_NAME),
    (r"Invalid consumer group ID", Status.INVALID_GROUP_ID),
    (r"Consumer group member with client ID: .* does not own partition: .*", Status.GROUP_PARTITION_NOT_OWNED),
    (r"Consumer group member with client ID: .* was not found\.", Status.GROUP_MEMBER_NOT_FOUND),
    (r"Incompatible binary protocol version.*", Status.INCOMPATIBLE_PROTOCOL_VERSION),
)

_PATTERNS = tuple((re.compile(pattern), int(status)) for pattern, status in _TEXTS)


def status_of(text: str) -> int | None:
    """The status that a text of the wheel stands for; None for a text that is not in the table."""
    for pattern, status in _PATTERNS:
        if pattern.fullmatch(text):
            return status
    return None
