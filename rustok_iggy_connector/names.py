"""Names of streams, topics, groups and consumers: what may be one, and how errors speak of them."""

from __future__ import annotations

import re

from rustok_iggy_connector.errors import InvalidRequestError

MAX_NAME_BYTES = 255
"""A name's length is one byte on the wire."""

# The client and the server read text that parses as an unsigned number as an id; a leading + parses.
_NUMBER = re.compile(r"\+?[0-9]+")


def check_names(**names: str | None) -> None:
    """Raise InvalidRequestError for the first name that no server takes, or takes for something else.

    Keywords say what each is: `check_names(stream=..., topic=...)`. None is not looked at.
    """
    for what, name in names.items():
        if name is None:
            continue
        if _NUMBER.fullmatch(name):
            raise InvalidRequestError(
                f"{what} {name!r} is a number, which the server reads as an id; put a letter into the name"
            )
        if not 1 <= len(name.encode(errors="surrogatepass")) <= MAX_NAME_BYTES:
            raise InvalidRequestError(f"{what} {name[:40]!r} has not 1 to {MAX_NAME_BYTES} bytes")


def topic_of(stream: str, topic: str) -> str:
    """`topic 'orders' of stream 'shop'`"""
    return f"topic {topic!r} of stream {stream!r}"


def partition_of(stream: str, topic: str, partition_id: int) -> str:
    """`partition 3 of topic 'orders' of stream 'shop'`"""
    return f"partition {partition_id} of {topic_of(stream, topic)}"


def group_of(stream: str, topic: str, group: str) -> str:
    """`group 'billing' on topic 'orders' of stream 'shop'`"""
    return f"group {group!r} on {topic_of(stream, topic)}"
