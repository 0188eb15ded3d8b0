"""What a host wants delivered: which events of which topics, as which group, to which handler."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct

from rustok_iggy.catalog import EventCatalog
from rustok_iggy.config import MAX_NAME_BYTES
from rustok_iggy.consumer.context import DeliveryContext
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import ConfigError
from rustok_iggy.topology import Topic, topic_of

Handler = Callable[[EventEnvelope, DeliveryContext], Awaitable[None] | None]
EventTypes = Iterable[type[Struct] | str]


class Start(StrEnum):
    """Where a group begins in a partition that it has no offset for. A datetime is the third way."""

    EARLIEST = "earliest"
    LATEST = "latest"


class OnGap(StrEnum):
    """What to do when events between the committed offset and the next one are gone."""

    STOP = "stop"
    CONTINUE = "continue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """One handler of one group on one topic. `event_types` None: all."""

    group: str
    topic: Topic
    event_types: frozenset[str] | None
    handler: Handler
    start: Start | datetime = Start.EARLIEST
    on_gap: OnGap = OnGap.STOP

    @property
    def name(self) -> str:
        """How logs and errors call the handler."""
        return getattr(self.handler, "__qualname__", type(self.handler).__qualname__)


def is_async(handler: Handler) -> bool:
    """Whether a handler is an `async def`, or an object whose `__call__` is one."""
    call: Any = getattr(handler, "__call__", None)  # noqa: B004 - the method itself is looked at, not whether it is there
    return inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)


def subscriptions_for(
    handler: Handler,
    *,
    catalog: EventCatalog,
    group: str,
    topics: Iterable[str] | None,
    event_types: EventTypes | None,
    start: Start | str | datetime,
    on_gap: OnGap | str,
) -> tuple[Subscription, ...]:
    """Return one subscription per topic. Raises ConfigError with every problem, UnknownEventTypeError."""
    problems = list(_name_problems(group))
    names = None if event_types is None else frozenset(_type_name(each, catalog) for each in event_types)
    if names is not None and not names:
        problems.append("event_types: is empty; leave it out for all")
    chosen = _topics(topics, names, problems)
    if isinstance(start, datetime):
        if start.tzinfo is None:
            problems.append("start: a datetime needs a time zone")
    elif start not in set(Start):
        problems.append(f"start: {start!r} is none of {', '.join(Start)} and no datetime")
    if on_gap not in set(OnGap):
        problems.append(f"on_gap: {on_gap!r} is none of {', '.join(OnGap)}")
    if problems:
        raise ConfigError(f"subscribe(group={group!r}): {problem}" for problem in problems)
    return tuple(
        Subscription(
            group=group,
            topic=topic,
            event_types=names,
            handler=handler,
            start=start if isinstance(start, datetime) else Start(start),
            on_gap=OnGap(on_gap),
        )
        for topic in chosen
    )


def check_together(subscriptions: Iterable[Subscription], added: Iterable[Subscription]) -> None:
    """Raise ConfigError when an event type would have two handlers within a group, or they begin elsewhere."""
    existing = list(subscriptions)
    problems = []
    for new in added:
        for other in existing:
            if (new.group, new.topic) != (other.group, other.topic):
                continue
            both = _overlap(new.event_types, other.event_types)
            if both:
                problems.append(
                    f"group {new.group}, topic {new.topic}: {other.name} and {new.name} both handle {both};"
                    " give one of them another group"
                )
            if (new.start, new.on_gap) != (other.start, other.on_gap):
                problems.append(
                    f"group {new.group}, topic {new.topic}: {other.name} and {new.name} share one offset and must"
                    " agree on start and on_gap"
                )
    if problems:
        raise ConfigError(problems)


def _overlap(one: frozenset[str] | None, other: frozenset[str] | None) -> str:
    if one is None and other is None:
        return "all event types"
    if one is None or other is None:
        return ", ".join(sorted(one or other or ()))
    return ", ".join(sorted(one & other))


def _type_name(event_type: type[Struct] | str, catalog: EventCatalog) -> str:
    spec = catalog.by_type(event_type) if isinstance(event_type, str) else catalog.by_class(event_type)
    return spec.event_type


def _topics(topics: Iterable[str] | None, names: frozenset[str] | None, problems: list[str]) -> list[Topic]:
    if topics is None:
        # Where events of these types are published.
        return sorted({topic_of(name) for name in names}) if names else [Topic.DOMAIN]
    names_given = (topics,) if isinstance(topics, str) else tuple(topics)
    if not names_given:
        problems.append("topics: is empty; leave it out for the topics of the event types")
    chosen = []
    for name in names_given:
        try:
            chosen.append(Topic(name))
        except ValueError:
            problems.append(f"topics: {name!r} is none of {', '.join(Topic)}")
    return chosen


def _name_problems(group: str) -> Iterator[str]:
    if not group or len(group.encode()) > MAX_NAME_BYTES:
        yield f"group: must have 1 to {MAX_NAME_BYTES} bytes"
    elif group.isdecimal():
        yield f"group: {group!r} has only digits, which the server reads as a number; add a letter"
