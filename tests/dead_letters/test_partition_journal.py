"""All sources of a dlq partition in one pass: the same as folding each of them alone."""

from __future__ import annotations

import random

import pytest

from rustok_iggy.dead_letters.fold_start import FoldStart
from rustok_iggy.dead_letters.journal import Journal
from rustok_iggy.dead_letters.partition_journal import PartitionJournal, dlq_partition_of, sources_kept_in
from rustok_iggy.dead_letters.records import AnyRecord, Outcome, Source
from tests.dead_letters.journal_records import (
    ELSEWHERE,
    SOURCE,
    claim,
    epoch,
    letter,
    request,
    request_end,
    request_id,
    settlement,
)

SOURCES = (SOURCE, ELSEWHERE, Source(group="mail", topic="domain", partition=3))
TOPICS = {"domain": 16, "system": 4}


def from_the_start(group: str) -> dict[Source, FoldStart]:
    kept = sources_kept_in(3, group=group, topics=TOPICS, dlq_partitions=8)
    return {source: FoldStart(journal=Journal(source), position=0, letters_expired=False) for source in kept}


def read(records: list[AnyRecord | None], *, group: str | None = None) -> PartitionJournal:
    partition = PartitionJournal(group=group)
    if group is not None:
        partition.begin(group, from_the_start(group))
    for position, record in enumerate(records):
        if record is not None and partition.is_new(record):
            partition.begin(
                record.group if hasattr(record, "group") else record.source.group, from_the_start("billing")
            )
        partition.apply(record, position=position)
    return partition


def test_the_sources_of_a_dlq_partition_are_those_that_map_to_it() -> None:
    kept = sources_kept_in(1, group="billing", topics={"domain": 8, "system": 1, "other": 2}, dlq_partitions=4)
    assert [(source.topic, source.partition) for source in kept] == [("domain", 1), ("domain", 5), ("other", 1)]
    assert {dlq_partition_of(source, dlq_partitions=4) for source in kept} == {1}


def test_every_source_is_kept_in_exactly_one_dlq_partition() -> None:
    topics = {"domain": 13, "system": 3}
    kept = [sources_kept_in(each, group="g", topics=topics, dlq_partitions=5) for each in range(5)]
    assert len({source for part in kept for source in part}) == sum(len(part) for part in kept) == 16


def random_log(seed: int) -> list[AnyRecord | None]:
    chance = random.Random(seed)
    log: list[AnyRecord | None] = []
    for _ in range(60):
        source = chance.choice(SOURCES)
        under = epoch(chance.randrange(1, 4))
        kind = chance.randrange(6)
        offset = chance.randrange(8)
        made: AnyRecord | None = None
        if kind == 0:
            made = claim(under, committed=chance.randrange(-1, 4), source=source)
        elif kind in (1, 2):
            made = letter(under, offset, of=offset % 3, source=source)
        elif kind == 3:
            made = request(chance.randrange(3), group=source.group)
        elif kind == 4 and source == SOURCE:
            made = settlement(under, offset, chance.choice(list(Outcome)))
        elif kind == 5 and source == SOURCE:
            made = request_end(under, chance.randrange(3))
        log.append(made)
    return log


@pytest.mark.parametrize("seed", range(50))
def test_one_pass_says_the_same_as_a_fold_of_each_source(seed: int) -> None:
    log = random_log(seed)
    together = read(log, group="billing")
    for source in (SOURCE, ELSEWHERE):
        alone = Journal(source)
        for position, record in enumerate(log):
            if record is None:
                alone.skip(position)
            else:
                alone.apply(record, position=position)
        found = together.journal(source)
        assert found is not None
        assert list(found.open_letters()) == list(alone.open_letters()), seed
        assert (found.requests, found.parked_tenants, found.claim) == (
            alone.requests,
            alone.parked_tenants,
            alone.claim,
        ), seed
    assert together.folded_up_to == len(log) - 1


def test_a_request_before_the_first_record_of_its_source_is_known_to_it() -> None:
    partition = read([request(1), claim(epoch(1))])
    (journal,) = partition.journals()
    assert [open_.request.id for open_ in journal.requests] == [request_id(1)]


def test_a_source_that_nobody_claimed_is_not_shown() -> None:
    assert list(read([request(1)]).journals()) == []


def test_a_source_of_a_topic_that_is_gone_is_found_by_its_records() -> None:
    gone = Source(group="billing", topic="gone", partition=3)
    partition = read([claim(epoch(1), source=gone), letter(epoch(1), 5, source=gone)], group="billing")
    assert [journal.source for journal in partition.journals()] == [gone]


def test_records_before_the_start_of_a_source_are_in_its_journal_already() -> None:
    before = Journal(SOURCE)
    before.apply(claim(epoch(1)), position=0)
    before.apply(letter(epoch(1), 1), position=1)
    partition = PartitionJournal(group="billing")
    partition.begin("billing", {SOURCE: FoldStart(journal=before, position=2, letters_expired=True)})
    assert partition.first_needed == 2
    assert partition.letters_expired == {SOURCE}
    for position, record in enumerate([claim(epoch(1)), letter(epoch(1), 1), letter(epoch(1), 2)]):
        partition.apply(record, position=position)
    (journal,) = partition.journals()
    assert [found.offset for found in journal.open_letters()] == [1, 2]
    assert partition.first_needed == 3
