"""`rustok-iggy tail`: events as they are stored."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Annotated
from uuid import UUID

import msgspec
import typer
from rich.text import Text

from rustok_iggy.cli.command import AtDesk, command
from rustok_iggy.cli.rendering import NOTHING, lines_of, precise, printable
from rustok_iggy.cli.session import Session, open_session
from rustok_iggy.cli.stored_events import PartitionTail, StoredEvent, open_log, stored_event
from rustok_iggy.cli.values import offset_or_moment, tenant
from rustok_iggy.moments import microseconds
from rustok_iggy.partitioning import partition_for
from rustok_iggy.replay.log_reader import LogReader
from rustok_iggy.topology import Topic
from rustok_iggy_connector import TopicInfo


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which events are shown; None: all."""

    types: tuple[str, ...] | None
    tenants: frozenset[UUID] | None

    def takes(self, event: StoredEvent) -> bool:
        """Whether it is one of them. What cannot be read is shown unless something else was asked for."""
        if self.tenants is not None and event.tenant_id not in self.tenants:
            return False
        kind = event.event_type or ""
        return self.types is None or any(fnmatchcase(kind, pattern) for pattern in self.types)

    def partitions(self, topic: TopicInfo) -> list[int]:
        """Partitions that can hold such events: a tenant's are all in one."""
        if self.tenants is None:
            return list(range(topic.partitions))
        return sorted({partition_for(each, topic.partitions) for each in self.tenants})


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "tail")(tail)


async def tail(
    desk: AtDesk,
    *,
    topic: Annotated[str, typer.Option(help="domain or system.")] = Topic.DOMAIN,
    event_types: Annotated[
        list[str] | None, typer.Option("--type", metavar="TYPE", help="Only this event type; order.* is fine.")
    ] = None,
    tenants: Annotated[
        list[UUID] | None, typer.Option("--tenant", parser=tenant, metavar="UUID", help="Only this tenant.")
    ] = None,
    begin: Annotated[
        object,
        typer.Option("--from", parser=offset_or_moment, metavar="WHERE", help="earliest, latest, or a time: 2h (ago)."),
    ] = "latest",
    follow: Annotated[bool, typer.Option(help="Go on until Ctrl-C, or end at what is there now.")] = True,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="End after so many events.")] = None,
    content: Annotated[bool, typer.Option("--content", help="Show each event's content as well.")] = False,
) -> None:
    """Show events as they are stored, one a line. Touches no group and no offset."""
    wanted = Wanted(types=tuple(event_types) if event_types else None, tenants=frozenset(tenants) if tenants else None)
    async with open_session(desk) as session:
        described = await session.required_topic(topic)
        async with open_log(session, topic) as log:
            tails = [
                PartitionTail(log, each, offset=await _first(log, described, each, begin))
                for each in wanted.partitions(described)
            ]
            shown = 0
            async with aclosing(_events(session, topic, tails, described if not follow else None, content)) as events:
                async for event in events:
                    if not wanted.takes(event):
                        continue
                    data = event.data()
                    if content:
                        data["envelope"] = msgspec.Raw(event.envelope or b"null")
                    desk.stream(data, _line(event))
                    shown += 1
                    if shown == limit:
                        return


async def _events(
    session: Session, topic: str, tails: list[PartitionTail], until: TopicInfo | None, content: bool
) -> AsyncGenerator[StoredEvent, None]:
    """Yield events round by round, each round in the order of storing; `until`: up to where the topic was then."""
    ends = None if until is None else {each: until.current_offsets.get(each, -1) for each in range(until.partitions)}
    while True:
        found = []
        for each in tails:
            if ends is not None and each.offset > ends[each.partition_id]:
                continue
            found += [(message, each.partition_id) for message in await each.poll()]
        found.sort(key=lambda pair: pair[0].timestamp)
        for message, partition_id in found:
            if ends is None or message.offset <= ends[partition_id]:
                yield stored_event(session, message, topic=topic, partition_id=partition_id, with_content=content)
        if ends is not None and not found:
            return
        if not found:
            await asyncio.sleep(min(each.delay for each in tails))


async def _first(log: LogReader, topic: TopicInfo, partition_id: int, begin: object) -> int:
    last = topic.current_offsets.get(partition_id, -1)
    match begin:
        case "earliest":
            return 0
        case "latest":
            return last + 1
        case datetime():
            found = await log.subscriber.first_offset_since(partition_id, timestamp=microseconds(begin))
            return last + 1 if found is None else found
        case int():
            return begin
        case _:
            raise AssertionError("the parser returns nothing else")


def _line(event: StoredEvent) -> Text:
    line = Text(no_wrap=True)
    line.append(precise(event.stored_at), style="dim")
    line.append(f"  {event.partition_id}/{event.offset}".ljust(14), style="dim")
    line.append(printable(event.event_type or "(unreadable)"), style="bold" if event.event_type else "bold red")
    line.append(f"  {event.tenant_id or NOTHING}  ")
    line.append(str(event.event_id), style="dim")
    if event.envelope is not None:
        content = msgspec.json.decode(event.envelope)["event"]
        line.append(f"  {lines_of(msgspec.json.encode(content).decode())}")
    return line
