"""`rustok-iggy replay plan` and `run`: plan it, look at the plan, run it, go on where a run was cut short.

How far it is, and cancelling it: replay_state.py.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, cast
from uuid import UUID

import typer

from rustok_iggy.cli.command import AtDesk, Shared, command
from rustok_iggy.cli.exits import CommandError, ExitCode
from rustok_iggy.cli.named_objects import load_handler
from rustok_iggy.cli.rendering import Shown, age, facts, marked, plural, section, size, table
from rustok_iggy.cli.session import open_session
from rustok_iggy.cli.values import moment, tenant
from rustok_iggy.consumer.failure import Retry
from rustok_iggy.replay.options import ReplayOptions, Undecodable, to_file
from rustok_iggy.replay.plan import ReplayPlan
from rustok_iggy.replay.planning import Bound, ReplaySelection
from rustok_iggy.replay.progress import ReplayProgress
from rustok_iggy.topology import Topic

app = typer.Typer(no_args_is_help=True, help="Hand stored events again to a handler or a file; no group notices.")

MOST_SHOWN = 10
"""Rows of each table; the plan's file has them all."""
REPORT_INTERVAL = 0.5
"""Seconds between two checkpoints, and two movements of the bar."""
_OFFSETS = re.compile(r"\d+:\d+(,\d+:\d+)*")

PlanFile = Annotated[Path, typer.Argument(metavar="PLAN", help="File that `replay plan` wrote.")]


def checkpoint_of(plan_file: Path) -> Path:
    """Return where a run notes how far it got, unless it is told."""
    return plan_file.with_name(plan_file.name + ".checkpoint")


def loaded_plan(file: Path) -> ReplayPlan:
    """Read a plan. Raises CommandError, ReplayError."""
    try:
        return ReplayPlan.load(file)
    except OSError as error:
        raise CommandError(f"{file}: {error.strerror}", code=ExitCode.NOT_FOUND) from None


def bound(text: Any) -> Bound:
    """Read a time, or offsets by partition: `0:120,3:7`; nothing is no bound."""
    if not isinstance(text, str):
        return cast("Bound", text)
    if not text:
        return None
    if not _OFFSETS.fullmatch(text):
        return moment(text)
    return {int(partition): int(offset) for partition, _, offset in (each.partition(":") for each in text.split(","))}


def run_options(
    *,
    rate: Annotated[float | None, typer.Option(help="Events a second at most.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Handlers side by side, each for another tenant.")] = 16,
    attempts: Annotated[int, typer.Option(min=1, help="Tries of a failing handler before it stops.")] = 1,
    skip_undecodable: Annotated[
        bool, typer.Option("--skip-undecodable", help="Count and pass over what cannot be decoded.")
    ] = False,
) -> ReplayOptions:
    """Return the limits of a run."""
    return ReplayOptions(
        rate=rate,
        max_concurrency=concurrency,
        retry=Retry(attempts=attempts),
        undecodable=Undecodable.SKIP if skip_undecodable else Undecodable.STOP,
        interval=REPORT_INTERVAL,
    )


How = Annotated[ReplayOptions, Shared(run_options)]


@command(app, "plan")
async def plan(
    desk: AtDesk,
    *,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the plan to this file.")] = None,
    topic: Annotated[str, typer.Option(help="domain or system.")] = Topic.DOMAIN,
    start: Annotated[
        object,
        typer.Option(
            "--from", parser=bound, metavar="WHERE", show_default=False, help="First: a time, or offsets as 0:120,3:7."
        ),
    ] = "",
    end: Annotated[
        object,
        typer.Option("--to", parser=bound, metavar="WHERE", show_default=False, help="Where to end, itself left out."),
    ] = "",
    tenants: Annotated[
        list[UUID] | None, typer.Option("--tenant", parser=tenant, metavar="UUID", help="Only this tenant.")
    ] = None,
    event_types: Annotated[list[str] | None, typer.Option("--type", help="Only this event type.")] = None,
    predicate: Annotated[
        str | None, typer.Option(metavar="MODULE:FUNCTION", help="Only events for which it says yes.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Say how long it takes at so many events a second.")] = None,
) -> None:
    """Read a range once, and say what a replay of it hands over."""
    selection = ReplaySelection(
        start=cast("Bound", start),
        end=cast("Bound", end),
        tenants=tenants or None,
        event_types=event_types or None,
        predicate=predicate,
    )
    if out is not None and out.exists():
        desk.confirm(f"Replace {out}?")
    async with open_session(desk) as session:
        made = await session.replays.plan(topic=topic, **selection)
    if out is not None:
        _written(made, out)
    desk.show(_plan_data(made, rate), *_plan_lines(made, rate))
    if out is not None:
        desk.note(f"{out} is the plan: rustok-iggy replay run {out} …")


@command(app, "run")
async def run(
    desk: AtDesk,
    *,
    file: PlanFile,
    handler: Annotated[str | None, typer.Option(metavar="MODULE:NAME", help="Hand the events to this handler.")] = None,
    to: Annotated[Path | None, typer.Option("--to-file", help="Write the events to this file, as JSON lines.")] = None,
    how: How,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Notes how far it got; default: beside the plan, as PLAN.checkpoint.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where a run was cut short.")] = False,
) -> None:
    """Run a plan. Ctrl-C stops it, and `replay cancel` from elsewhere; --resume goes on from the checkpoint."""
    if (handler is None) == (to is None):
        raise CommandError("name one target: --handler module:name, or --to-file FILE", code=ExitCode.USAGE)
    loaded = loaded_plan(file)
    target = to_file(to) if to is not None else load_handler(cast("str", handler))
    options = replace(how, checkpoint=checkpoint or checkpoint_of(file), resume=resume)
    if to is None:
        desk.confirm(f"Hand {plural(loaded.events, 'event')} to {handler} again?")
    async with open_session(desk) as session:
        with desk.progress("replaying") as report:
            done = await session.replays.run(
                loaded,
                target,
                options=options,
                on_progress=lambda each: report(each.handled + each.unreadable, each.planned),
            )
    desk.show(_progress_data(done), _finished(done))


def _written(made: ReplayPlan, out: Path) -> None:
    try:
        made.save(out)
    except OSError as error:
        raise CommandError(f"cannot write {out}: {error.strerror}", code=ExitCode.REFUSED) from None


def _plan_lines(made: ReplayPlan, rate: float | None) -> list[Shown]:
    ranges = [(each.partition_id, each.start, each.end, each.messages) for each in made.partitions if each.messages]
    pairs = {
        "stream, topic": f"{made.stream}, {made.topic}",
        "events": f"{made.events:,} of {sum(each.messages for each in made.partitions):,} in the range",
        "size": size(made.event_bytes),
        "unreadable": made.unreadable or None,
    }
    if rate:
        pairs[f"at {rate:g} a second"] = age(made.seconds_at(rate))
    return [
        facts(pairs),
        section("ranges", table((">partition", ">from", ">until", ">messages"), ranges)),
        section("by event type", _most(made.per_type)),
        section("by tenant", _most(made.per_tenant)),
    ]


def _most(counts: dict[Any, int]) -> Shown:
    rows = sorted(((count, name) for name, count in counts.items()), key=lambda row: -row[0])
    left = len(rows) - MOST_SHOWN
    return table((">events", f"and {left} more" if left > 0 else ""), rows[:MOST_SHOWN])


def _plan_data(made: ReplayPlan, rate: float | None) -> dict[str, object]:
    return {
        "stream": made.stream,
        "topic": made.topic,
        "created_at": made.created_at,
        "events": made.events,
        "event_bytes": made.event_bytes,
        "unreadable": made.unreadable,
        "seconds": None if rate is None else made.seconds_at(rate),
        "partitions": made.partitions,
        "counts": made.counts,
    }


def _finished(done: ReplayProgress) -> Shown:
    passed = f", {done.unreadable:,} could not be read" if done.unreadable else ""
    speed = f"{age(done.elapsed)}, {done.events_per_second:,.0f} a second"
    return marked("ok", f"{plural(done.handled, 'event')} of {done.planned:,}{passed} in {speed}")


def _progress_data(done: ReplayProgress) -> dict[str, object]:
    return {
        "replay_id": done.replay_id,
        "planned": done.planned,
        "handled": done.handled,
        "unreadable": done.unreadable,
        "elapsed": done.elapsed,
        "finished": done.finished,
    }
