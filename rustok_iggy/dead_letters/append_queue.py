"""What waits to be appended to one dlq partition, and what goes next. Decides only: appender.py sends.

Rules: one batch at a time, in call order; a part goes whole; of an owner that put its pen down nothing more is taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rustok_iggy_connector import OutgoingMessage

MAX_BATCH_RECORDS = 1000
"""Measured on iggy-server: larger batches gain nothing."""
MAX_BATCH_BYTES = 4 * 1024 * 1024
"""As for publishing; a single larger record goes alone."""


class Pen:
    """An owner's right to write. Once put down, nothing more of that owner is sent."""

    def __init__(self) -> None:
        self.is_down = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """Records of one owner that go in one batch."""

    pen: Pen
    messages: Sequence[OutgoingMessage]
    size: int


class AppendQueue:
    """Parts in call order."""

    def __init__(self) -> None:
        self._waiting: deque[Part] = deque()
        self._alone = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, part: Part) -> None:
        """Put a part behind all others."""
        self._waiting.append(part)

    def take(self) -> list[Part]:
        """Remove and return the parts of the next batch, at least one. The queue must not be empty."""
        taken = [self._waiting.popleft()]
        if self._alone:
            self._alone -= 1
            return taken
        records, size = len(taken[0].messages), taken[0].size
        while self._waiting:
            part = self._waiting[0]
            records += len(part.messages)
            size += part.size
            if records > MAX_BATCH_RECORDS or size > MAX_BATCH_BYTES:
                break
            taken.append(self._waiting.popleft())
        return taken

    def take_apart(self, batch: Sequence[Part]) -> None:
        """Put a batch back to the front, so that each of its parts goes alone: one of them is refused."""
        self._waiting.extendleft(reversed(batch))
        self._alone = len(batch)

    def drop(self, pen: Pen) -> list[Part]:
        """Remove and return what waits of one owner."""
        dropped = [part for part in self._waiting if part.pen is pen]
        self.remove(dropped)
        return dropped

    def remove(self, parts: Sequence[Part]) -> None:
        """Take out parts wherever they stand; those that are not there any more are passed over."""
        gone = {id(part) for part in parts}
        self._waiting = deque(part for part in self._waiting if id(part) not in gone)


def parts_of(messages: Sequence[OutgoingMessage], *, pen: Pen) -> Iterator[Part]:
    """Cut an append into parts that fit into a batch; nearly always it is one."""
    begin = size = 0
    for index, message in enumerate(messages):
        bytes_of_it = message_bytes(message)
        if index > begin and (index - begin == MAX_BATCH_RECORDS or size + bytes_of_it > MAX_BATCH_BYTES):
            yield Part(pen=pen, messages=messages[begin:index], size=size)
            begin, size = index, 0
        size += bytes_of_it
    yield Part(pen=pen, messages=messages[begin:], size=size)


def message_bytes(message: OutgoingMessage) -> int:
    """What a record takes in memory, near enough: its headers are a few dozen bytes."""
    return len(message.payload)
