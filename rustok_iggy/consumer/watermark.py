"""The watermark of one partition: everything up to it is settled. Decides only."""

from __future__ import annotations

from collections import deque


class Watermark:
    """Which deliveries of a partition are open, and up to where everything is settled.

    `settled` and `stored` are offsets, None before the first. Deliveries end in any order. Invariants: `settled` never
    goes back and never passes an open delivery; what is stored is never above it.
    """

    def __init__(self, stored: int | None) -> None:
        self.stored = stored
        self.settled = stored
        self.sent = stored
        """What was sent to be stored last: the server may have it even if no reply came."""
        self._begun: deque[int] = deque()
        self._sizes: deque[int] = deque()
        self._ended: set[int] = set()
        # Of everything, what is settled, what was when an offset was last sent, and what the server knows to be.
        self._messages = self._sent_messages = self._stored_messages = 0
        self._bytes = self._settled_bytes = self._sent_bytes = self._stored_bytes = 0

    @property
    def to_store(self) -> int | None:
        """The offset to commit, None when the server has it already."""
        return None if self.settled == self.stored else self.settled

    @property
    def unstored(self) -> int:
        """How many offsets would come again after a crash, without those above the watermark."""
        if self.settled is None:
            return 0
        return self.settled - (-1 if self.stored is None else self.stored)

    @property
    def oldest_open(self) -> int | None:
        """The first delivery that has not ended."""
        return self._begun[0] if self._begun else None

    @property
    def ahead(self) -> int:
        """How many messages were begun above the watermark, ended or not: after a crash they may come again."""
        return len(self._begun)

    @property
    def ahead_bytes(self) -> int:
        """The same in bytes."""
        return self._bytes - self._settled_bytes

    @property
    def unstored_messages(self) -> int:
        """How many messages that is: offsets have gaps."""
        return self._messages - len(self._begun) - self._stored_messages

    @property
    def unstored_bytes(self) -> int:
        """The same in bytes."""
        return self._settled_bytes - self._stored_bytes

    @property
    def come_again(self) -> int:
        """How many messages would come again after a crash now: those ahead, and those settled and not stored."""
        return self._messages - self._stored_messages

    @property
    def come_again_bytes(self) -> int:
        """The same in bytes."""
        return self._bytes - self._stored_bytes

    def skip(self, offset: int) -> None:
        """Begin behind an offset that is above what is stored: everything up to it was settled before."""
        assert not self._begun, "skipped what was begun"
        assert self.settled is None or offset > self.settled, "skipped back"
        self.settled = offset

    def begin(self, offset: int, size: int = 0) -> None:
        """Begin a delivery of `size` bytes. Offsets come in ascending order."""
        assert not self._begun or offset > self._begun[-1], "a delivery below one that was begun before"
        assert self.settled is None or offset > self.settled, "a delivery below the watermark"
        self._begun.append(offset)
        self._sizes.append(size)
        self._messages += 1
        self._bytes += size

    def settle(self, offset: int) -> None:
        """End a delivery that was begun: its event was handled, filtered, or came before."""
        begun, ended = self._begun, self._ended
        if begun[0] != offset:
            ended.add(offset)
            return
        self.settled = begun.popleft()
        self._settled_bytes += self._sizes.popleft()
        while ended and begun[0] in ended:
            self.settled = begun.popleft()
            self._settled_bytes += self._sizes.popleft()
            ended.remove(self.settled)

    def send(self) -> int:
        """Return the offset to store now; from now on the server may have it. Deliveries may end meanwhile."""
        assert self.settled is not None, "sent before anything was settled"
        self.sent = self.settled
        self._sent_messages = self._messages - len(self._begun)
        self._sent_bytes = self._settled_bytes
        return self.sent

    def store(self) -> None:
        """Note that the server has what was sent last."""
        assert self.sent is not None, "stored before anything was sent"
        assert self.settled is not None, "stored before anything was settled"
        assert self.stored is None or self.sent >= self.stored, "an offset went back"
        assert self.sent <= self.settled, "stored above the watermark"
        self.stored = self.sent
        self._stored_messages, self._stored_bytes = self._sent_messages, self._sent_bytes
