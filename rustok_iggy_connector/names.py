"""Names of streams, topics, groups and consumers: what may be one, and how errors speak of them."""

from __future__ import annotations

import re

from rustok_iggy_connector.errors import InvalidRequestError
from rustok_iggy_connector.wire.primitives import MAX_NAME_BYTES

ALLOWED = f"a name has 1 to {MAX_NAME_BYTES} bytes, only characters that can be printed, and is no number"

_MAX_SHOWN = 40
"""Characters of a wrong name in an error: enough to know it by."""
# The client and the server read text that parses as an unsigned number as an id; a leading + parses.
_NUMBER = re.compile(r"\+?[0-9]+")


def name_problem(name: object) -> str | None:
    """Return why this is no name for a stream, topic, group or consumer, and what is one; None when it is one.

    One the server takes for a name, and people can read in a log.
    """
    if not isinstance(name, str):
        found = f"must be text, not {type(name).__name__}"
    elif not name.isprintable():
        found = f"{name[:_MAX_SHOWN]!r} has a character that cannot be printed, such as a line break"
    elif not 1 <= (size := len(name.encode())) <= MAX_NAME_BYTES:
        found = f"{name[:_MAX_SHOWN]!r} has {size} bytes"
    elif _NUMBER.fullmatch(name):
        found = f"{name[:_MAX_SHOWN]!r} is a number, which the server reads as an id; add a letter"
    else:
        return None
    return f"{found} ({ALLOWED})"


def check_names(**names: str | None) -> None:
    """Raise InvalidRequestError for the first name that is none.

    Keywords say what each is: `check_names(stream=..., topic=...)`. None is not looked at.
    """
    for what, name in names.items():
        if name is not None and (problem := name_problem(name)) is not None:
            raise InvalidRequestError(f"{what} {problem}")


def topic_of(stream: str, topic: str) -> str:
    """`topic 'orders' of stream 'shop'`"""
    return f"topic {topic!r} of stream {stream!r}"


def partition_of(stream: str, topic: str, partition_id: int) -> str:
    """`partition 3 of topic 'orders' of stream 'shop'`"""
    return f"partition {partition_id} of {topic_of(stream, topic)}"


def group_of(stream: str, topic: str, group: str) -> str:
    """`group 'billing' on topic 'orders' of stream 'shop'`"""
    return f"group {group!r} on {topic_of(stream, topic)}"
