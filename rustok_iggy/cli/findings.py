"""What `doctor` looks at, each check a function from what was asked to what was found. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from rustok_iggy.cli.rendering import age, plural, size
from rustok_iggy.consumer_groups import ConsumerGroup, Pin, stopped_committing
from rustok_iggy.dead_letters.statistics import DeadLetterStatistics
from rustok_iggy.errors import (
    AuthenticationError,
    DataDirInUseError,
    IncompatibleServerError,
    PermissionDeniedError,
    RustokIggyError,
    ServerNotFoundError,
    ServerProcessError,
)
from rustok_iggy.topology import ActualTopology, Drift
from rustok_iggy_connector import Durability, ServerInfo, TopicInfo

CLOCK_TOLERANCE = timedelta(seconds=1)
"""Clocks that are kept by NTP differ by less; ids and times of events would be in the wrong order with more."""
LAG_AGE_NOTE = 10_000
"""Messages behind, from which a lag is worth a word: the default `max_ahead` of one partition."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the doctor: `state` is ok, note, warning or problem; `advice` says what to do."""

    check: str
    state: str
    text: str
    advice: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastEvent:
    """The newest message of a partition: stamped by the server, and by whoever made the event."""

    topic: str
    partition_id: int
    stored_at: datetime
    made_at: datetime | None


# The first class that fits counts.
_ADVICE: tuple[tuple[type[RustokIggyError], str], ...] = (
    (AuthenticationError, "check remote.username and remote.password, or the token"),
    (PermissionDeniedError, "docs/how-to/production.md lists the rights that each kind of user needs"),
    (IncompatibleServerError, "run a server of the same generation: apache/iggy:0.9.0"),
    (DataDirInUseError, "look for a process that holds the directory and does not answer"),
    (ServerNotFoundError, "set embedded.server_path, or embedded.engine: local for a development server"),
    (ServerProcessError, "look at the server's last lines above, its memlock limit and its disk"),
)

ELSE = "look at the server's log and at its disk: docs/runbooks/server-away.md"


def unreachable(error: RustokIggyError) -> Finding:
    """The server did not answer."""
    advice = next((each for kind, each in _ADVICE if isinstance(error, kind)), ELSE)
    return Finding(check="server", state="problem", text=str(error), advice=advice)


def server(info: ServerInfo) -> Finding:
    """Which server answers."""
    text = f"{info.engine} {info.version} answers at {info.address}"
    if info.engine == "local":
        return Finding(
            check="server",
            state="note",
            text=text,
            advice="the local server is for laptops and CI: in production use iggy-server",
        )
    return Finding(check="server", state="ok", text=text)


def topology(drift: Drift) -> Iterator[Finding]:
    """How the server differs from the configuration."""
    if not drift.differences:
        yield Finding(check="topology", state="ok", text="stream and topics are as configured")
    advice = "rustok-iggy topology apply"
    for text in drift.removable:
        yield Finding(check="topology", state="problem", text=text, advice=advice)
    for text in drift.refused:
        yield Finding(check="topology", state="problem", text=text)
    for text in drift.fixed:
        yield Finding(check="topology", state="note", text=text)


def durability(actual: ActualTopology, *, in_memory: bool) -> Iterator[Finding]:
    """What an acknowledged publish survives."""
    if in_memory:
        yield Finding(check="durability", state="note", text="nothing outlives a server in memory")
        return
    by_kind: dict[Durability | None, list[str]] = {}
    for name, topic in actual.topics.items():
        by_kind.setdefault(topic.durability, []).append(name)
    for kind, names in by_kind.items():
        listed = ", ".join(names)
        if kind is Durability.PERSISTED:
            text = f"{listed}: persisted; what was acknowledged survives kill -9 and power loss"
            yield Finding(check="durability", state="ok", text=text)
        elif kind is Durability.REPLICATED:
            yield Finding(
                check="durability",
                state="warning",
                text=f"{listed}: replicated; on a single server acknowledged events are lost when it is killed",
                advice="it is fixed at creation: move to a new stream with topology.durability: persisted",
            )
        else:
            text = f"{listed}: the server does not say what an acknowledgement means"
            yield Finding(check="durability", state="warning", text=text)


def clocks(last: Iterable[LastEvent], *, now: datetime) -> Iterator[Finding]:
    """Whether the server's clock, ours and the publishers' can all be right, as far as stored events tell."""
    events = tuple(last)
    ahead = max((each.stored_at - now for each in events), default=timedelta())
    made = [each.made_at - each.stored_at for each in events if each.made_at is not None]
    publisher = max(made, default=timedelta())
    if ahead > CLOCK_TOLERANCE:
        yield Finding(
            check="clock",
            state="problem",
            text=f"the server's clock is at least {ahead.total_seconds():.1f} s ahead of this machine's",
            advice="run NTP on both; retention, replay bounds and ages of letters go by the server's clock",
        )
    if publisher > CLOCK_TOLERANCE:
        yield Finding(
            check="clock",
            state="problem",
            text=f"a publisher's clock is at least {publisher.total_seconds():.1f} s ahead of the server's",
            advice="run NTP there; times in its events lie in the future",
        )
    if not events:
        yield Finding(check="clock", state="note", text="no events yet that would tell whether the clocks agree")
    elif ahead <= CLOCK_TOLERANCE and publisher <= CLOCK_TOLERANCE:
        yield Finding(check="clock", state="ok", text="no event was stored or made in the future")


def pinned(topic: TopicInfo, pins: Iterable[Pin]) -> Iterator[Finding]:
    """Who keeps retention from removing segments: a holder that is more than a segment behind."""
    if not topic.messages or topic.segment_bytes is None:
        return
    mean = topic.size_bytes / topic.messages
    for pin in pins:
        held = pin.behind * mean
        if held >= topic.segment_bytes:
            yield Finding(
                check="retention",
                state="warning",
                text=f"{pin.holder} keeps {plural(pin.behind, 'message')} (some {size(held)}) of topic {topic.name},"
                f" partition {pin.partition_id} from being removed",
                advice=f"let it catch up, or rustok-iggy groups forget NAME --topic {topic.name}",
            )


def groups(before: Iterable[ConsumerGroup], after: Iterable[ConsumerGroup], *, apart: float) -> Iterator[Finding]:
    """Groups that nobody reads in, that stand still although somebody owns the partition, or that are far behind."""
    earlier = {(each.topic, each.group): each for each in before}
    after = tuple(after)
    for group in after:
        name = f"group {group.group} of topic {group.topic}"
        first = earlier.get((group.topic, group.group))
        still = () if first is None else _standing(group, stopped_committing(first, group))
        if group.lag and not group.members:
            yield Finding(
                check="groups",
                state="warning",
                text=f"{name} has {plural(group.lag, 'event')} waiting and no members",
                advice=f"start its service, or rustok-iggy groups forget {group.group} --topic {group.topic}",
            )
        elif still:
            yield Finding(
                check="groups",
                state="warning",
                text=f"{name} has members, but committed nothing for {apart:g} s in partitions"
                f" {', '.join(map(str, still))} where events wait",
                advice="slow or waiting handlers look so: ask each of its processes with rustok-iggy health, end one"
                " that does not answer. So do members that died while the server was down: if they are of this library"
                " and of one user, the others log them out within half a minute",
            )
        elif group.lag >= LAG_AGE_NOTE:
            yield Finding(check="groups", state="note", text=f"{name} is {plural(group.lag, 'event')} behind")
        else:
            text = f"{name}: {plural(len(group.members), 'member')}, lag {group.lag:,}"
            yield Finding(check="groups", state="ok", text=text)
    if not after:
        yield Finding(check="groups", state="note", text="no consumer groups yet")


def _standing(group: ConsumerGroup, partitions: Iterable[int]) -> tuple[int, ...]:
    owned: Mapping[int, bool] = {part.partition_id: part.member is not None for part in group.partitions}
    return tuple(each for each in partitions if owned.get(each))


def dead_letters(found: DeadLetterStatistics) -> Iterator[Finding]:
    """Open letters, and letters that the server lost."""
    for where in found.letters_expired:
        yield Finding(
            check="dead letters",
            state="problem",
            text=f"retention removed records of {where} that were still needed: letters are lost",
            advice="raise retention.dlq_max_age_days",
        )
    if not found.letters:
        yield Finding(check="dead letters", state="ok", text="none open")
        return
    oldest = "" if found.oldest_age is None else f", the oldest {age(found.oldest_age)} old"
    yield Finding(
        check="dead letters",
        state="warning",
        text=f"{plural(found.letters, 'open letter')}{oldest}; {plural(found.parked_tenants, 'tenant')} parked",
        advice="rustok-iggy dlq stats",
    )
