"""What a state machine changed, as rows for the storage to write before the command is answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

Row: TypeAlias = Mapping[str, object]
"""A plain JSON-able value: strings, whole numbers, booleans, None, lists and mappings of these."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One row as it stands now: `row` replaces what was stored under (table, key); None removes it.

    Rows of users hold password hashes, so rows stay out of the repr.
    """

    table: str
    key: str
    row: Row | None = field(repr=False)


class ChangeRecorder:
    """Collects the rows touched since the last `take`; of several changes of one row only the last remains.

    Bounded by the number of rows one command can touch: the caller takes the changes after each command.
    """

    def __init__(self) -> None:
        self._rows: dict[tuple[str, str], Row | None] = {}

    def put(self, table: str, key: str, row: Row) -> None:
        """Note that the row now reads so."""
        self._rows[table, key] = row

    def remove(self, table: str, key: str) -> None:
        """Note that the row is gone."""
        self._rows[table, key] = None

    def take(self) -> list[Change]:
        """The changes since the last call, in the order in which each row was first touched."""
        taken = [Change(table=table, key=key, row=row) for (table, key), row in self._rows.items()]
        self._rows = {}
        return taken
