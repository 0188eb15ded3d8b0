"""How much to poll, how long to wait, when to commit. Decides only; times in seconds of any one clock."""

from __future__ import annotations

from collections.abc import Sequence

from rustok_iggy_connector import ReceivedMessage

FIRST_COUNT = 16
"""Messages of the first poll: at the largest event size, 16 MiB."""
TARGET_POLL_BYTES = 4 * 1024 * 1024
"""The server bounds a poll by count only; 1000 messages came as 184 MB."""
MAX_POLL_MESSAGES = 1000
SIZE_MEMORY = 0.9
"""Share of the past in the mean size: ten polls after a change of sizes it has followed by two thirds."""
GUESS_MEMORY = 0.5
"""The same while the mean is still mostly what the first poll was for: each poll is twice as big as the one before."""
FIRST_IDLE_DELAY = 0.001
EAGER_POLLS, POLLS_A_PAUSE = 6, 3
"""Empty polls in a row of which every third only is followed by a pause. No loop of asyncio pauses for less than a
millisecond, five times what a poll takes: at some hundred events a second this waits 0.2 ms less for the next one."""
FLOWING_POLLS = 32
"""Empty polls in a row that still count as a pause within a flow: above 30 events a second none waits longer than the
first delay. Then it is quiet, and each pause doubles."""


class PollPace:
    """Adapts the count of a poll to the sizes seen, and the pause after an empty one to how long it has been quiet."""

    def __init__(self, *, max_messages: int, max_idle_delay: float) -> None:
        self._max_messages = min(max_messages, MAX_POLL_MESSAGES)
        self._max_idle_delay = max_idle_delay
        self._mean_bytes = TARGET_POLL_BYTES / FIRST_COUNT
        self._is_guess = True
        self._idle_delay = 0.0
        self._empty_polls = FLOWING_POLLS

    @property
    def count(self) -> int:
        """How many messages to ask for next."""
        return max(1, min(self._max_messages, int(TARGET_POLL_BYTES / self._mean_bytes)))

    def polled(self, messages: Sequence[ReceivedMessage], *, is_all: bool = False) -> float:
        """Note a poll's result; how long to wait before the next one. `is_all`: there was no more when it was asked."""
        if not messages:
            self._empty_polls += 1
            if self._empty_polls <= EAGER_POLLS and self._empty_polls % POLLS_A_PAUSE:
                return 0.0
            growth = 1 if self._empty_polls <= FLOWING_POLLS else 2
            self._idle_delay = min(max(self._idle_delay * growth, FIRST_IDLE_DELAY), self._max_idle_delay)
            return self._idle_delay
        self._idle_delay, self._empty_polls = 0.0, 0
        mean = max(1.0, sum([len(message.payload) for message in messages]) / len(messages))
        memory = GUESS_MEMORY if self._is_guess else SIZE_MEMORY
        # Growing sizes count at once, so that a poll is not far too big; shrinking ones by and by.
        self._mean_bytes = max(mean, self._mean_bytes * memory + mean * (1 - memory))
        self._is_guess &= self._mean_bytes > 2 * mean
        return min(FIRST_IDLE_DELAY, self._max_idle_delay) if is_all else 0.0


class CommitPace:
    """Says when the offset is to be stored: every so many events, every so often."""

    def __init__(self, *, every: int, interval: float, now: float) -> None:
        self._every = every
        self._interval = interval
        self._last = now

    def is_due(self, unstored: int, now: float) -> bool:
        """Whether `unstored` settled events are enough, or have waited long enough."""
        return unstored >= self._every or (unstored > 0 and now - self._last >= self._interval)

    def committed(self, now: float) -> None:
        """Note that the offset was stored."""
        self._last = now
