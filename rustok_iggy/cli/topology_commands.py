"""`rustok-iggy topology`: what the configuration wants, and what the server has."""

from __future__ import annotations

import typer

from rustok_iggy.cli.command import AtDesk, command
from rustok_iggy.cli.exits import ExitCode
from rustok_iggy.cli.rendering import Shown, marked, remarks, section, size, table
from rustok_iggy.cli.session import Session, open_session
from rustok_iggy.topology import ActualTopology, Drift

app = typer.Typer(no_args_is_help=True, help="Stream and topics: compare with the configuration, and apply it.")


@command(app, "plan")
async def plan(desk: AtDesk) -> None:
    """Show what `apply` would do. Changes nothing."""
    async with open_session(desk) as session:
        drift, actual = await session.topology.drift(), await session.topology.describe()
        shown = [_topics(session, actual)] if actual.topics else []
        desk.show(_drift_data(session, drift), *_drift_lines(session, drift), *shown)


@command(app, "apply")
async def apply(desk: AtDesk) -> ExitCode:
    """Create what is missing and set retention. Never deletes, never changes a partition count."""
    async with open_session(desk) as session:
        drift = await session.topology.drift()
        if drift.refused:
            desk.show(_drift_data(session, drift), *_drift_lines(session, drift))
            return ExitCode.REFUSED
        if drift.removable:
            if not desk.as_json:
                desk.show(None, *_drift_lines(session, drift))
            desk.confirm(f"Apply this to stream {session.stream}?")
        actual = await session.topology.apply()
        done = f"stream {session.stream} is as configured" + ("" if drift.removable else "; there was nothing to do")
        data = {**_drift_data(session, drift), "applied": list(drift.removable), "topics": _topic_data(actual)}
        desk.show(data, marked("ok", done), _topics(session, actual))
        return ExitCode.DONE


@command(app, "drift")
async def drift(desk: AtDesk) -> ExitCode:
    """Compare, for CI: exit code 0 when nothing differs, 1 when `apply` removes it, 3 when somebody has to decide."""
    async with open_session(desk) as session:
        found = await session.topology.drift()
        desk.show(_drift_data(session, found), *_drift_lines(session, found))
        return ExitCode(found.exit_code)


def _drift_data(session: Session, drift: Drift) -> dict[str, object]:
    return {
        "stream": session.stream,
        "removable": drift.removable,
        "refused": drift.refused,
        "fixed": drift.fixed,
    }


def _drift_lines(session: Session, drift: Drift) -> list[Shown]:
    if not drift.differences:
        return [marked("ok", f"stream {session.stream} is as configured")]
    removable = [("warning", text, "rustok-iggy topology apply removes this") for text in drift.removable]
    others = [("problem", text, None) for text in drift.refused] + [("note", text, None) for text in drift.fixed]
    return remarks([*removable, *others])


def _topics(session: Session, actual: ActualTopology) -> Shown:
    rows = [
        (
            name,
            topic.partitions,
            topic.durability or "not stated",
            topic.messages,
            size(topic.size_bytes),
            f"{topic.max_age / 86_400:g} days" if topic.max_age else "for ever",
            size(topic.max_bytes) if topic.max_bytes else "without limit",
        )
        for name, topic in actual.topics.items()
    ]
    columns = ("topic", ">partitions", "durability", ">messages", ">size", "kept", ">at most")
    return section(f"stream {session.stream}", table(columns, rows))


def _topic_data(actual: ActualTopology) -> list[dict[str, object]]:
    return [
        {
            "topic": name,
            "partitions": topic.partitions,
            "durability": topic.durability,
            "messages": topic.messages,
            "size_bytes": topic.size_bytes,
            "max_age": topic.max_age,
            "max_bytes": topic.max_bytes,
        }
        for name, topic in actual.topics.items()
    ]
