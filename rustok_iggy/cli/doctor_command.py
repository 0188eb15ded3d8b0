"""`rustok-iggy doctor`: asks everything that can be asked without changing anything, and says what to do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from itertools import groupby
from typing import Annotated

import typer
from rich.text import Text

from rustok_iggy.cli import findings
from rustok_iggy.cli.command import AtDesk, command
from rustok_iggy.cli.desk import Desk
from rustok_iggy.cli.exits import ExitCode
from rustok_iggy.cli.findings import Finding, LastEvent
from rustok_iggy.cli.group_commands import groups_of
from rustok_iggy.cli.rendering import Shown, heading, plural, remarks
from rustok_iggy.cli.session import EVENT_TOPICS, Session, open_session
from rustok_iggy.cli.stored_events import open_log
from rustok_iggy.errors import ConnectorError, PermissionDeniedError, RustokIggyError, SerializationError
from rustok_iggy.moments import moment_of
from rustok_iggy.topology import Topic
from rustok_iggy_connector import ConnectorMode, TopicInfo


def register(app: typer.Typer) -> None:
    """Add the command."""
    command(app, "doctor")(doctor)


async def doctor(
    desk: AtDesk,
    *,
    watch: Annotated[
        float, typer.Option(min=0, help="Seconds between two looks at the groups: who stands still? 0: do not look.")
    ] = 3.0,
) -> ExitCode:
    """Look at server, durability, topology, clocks, retention, groups and dead letters; say what to do.

    Changes nothing. Exit code 1 when there is a problem; warnings alone give 0.
    """
    found: list[Finding] = []
    try:
        async with open_session(desk) as session:
            found = await _examine(desk, session, watch)
    except ConnectorError as error:
        found.append(findings.unreachable(error))
    problems = sum(each.state == "problem" for each in found)
    warnings = sum(each.state == "warning" for each in found)
    data = {
        "healthy": not problems,
        "problems": problems,
        "warnings": warnings,
        "findings": [
            {"check": each.check, "state": each.state, "text": each.text, "advice": each.advice} for each in found
        ],
    }
    desk.show(data, *_lines(found), Text(), _verdict(problems, warnings))
    return ExitCode.FOUND if problems else ExitCode.DONE


async def _examine(desk: Desk, session: Session, watch: float) -> list[Finding]:
    found = [findings.server(session.connector.server)]
    with desk.progress("looking"):
        actual = await session.topology.describe()
        found += findings.topology(await session.topology.drift())
        in_memory = session.config.connector.mode is ConnectorMode.MEMORY
        found += findings.durability(actual, in_memory=in_memory)
        topics = [topic for name, topic in actual.topics.items() if name in EVENT_TOPICS]
        last = [each for topic in topics async for each in _last_events(session, topic)]
        found += findings.clocks(last, now=datetime.now(UTC))
        for topic in topics:
            found += findings.pinned(topic, await session.groups.pins(topic=topic.name))
        found += await _groups(session, watch)
        if Topic.DLQ in actual.topics:
            found += await _dead_letters(session)
    return found


async def _groups(session: Session, watch: float) -> list[Finding]:
    before = await groups_of(session) if watch else []
    if any(each.lag and each.members for each in before):
        await asyncio.sleep(watch)
    elif watch:
        return list(findings.groups((), before, apart=watch))
    return list(findings.groups(before, await groups_of(session), apart=watch))


async def _dead_letters(session: Session) -> list[Finding]:
    try:
        return list(findings.dead_letters(await session.dead_letters.stats()))
    except PermissionDeniedError as error:
        return [Finding(check="dead letters", state="note", text=f"this user may not read them: {error}")]
    except RustokIggyError as error:
        return [Finding(check="dead letters", state="problem", text=str(error))]


async def _last_events(session: Session, topic: TopicInfo) -> AsyncIterator[LastEvent]:
    """Yield the newest message of each partition."""
    async with open_log(session, topic.name) as log:
        for partition_id, offset in topic.current_offsets.items():
            for message in await log.poll(partition_id, offset=offset, max_messages=1):
                try:
                    made_at = session.reader.open(message).decode().timestamp
                except SerializationError:
                    made_at = None  # of another catalogue: the server's stamp tells half of it
                yield LastEvent(
                    topic=topic.name,
                    partition_id=partition_id,
                    stored_at=moment_of(message.timestamp),
                    made_at=made_at,
                )


def _lines(found: list[Finding]) -> list[Shown]:
    lines: list[Shown] = []
    for check, of_check in groupby(found, key=lambda each: each.check):
        lines.append(heading(check))
        lines += remarks((each.state, each.text, each.advice) for each in of_check)
    return lines


def _verdict(problems: int, warnings: int) -> Text:
    if problems:
        return Text(f"{plural(problems, 'problem')}, {plural(warnings, 'warning')}", style="bold red")
    if warnings:
        return Text(f"no problems, {plural(warnings, 'warning')}", style="bold yellow")
    return Text("all is well", style="bold green")
