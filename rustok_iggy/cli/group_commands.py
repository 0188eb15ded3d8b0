"""`rustok-iggy groups`: who reads, how far, and where a stopped group goes on."""

from __future__ import annotations

from typing import Annotated, cast

import typer

from rustok_iggy.cli.command import AtDesk, command
from rustok_iggy.cli.exits import CommandError, ExitCode
from rustok_iggy.cli.rendering import Shown, marked, plural, section, table
from rustok_iggy.cli.session import EVENT_TOPICS, Session, open_session
from rustok_iggy.cli.values import reset_to
from rustok_iggy.consumer_groups import ConsumerGroup, OffsetReset, ResetTo
from rustok_iggy.topology import Topic

app = typer.Typer(no_args_is_help=True, help="Consumer groups: who reads, how far; move or forget a stopped one.")

GroupName = Annotated[str, typer.Argument(metavar="GROUP", help="Name of the group.")]
MaybeGroup = Annotated[str | None, typer.Argument(metavar="GROUP", help="Name of one group.", show_default=False)]
OneTopic = Annotated[str, typer.Option("--topic", help="Topic it reads.")]
AnyTopic = Annotated[str | None, typer.Option("--topic", help="One topic; default: domain and system.")]
Target = Annotated[
    object,  # Typer takes no unions; the parser returns a ResetTo
    typer.Option(
        "--to",
        parser=reset_to,
        metavar="WHERE",
        help="earliest, latest, the next offset to read, or a time: 2026-11-21T12:00:00Z, 2h (ago).",
    ),
]

NO_GROUPS = marked("note", "no groups yet")


@command(app, "list")
async def list_groups(desk: AtDesk, *, topic: AnyTopic = None) -> None:
    """Show every group: members and lag."""
    async with open_session(desk) as session:
        groups = await groups_of(session, topic)
        rows = [(each.group, each.topic, len(each.members), each.lag, _state(each)) for each in groups]
        shown = table(("group", "topic", ">members", ">lag", ""), rows) if rows else NO_GROUPS
        desk.show([_group_data(each) for each in groups], shown)


@command(app, "lag")
async def lag(desk: AtDesk, *, group: MaybeGroup = None, topic: AnyTopic = None) -> None:
    """Show one group, or each, partition by partition."""
    async with open_session(desk) as session:
        found = [each for each in await groups_of(session, topic) if group in {None, each.group}]
        if group is not None and not found:
            raise CommandError(
                f"stream {session.stream} has no group {group}; rustok-iggy groups list shows those there are",
                code=ExitCode.NOT_FOUND,
            )
        shown = map(_partitions, found) if found else (NO_GROUPS,)
        desk.show([_group_data(each) for each in found], *shown)


@command(app, "reset")
async def reset(
    desk: AtDesk,
    *,
    group: GroupName,
    to: Target,
    topic: OneTopic = Topic.DOMAIN,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change.")] = False,
) -> None:
    """Let a group that nobody reads in go on elsewhere: events come again, or are skipped."""
    async with open_session(desk) as session:
        plan = await session.groups.plan_reset(topic=topic, group=group, to=cast("ResetTo", to))
        if dry_run or not plan.changes:
            desk.show(_reset_data(plan, done=False), *_reset_lines(plan))
            return
        if not desk.as_json:
            desk.show(None, *_reset_lines(plan))
        desk.confirm(f"Move group {group} on topic {topic}?")
        await session.groups.reset(plan)
        desk.show(_reset_data(plan, done=True), marked("ok", f"group {group} goes on there"))


@command(app, "forget")
async def forget(desk: AtDesk, *, group: GroupName, topic: OneTopic = Topic.DOMAIN) -> None:
    """Delete a group that nobody reads in, and its offsets: it no longer holds back retention."""
    async with open_session(desk) as session:
        found = await session.groups.describe(topic=topic, group=group)
        desk.confirm(
            f"Delete group {group} of topic {topic} ({plural(len(found.members), 'member')}, lag {found.lag:,})?"
            " A service of that name starts anew where its `start` says."
        )
        was = await session.groups.forget(topic=topic, group=group)
        desk.show(_group_data(was), marked("ok", f"group {group} of topic {topic} is gone"))


async def groups_of(session: Session, topic: str | None = None) -> list[ConsumerGroup]:
    """Return the groups of one topic, or of all that hold events and are there. Raises NotFoundError."""
    if topic is not None:
        await session.required_topic(topic)
        return list(await session.groups.list(topic=topic))
    found: list[ConsumerGroup] = []
    for name in EVENT_TOPICS:
        if await session.topic(name) is not None:
            found += await session.groups.list(topic=name)
    return found


def _state(group: ConsumerGroup) -> str:
    if group.members:
        return ""
    return "nobody reads, and events wait" if group.lag else "nobody reads"


def _partitions(group: ConsumerGroup) -> Shown:
    rows = [(part.partition_id, part.committed, part.current, part.lag, part.member) for part in group.partitions]
    title = f"{group.group} on {group.topic}: lag {group.lag:,}, {plural(len(group.members), 'member')}"
    return section(title, table((">partition", ">committed", ">last", ">lag", ">member"), rows))


def _reset_lines(plan: OffsetReset) -> list[Shown]:
    if not plan.changes:
        return [marked("ok", f"group {plan.group} stands there already")]
    rows = [(change.partition_id, change.before, change.after) for change in plan.changes]
    lines: list[Shown] = [
        section(f"{plan.group} on {plan.topic}", table((">partition", ">committed now", ">committed then"), rows)),
    ]
    anew = [change.partition_id for change in plan.changes if change.remembered is not None]
    if anew:
        lines.append(
            marked(
                "warning",
                f"partitions {', '.join(map(str, anew))} were done further than that, as the dead letters remember",
                "their logs were reset: the group takes what they have now for new",
            )
        )
    if plan.again:
        lines.append(marked("warning", f"{plural(plan.again, 'event')} will be handled again"))
    if plan.skipped:
        lines.append(marked("warning", f"{plural(plan.skipped, 'event')} will be skipped and never handled"))
    if plan.members:
        lines.append(marked("problem", f"the group has {plural(plan.members, 'member')}", "stop them first"))
    return lines


def _group_data(group: ConsumerGroup) -> dict[str, object]:
    return {
        "group": group.group,
        "topic": group.topic,
        "id": group.id,
        "members": group.members,
        "lag": group.lag,
        "partitions": [
            {
                "partition": part.partition_id,
                "committed": part.committed,
                "last": part.current,
                "lag": part.lag,
                "member": part.member,
            }
            for part in group.partitions
        ],
    }


def _reset_data(plan: OffsetReset, *, done: bool) -> dict[str, object]:
    return {
        "group": plan.group,
        "topic": plan.topic,
        "done": done,
        "again": plan.again,
        "skipped": plan.skipped,
        "changes": [
            {
                "partition": each.partition_id,
                "before": each.before,
                "after": each.after,
                "remembered": each.remembered,
            }
            for each in plan.changes
        ],
    }
