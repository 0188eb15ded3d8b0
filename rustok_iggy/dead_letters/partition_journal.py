"""The journals of all sources that share a dlq partition, folded in one pass. Decides only.

An owner folds one source; an operator looks at all of them. Each source is folded by the same rules and from the same
start (fold_start.py), so that both see the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rustok_iggy.dead_letters.fold_start import FoldStart
from rustok_iggy.dead_letters.journal import Journal, Verdict
from rustok_iggy.dead_letters.records import AnyRecord, Request, Source
from rustok_iggy.dead_letters.snapshot import NOTHING_READ


def dlq_partition_of(source: Source, *, dlq_partitions: int) -> int:
    """Return the dlq partition that holds the records of `source`."""
    return source.partition % dlq_partitions


def sources_kept_in(dlq_partition: int, *, group: str, topics: Mapping[str, int], dlq_partitions: int) -> list[Source]:
    """Return every source of `group` whose records stand in a dlq partition; `topics`: name → partitions."""
    return [
        Source(group=group, topic=topic, partition=partition)
        for topic, partitions in sorted(topics.items())
        for partition in range(dlq_partition, partitions, dlq_partitions)
    ]


def group_of(record: AnyRecord) -> str:
    """Return the group that a record is about."""
    return record.group if isinstance(record, Request) else record.source.group


class PartitionJournal:
    """The journals of one dlq partition: of one group, or of every group (None) as far as they were begun.

    Begin the sources of a group before its first record is applied: a request may stand before the first record of a
    source it concerns. A source of a topic that nobody knew of begins with its first record.
    """

    def __init__(self, *, group: str | None = None) -> None:
        self.group = group
        self.folded_up_to = NOTHING_READ
        self.letters_expired: set[Source] = set()
        self._journals: dict[Source, Journal] = {}
        self._starts: dict[Source, int] = {}
        self._groups: set[str] = set()

    def is_new(self, record: AnyRecord) -> bool:
        """Whether the sources of the record's group have to begin before it is applied."""
        group = group_of(record)
        return group not in self._groups and self.group in (None, group)

    def begin(self, group: str, starts: Mapping[Source, FoldStart]) -> None:
        """Begin the sources of a group where each is to be folded from."""
        self._groups.add(group)
        for source, start in starts.items():
            self._journals[source] = start.journal
            self._starts[source] = start.position
            if start.letters_expired:
                self.letters_expired.add(source)

    @property
    def first_needed(self) -> int:
        """The offset of the first record that any of the sources begun still needs."""
        return max(self.folded_up_to + 1, min(self._starts.values(), default=0))

    def apply(self, record: AnyRecord | None, *, position: int) -> Verdict:
        """Take in the record at `position` (None: a message that is no record). Positions rise."""
        assert position > self.folded_up_to, "a partition is folded in order of position, each record once"
        self.folded_up_to = position
        if record is None or (self.group is not None and group_of(record) != self.group):
            return Verdict.FOREIGN
        if not isinstance(record, Request):
            return self._apply_to(record.source, record, position)
        concerned = [source for source in self._journals if record.concerns(source)]
        verdicts = {self._apply_to(source, record, position) for source in concerned}
        return Verdict.APPLIED if Verdict.APPLIED in verdicts else Verdict.IGNORED

    def read_up_to(self, position: int) -> None:
        """Note that nothing up to `position` is left out, though none of the last records was needed."""
        self.folded_up_to = max(self.folded_up_to, position)

    def _apply_to(self, source: Source, record: AnyRecord, position: int) -> Verdict:
        if position < self._starts.get(source, 0):
            return Verdict.IGNORED  # what stands before the start is in the journal already, or of no matter
        return self._journals.setdefault(source, Journal(source)).apply(record, position=position)

    def journals(self) -> Iterator[Journal]:
        """The journals of sources that were ever owned, in order of group, topic and partition.

        A source that nobody has claimed has no letters, and nobody who would end a request there.
        """
        for source in sorted(self._journals, key=lambda source: (source.group, source.topic, source.partition)):
            journal = self._journals[source]
            if journal.claim is not None or any(True for _ in journal.open_letters()):
                yield journal

    def journal(self, source: Source) -> Journal | None:
        """The journal of one source, None when it is unknown here."""
        return self._journals.get(source)
