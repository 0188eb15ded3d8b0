"""`rustok-iggy trace`: what became of one event, from the log, the groups' offsets and the dead-letter journal."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer

from rustok_iggy.cli.command import AtDesk, command
from rustok_iggy.cli.desk import Report
from rustok_iggy.cli.exits import CommandError, ExitCode
from rustok_iggy.cli.journal_history import JournalEntry, journal_of
from rustok_iggy.cli.rendering import Shown, facts, marked, precise, section, size, table
from rustok_iggy.cli.session import EVENT_TOPICS, Session, open_session
from rustok_iggy.cli.stored_events import PartitionTail, StoredEvent, open_log, stored_event
from rustok_iggy.cli.values import MOMENT, moment, tenant
from rustok_iggy.consumer_groups import ConsumerGroup
from rustok_iggy.dead_letters.records import Outcome
from rustok_iggy.envelope import ENTROPY_BITS
from rustok_iggy.moments import microseconds
from rustok_iggy.partitioning import partition_for
from rustok_iggy_connector import TopicInfo

MARGIN = timedelta(minutes=10)
"""How far the clock that made an id may be ahead of the server's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupView:
    """What one group did with the event."""

    group: str
    state: str
    committed: int | None


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "trace")(trace)


async def trace(
    desk: AtDesk,
    *,
    event: Annotated[UUID, typer.Argument(metavar="EVENT_ID", help="Id of the event.")],
    of_tenant: Annotated[
        UUID | None,
        typer.Option("--tenant", parser=tenant, metavar="UUID", help="Whose it is: only one partition is searched."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(parser=moment, metavar=MOMENT, help="Search from then; default: the time in the id."),
    ] = None,
) -> ExitCode:
    """Show what became of an event: published, handled by whom, attempts, dead letter, redrives."""
    begin = since or _made_at(event)
    async with open_session(desk) as session:
        with desk.progress("searching") as report:
            copies = await _search(session, event, of_tenant, begin, report)
            if not copies and since is None and begin is not None:  # then the id's first bits are no time
                copies = await _search(session, event, of_tenant, None, report)
        if not copies:
            raise CommandError(_not_found(session, event, since), code=ExitCode.NOT_FOUND)
        first = copies[0]
        history = await journal_of(session, first)
        groups = [_view(each, first, history) for each in await session.groups.list(topic=first.topic)]
    data = {
        "event": first.data(),
        "copies": [each.data() for each in copies[1:]],
        "groups": [{"group": each.group, "state": each.state, "committed": each.committed} for each in groups],
        "journal": [each.data() for each in history],
    }
    desk.show(data, *_lines(first, copies[1:], groups, history))
    return ExitCode.DONE


async def _search(
    session: Session, event: UUID, of_tenant: UUID | None, begin: datetime | None, report: Report
) -> list[StoredEvent]:
    described = [found for name in EVENT_TOPICS if (found := await session.topic(name)) is not None]
    return [copy for topic in described for copy in await _copies(session, topic, event, of_tenant, begin, report)]


async def _copies(
    session: Session, topic: TopicInfo, event: UUID, of_tenant: UUID | None, begin: datetime | None, report: Report
) -> list[StoredEvent]:
    """Find every copy of an event in a topic, in the order of storing; a publisher may have stored it twice."""
    found = []
    chosen = range(topic.partitions) if of_tenant is None else [partition_for(of_tenant, topic.partitions)]
    async with open_log(session, topic.name) as log:
        for done, partition_id in enumerate(chosen):
            report(done, len(chosen))
            last = topic.current_offsets.get(partition_id, -1)
            first: int | None = 0
            if begin is not None:
                first = await log.subscriber.first_offset_since(partition_id, timestamp=microseconds(begin))
            if first is None or last < 0:
                continue
            tail = PartitionTail(log, partition_id, offset=first)
            while tail.offset <= last and (messages := await tail.poll()):
                found += [
                    stored_event(session, each, topic=topic.name, partition_id=partition_id)
                    for each in messages
                    if each.id == event.int
                ]
    return found


def _made_at(event: UUID) -> datetime | None:
    """Return a time before the event was stored, read from its id; None when the id holds no time that can be."""
    milliseconds = event.int >> ENTROPY_BITS
    earliest, now = datetime(2020, 1, 1, tzinfo=UTC), datetime.now(UTC)
    if not earliest.timestamp() * 1000 < milliseconds < (now + MARGIN).timestamp() * 1000:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, UTC) - MARGIN


def _not_found(session: Session, event: UUID, begin: datetime | None) -> str:
    searched = "" if begin is None else f" since {begin:%Y-%m-%d %H:%M} UTC"
    return f"event {event} is not in stream {session.stream}{searched}: never published, or removed by retention"


def _view(group: ConsumerGroup, event: StoredEvent, history: list[JournalEntry]) -> GroupView:
    part = group.partitions[event.partition_id]
    mine = [each for each in history if each.group == group.group]
    outcomes = [each.outcome for each in mine if each.outcome is not None]
    if Outcome.HANDLED in outcomes:
        state = "handled after a redrive"
    elif Outcome.DISCARDED in outcomes:
        state = "discarded"
    elif mine:
        state = "open dead letter"
    elif part.committed is not None and part.committed >= event.offset:
        state = "done"
    else:
        reached = -1 if part.committed is None else part.committed
        state = f"not done: {event.offset - reached - 1:,} before it"
    return GroupView(group=group.group, state=state, committed=part.committed)


def _lines(
    event: StoredEvent, copies: list[StoredEvent], groups: list[GroupView], history: list[JournalEntry]
) -> list[Shown]:
    lines: list[Shown] = [
        section(
            f"event {event.event_id}",
            facts(
                {
                    "type": f"{event.event_type} version {event.schema_version}" if event.event_type else None,
                    "tenant": event.tenant_id,
                    "correlation": event.correlation_id,
                    "stored": f"{precise(event.stored_at)} UTC",
                    "in": f"topic {event.topic}, partition {event.partition_id}, offset {event.offset}",
                    "size": size(event.payload_bytes),
                }
            ),
        )
    ]
    if copies:
        places = ", ".join(str(each.offset) for each in copies)
        lines.append(marked("note", f"stored again at offset {places}: consumers pass over copies"))
    rows = [(each.group, each.state, each.committed) for each in groups]
    lines.append(
        section("groups", table(("group", "", ">committed"), rows) if rows else marked("note", "no group yet"))
    )
    if history:
        steps = [(precise(each.at) if each.at else None, each.group, each.what, each.detail) for each in history]
        lines.append(section("dead-letter journal", table(("at", "group", "", ""), steps)))
    return lines
