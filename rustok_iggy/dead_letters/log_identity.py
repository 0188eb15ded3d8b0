"""Whether a log is the one of which something is known. Decides only.

A log that was begun again (a purge, a topic made anew, a crash that lost what was acknowledged) counts its offsets
again, and once it is long enough nothing in its offsets shows that. What does: the server stamps every batch with the
time at which it appended it. So an event that was seen at an offset has that offset and that time, for ever; and when
the journal of dead letters noted an offset as committed, the event there was stored before that record was.

The bound is as good as the server's clock: when that is set back by more than passed between an event and the record
that notes it, the event seems to be of another log. An exact mark does not depend on any clock.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from rustok_iggy.dead_letters.journal import Journal
from rustok_iggy.dead_letters.records import NOTHING_COMMITTED
from rustok_iggy.dead_letters.snapshot import FoldedLetter
from rustok_iggy_connector import PolledMessages, ReceivedMessage


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What is known of the event at `offset`: when the server stored it, or (`at_latest`) that it was no later.

    `time` is in µs since 1970 UTC; `source` says of the offset where it is known from.
    """

    offset: int
    time: int
    source: str
    at_latest: bool = False

    @classmethod
    def of(cls, message: ReceivedMessage) -> Self:
        """Return what is known of an event that was polled."""
        return cls(offset=message.offset, time=message.timestamp, source="was polled")

    @classmethod
    def of_letter(cls, letter: FoldedLetter) -> Self:
        """Return what a letter says of its event."""
        return cls(offset=letter.offset, time=letter.stored_at, source="has a dead letter")

    def fits(self, message: ReceivedMessage) -> bool:
        """Whether a message at this offset may be the event."""
        return message.timestamp <= self.time if self.at_latest else message.timestamp == self.time


def marks_of(journal: Journal, *, noted_at: int) -> Iterator[Mark]:
    """Return what a journal knows of its source. `noted_at` is when the record was stored that set its low mark.

    The last letter of all will do, open or not: an event that has one is not run, so it must be that event.
    """
    if journal.low_mark > NOTHING_COMMITTED:
        yield Mark(
            offset=journal.low_mark, time=noted_at, source="was committed, as the dead letters say", at_latest=True
        )
    letters = journal.snapshot().letters
    if letters:
        yield Mark.of_letter(letters[-1])


def is_another(mark: Mark, found: PolledMessages) -> bool:
    """Whether a poll of one message from the mark's offset on brought another event than the one known.

    One above it tells nothing: retention removed the event.
    """
    return bool(found) and found[0].offset == mark.offset and not mark.fits(found[0])


def ends_before(mark: Mark, found: PolledMessages) -> bool:
    """Whether such a poll brought nothing because the log ends before the mark.

    It tells nothing without `current_offset`, and when that is not below the mark: retention removed everything up to
    the end. An empty partition says 0.
    """
    current = found.current_offset
    return not found and current is not None and (current < mark.offset or current == 0)
