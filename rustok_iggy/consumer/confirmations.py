"""Letters that may be committed past: those read back before the server said that the partition is still ours.

A letter counts only when nobody else owned the partition before it was written, which a question asked afterwards
tells: its answer must show the generation of our last claim (F4, dead-letters.md). Decides only.
"""

from __future__ import annotations


class Confirmations:
    """Source offsets of letters that were read back, until their partition is known to have been ours."""

    def __init__(self) -> None:
        self._read_back: list[int] = []
        self._asked: list[int] = []

    def __len__(self) -> int:
        return len(self._read_back) + len(self._asked)

    def is_unasked(self, offset: int) -> bool:
        """Whether a letter was read back since the last question."""
        return offset in self._read_back

    def read_back(self, *offsets: int) -> None:
        """Note letters that stand in the journal."""
        self._read_back += offsets

    def asking(self) -> None:
        """The question who owns what is about to be asked."""
        self._asked += self._read_back
        self._read_back = []

    def answered(self, *, generation: int, claimed: int) -> list[int]:
        """Return the offsets that are settled by an answer of `generation`, `claimed` being that of our last claim."""
        if generation != claimed:
            return []
        settled, self._asked = self._asked, []
        return settled
