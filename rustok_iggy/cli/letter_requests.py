"""`rustok-iggy dlq redrive` and `discard`: show what is meant, ask, begin with a canary, follow it to its end."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from typing import Annotated, Unpack

import typer

from rustok_iggy.cli.command import AtDesk, Shared, command
from rustok_iggy.cli.desk import Desk
from rustok_iggy.cli.exits import CommandError, ExitCode
from rustok_iggy.cli.letter_commands import Selected, app
from rustok_iggy.cli.rendering import Shown, marked, plural, section, table
from rustok_iggy.cli.session import open_session
from rustok_iggy.dead_letters.queue import DlqManager
from rustok_iggy.dead_letters.request_options import RedriveOptions
from rustok_iggy.dead_letters.request_progress import RequestProgress, RequestState
from rustok_iggy.dead_letters.requests import LetterRequest
from rustok_iggy.dead_letters.selection import LetterSelection

WAIT = 60.0
"""Seconds to follow a request: a person waits so long, and the request goes on without one."""
MOST_LANES = 20
"""Tenants shown before the question; --json has them all."""


def user() -> str:
    """Return the name of whoever runs this; a container may know none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


OfGroup = Annotated[str, typer.Option("--group", help="Group whose letters are meant.")]
By = Annotated[str, typer.Option("--by", default_factory=user, help="Who asks; kept with the request.")]
Wait = Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for the end; 0: do not.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be done.")]


@dataclass(frozen=True, kw_only=True)
class Canary:
    """What runs first: so many letters, or those of one partition; nothing when neither is set."""

    letters: int | None
    one_partition: bool

    def of(self, planned: LetterRequest) -> RedriveOptions | None:
        """Return what narrows the request to its canary; None: there is none, or it would be all of it."""
        if self.one_partition:
            partitions = {lane.partition_id for lane in planned.lanes}
            return RedriveOptions(partitions=(min(partitions),)) if len(partitions) > 1 else None
        return None if self.letters is None or self.letters >= planned.letters else RedriveOptions(limit=self.letters)


def canary_options(
    *,
    canary: Annotated[int | None, typer.Option(min=1, help="First run so many letters, the oldest.")] = None,
    canary_partition: Annotated[
        bool, typer.Option("--canary-partition", help="First run the letters of one partition.")
    ] = False,
) -> Canary:
    """Return what runs first. Raises CommandError."""
    if canary is not None and canary_partition:
        raise CommandError("begin with --canary or with --canary-partition, not with both", code=ExitCode.USAGE)
    return Canary(letters=canary, one_partition=canary_partition)


def redrive_options(
    *,
    partitions: Annotated[
        list[int] | None, typer.Option("--partition", min=0, help="Only letters of this source partition.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Letters a second, for each owner.")] = None,
    abort_ratio: Annotated[
        float | None, typer.Option(min=0, max=1, help="Give up when more than this share fails again.")
    ] = None,
    break_order: Annotated[
        bool, typer.Option("--break-order", help="Exactly these, also before earlier letters of their tenants.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Also letters that have used up their redrives.")] = False,
) -> RedriveOptions:
    """Return what else the request says."""
    options = RedriveOptions(break_order=break_order, force=force)
    if partitions:
        options["partitions"] = tuple(partitions)
    if rate is not None:
        options["rate"] = rate
    if abort_ratio is not None:
        options["abort_ratio"] = abort_ratio
    return options


First = Annotated[Canary, Shared(canary_options)]
Options = Annotated[RedriveOptions, Shared(redrive_options)]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What redrive() is called with, again for the canary and for the rest."""

    manager: DlqManager
    selection: LetterSelection
    group: str
    by: str
    reason: str

    async def redrive(self, *, dry_run: bool = False, **options: Unpack[RedriveOptions]) -> LetterRequest:
        """Ask the owners."""
        return await self.manager.redrive(
            self.selection, group=self.group, by=self.by, reason=self.reason, dry_run=dry_run, **options
        )


async def redrive(
    desk: AtDesk,
    *,
    selected: Selected,
    group: OfGroup,
    by: By,
    reason: Annotated[str, typer.Option(help="Why; kept with the request.")] = "",
    first: First,
    options: Options,
    wait: Wait = WAIT,
    dry_run: DryRun = False,
) -> ExitCode:
    """Run letters through their group's handlers again, in order.

    With a canary, the rest is asked for only when every letter of the canary was handled.
    """
    async with open_session(desk) as session:
        order = Order(manager=session.dead_letters, selection=_required(selected), group=group, by=by, reason=reason)
        planned = await order.redrive(dry_run=True, **options)
        if dry_run or not planned.letters:
            desk.show(_request_data(planned), *_plan(planned))
            return ExitCode.DONE
        if not desk.as_json:
            desk.show(None, *_plan(planned))
        desk.confirm(f"Run {plural(planned.letters, 'letter')} of group {group} again?")
        narrower = first.of(planned)
        ended: list[RequestProgress] = []
        if narrower is not None:
            request = await order.redrive(**_narrowed(options, narrower))
            ended.append(await _follow(desk, order.manager, request, what="canary", wait=wait or WAIT))
            if ended[0].state is not RequestState.DONE or ended[0].failed or ended[0].aborted:
                return _report(desk, ended, "the canary did not end well: nothing more was asked for")
        request = await order.redrive(**options)
        if wait:
            ended.append(await _follow(desk, order.manager, request, what="redrive", wait=wait))
            return _report(desk, ended, None)
        desk.show(_request_data(request), marked("ok", f"request {request.id} is written"))
        return ExitCode.DONE


async def discard(
    desk: AtDesk,
    *,
    selected: Selected,
    group: OfGroup,
    reason: Annotated[str, typer.Option(help="Why; kept with the request.")],
    by: By,
    wait: Wait = WAIT,
    dry_run: DryRun = False,
) -> ExitCode:
    """Give letters up for good, exactly those selected. Export them first: nothing brings them back."""
    async with open_session(desk) as session:
        manager, meant = session.dead_letters, _required(selected)
        planned = await manager.discard(meant, group=group, by=by, reason=reason, dry_run=True)
        if dry_run or not planned.letters:
            desk.show(_request_data(planned), *_plan(planned))
            return ExitCode.DONE
        if not desk.as_json:
            desk.show(None, *_plan(planned))
        desk.confirm(f"Give up {plural(planned.letters, 'letter')} of group {group} for good?")
        request = await manager.discard(meant, group=group, by=by, reason=reason, seen=planned.seen)
        if wait:
            return _report(desk, [await _follow(desk, manager, request, what="discard", wait=wait)], None)
        desk.show(_request_data(request), marked("ok", f"request {request.id} is written"))
        return ExitCode.DONE


def register() -> None:
    """Add the commands to those that look."""
    command(app, "redrive")(redrive)
    command(app, "discard")(discard)


def _required(selected: LetterSelection | None) -> LetterSelection:
    if selected is None:
        raise CommandError(
            "say which letters: --fingerprint, --tenant, --type, --event … or --all", code=ExitCode.USAGE
        )
    return selected


def _narrowed(options: RedriveOptions, canary: RedriveOptions) -> RedriveOptions:
    both = options.copy()
    both.update(canary)
    return both


async def _follow(
    desk: Desk, manager: DlqManager, request: LetterRequest, *, what: str, wait: float
) -> RequestProgress:
    with desk.progress(what) as report:
        return await manager.wait(
            request,
            timeout=wait,
            progress=lambda each: report(each.handled + each.failed + each.discarded, request.letters),
        )


def _report(desk: Desk, ended: list[RequestProgress], stopped: str | None) -> ExitCode:
    last = ended[-1]
    is_bad = bool(last.failed or last.aborted)
    lines = [marked(_state(each), f"request {each.request_id}: {each.advice}", _advice(each)) for each in ended]
    desk.show([_progress_data(each) for each in ended], *lines, *([marked("problem", stopped)] if stopped else []))
    if is_bad:
        return ExitCode.FOUND
    return ExitCode.DONE if last.state is RequestState.DONE else ExitCode.UNFINISHED


def _state(progress: RequestProgress) -> str:
    if progress.failed or progress.aborted:
        return "problem"
    return "ok" if progress.state is RequestState.DONE else "warning"


def _advice(progress: RequestProgress) -> str | None:
    if progress.failed:
        return "rustok-iggy dlq stats says why"
    if progress.state is RequestState.WAITING_FOR_MEMBER:
        return "start a service of that group: the request is waiting for it"
    return None if progress.state is RequestState.DONE else "it goes on by itself: rustok-iggy dlq stats"


def _plan(planned: LetterRequest) -> list[Shown]:
    if not planned.letters:
        lines: list[Shown] = [marked("note", "no open letter is meant")]
    else:
        rows = [(len(each.letters), each.tenant_id, each.topic, each.partition_id) for each in planned.lanes]
        left = len(rows) - MOST_LANES
        title = f"{plural(planned.letters, 'letter')} of {plural(len(planned.lanes), 'tenant')}"
        title += f" (the first {MOST_LANES})" if left > 0 else ""
        lines = [section(title, table((">letters", "tenant", "topic", ">partition"), rows[:MOST_LANES]))]
    if planned.needs_force:
        count = plural(len(planned.needs_force), "letter")
        lines.append(marked("warning", f"{count} used up their redrives and are left out", "--force runs them too"))
    return lines


def _request_data(request: LetterRequest) -> dict[str, object]:
    return {
        "request": None if request.dry_run else request.id,
        "action": request.action,
        "group": request.group,
        "dry_run": request.dry_run,
        "letters": request.letters,
        "needs_force": len(request.needs_force),
        "lanes": [
            {
                "tenant_id": each.tenant_id,
                "topic": each.topic,
                "partition": each.partition_id,
                "letters": len(each.letters),
            }
            for each in request.lanes
        ],
    }


def _progress_data(progress: RequestProgress) -> dict[str, object]:
    return {
        "request": progress.request_id,
        "state": progress.state,
        "handled": progress.handled,
        "failed": progress.failed,
        "discarded": progress.discarded,
        "left": progress.left,
        "aborted": progress.aborted,
        "waiting_for": progress.waiting_for,
    }
