"""What somebody should look at in one partition, in words. Decides only."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rustok_iggy.consumer.intake import Intake
from rustok_iggy.consumer.lane_runner import LaneRunner
from rustok_iggy.consumer.parking import Parking
from rustok_iggy.consumer.source_journal import SourceJournal
from rustok_iggy.consumer.watermark import Watermark
from rustok_iggy.dead_letters.journal import Journal
from rustok_iggy.dead_letters.records import NO_TYPES
from rustok_iggy.moments import MICROSECONDS_PER_SECOND

FOREIGN_TYPES_SHOWN = 600.0
"""Seconds after a take-over for which the owner before is named, if it handled other event types: longer than a
deployment that adds one takes, in which that is no mistake."""


def together(name: str, by_partition: Mapping[int, Iterable[str]]) -> Iterator[str]:
    """Say each thing once, with the partitions it is true of: a server that is away is one thing, not eight."""
    where: dict[str, list[int]] = {}
    for partition_id, reasons in sorted(by_partition.items()):
        for reason in reasons:
            where.setdefault(reason, []).append(partition_id)
    for reason, partitions in where.items():
        yield f"{name}/{','.join(map(str, partitions))}: {reason}"


def paused(watermark: Watermark, intake: Intake, runner: LaneRunner) -> Iterator[str]:
    """Say what holds the partition, when nothing more may be done above what is stored."""
    if intake.is_full and watermark.ahead <= watermark.unstored_messages:
        yield f"paused, the offset of {watermark.unstored_messages} events that are done is not stored yet"
    elif intake.is_full:
        held = runner.holding(watermark.oldest_open)
        whose = "" if held is None else f": tenant {held.opened.tenant_id}, event {held.event_id}"
        yield f"paused, {watermark.ahead} events wait for offset {watermark.oldest_open}{whose}"


def stuck(runner: LaneRunner, *, now: float) -> Iterator[str]:
    """Say which deliveries do not end."""
    for each in runner.stuck(now):
        yield (
            f"event {each.event_id} of tenant {each.opened.tenant_id} has not ended for {now - each.started_at:.0f} s"
        )


def parked(journal: Journal, *, now: int) -> Iterator[str]:
    """Say how many tenants are held back, since when, and what was asked for. `now` in µs since 1970 UTC."""
    tenants = journal.parked_tenants
    if tenants:
        firsts = [journal.letter(offset) for offset in map(journal.parked_from, tenants) if offset is not None]
        oldest = min((letter.first_failed_at for letter in firsts if letter is not None), default=now)
        seconds = max(0, now - oldest) // MICROSECONDS_PER_SECOND
        held = "1 tenant is" if len(tenants) == 1 else f"{len(tenants)} tenants are"
        yield f"{held} parked, the first for {seconds} s: redrive or discard its letters"
    if journal.requests:
        yield f"{len(journal.requests)} requests on dead letters are open"


def limited(parking: Parking, *, parked: int) -> Iterator[str]:
    """Say which tenants can have no more letters, and what to do. `parked`: tenants of the group, in this process."""
    for tenant in sorted(parking.full):
        yield (
            f"tenant {tenant} has {parking.max_letters} dead letters, and its events wait in the topic, which pauses"
            " the partition: redrive or discard them"
        )
    if parking.no_room:
        yield (
            f"{parked} tenants are parked, and {len(parking.no_room)} more wait with what they failed at:"
            " redrive or discard letters"
        )


def out_of_reach(journal: SourceJournal, *, waiting: int) -> Iterator[str]:
    """Say that the dead-letter topic does not answer."""
    if journal.trouble is not None:
        what = f"{waiting} events wait to be kept" if waiting else "nothing can be kept or taken over"
        yield f"the dead-letter topic cannot be used ({type(journal.trouble).__name__}): {what}"


def foreign_types(journal: SourceJournal, *, handled_types: str, member: str, age: float) -> Iterator[str]:
    """Say that another service may share the group's name: each would skip the other's events."""
    before = journal.predecessor
    if before is not None and before.handled_types not in (handled_types, NO_TYPES) and age < FOREIGN_TYPES_SHOWN:
        yield (
            f"{before.epoch.member} had the partition before {member} and handles other event types: services that"
            " share a group's name skip each other's events"
        )


def lost_or_left(journal: SourceJournal, parking: Parking) -> Iterator[str]:
    """Say what of dead letters is gone, or cannot become one."""
    if journal.letters_expired:
        yield "letters expired: the server deleted records of the dead-letter topic that were still needed"
    for each in parking.refused:
        yield (
            f"the event at offset {each.delivery.offset} with {len(each.delivery.message.payload)} bytes is too big for"
            f" a dead letter and stays in the topic: {each.reason}"
        )
