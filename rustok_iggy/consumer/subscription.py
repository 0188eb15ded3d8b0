"""What a host wants delivered: which events of which topics, as which group, to which handler."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, TypedDict

from msgspec import Struct

from rustok_iggy.catalog import EventCatalog
from rustok_iggy.consumer.context import DeliveryContext
from rustok_iggy.consumer.failure import FailurePolicy, ParkTenant, Retry
from rustok_iggy.envelope import EventEnvelope
from rustok_iggy.errors import ConfigError
from rustok_iggy.topology import Topic, topic_of
from rustok_iggy_connector import name_problem

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


class OnUndecodable(StrEnum):
    """What to do with bytes that are no event, and of which not even the tenant is known."""

    DEAD_LETTER = "dead_letter"
    STOP = "stop"


class OnUnknown(StrEnum):
    """What to do with an event of a type or version that no catalogue in use knows."""

    SKIP = "skip"
    DEAD_LETTER = "dead_letter"
    DELIVER_RAW = "deliver_raw"
    """Its handler is given an envelope whose event is a RawEvent."""


SHARED = ("start", "on_gap", "ordering", "max_concurrency", "deduplicate", "undecodable", "unknown")


class Ordering(StrEnum):
    """What is handled strictly one after another."""

    TENANT = "tenant"
    PARTITION = "partition"


class Ack(StrEnum):
    """When an event is done: when its handler returns, or when context.ack() is called."""

    AUTO = "auto"
    MANUAL = "manual"


class Replaying(StrEnum):
    """Whether a handler may be given history again."""

    ALLOWED = "allowed"
    FORBIDDEN = "forbidden"


class SubscribeOptions(TypedDict, total=False):
    """What else subscribe() takes."""

    start: Start | str | datetime
    """Where to begin in a partition that the group has no offset for; default earliest."""
    on_gap: OnGap | str
    """What to do when events were removed before the group got to them; default stop."""
    on_failure: FailurePolicy
    """What to do when a handler fails for good; default ParkTenant()."""
    ordering: Ordering | str
    """tenant (default) or partition."""
    ack: Ack | str
    """auto (default) or manual."""
    max_concurrency: int
    """Handlers of the group side by side in this process; default consumer.max_concurrency."""
    handler_timeout: float
    """Seconds until an `async def` handler is cancelled, which is a failure; 0: never; default
    consumer.handler_timeout."""
    deduplicate: bool
    """Pass over messages whose id came before; default True."""
    undecodable: OnUndecodable | str
    """What to do with bytes that are no event and name no tenant: dead_letter (default; nobody is held back) or stop.
    With a tenant they are a failure of that tenant."""
    unknown: OnUnknown | str
    """What to do with event types and versions that the catalogue does not know: dead_letter (default), skip, or
    deliver_raw: the handler is given a RawEvent."""
    replay: Replaying | str
    """allowed (default), or forbidden: run_replay() refuses this handler."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Subscription:
    """One handler of one group on one topic. `event_types` None: all. None elsewhere: as configured."""

    group: str
    topic: Topic
    event_types: frozenset[str] | None
    handler: Handler
    start: Start | datetime = Start.EARLIEST
    on_gap: OnGap = OnGap.STOP
    on_failure: FailurePolicy = field(default_factory=ParkTenant)
    ordering: Ordering = Ordering.TENANT
    ack: Ack = Ack.AUTO
    max_concurrency: int | None = None
    handler_timeout: float | None = None
    deduplicate: bool = True
    undecodable: OnUndecodable = OnUndecodable.DEAD_LETTER
    unknown: OnUnknown = OnUnknown.DEAD_LETTER
    replay: Replaying = Replaying.ALLOWED

    @property
    def shared(self) -> tuple[object, ...]:
        """What handlers of one group on one topic must agree on, since they share partitions and offsets."""
        return tuple(getattr(self, name) for name in SHARED)

    @property
    def name(self) -> str:
        """How logs and errors call the handler."""
        return getattr(self.handler, "__qualname__", type(self.handler).__qualname__)


CHOICES: dict[str, type[StrEnum]] = {
    "start": Start,
    "on_gap": OnGap,
    "ordering": Ordering,
    "ack": Ack,
    "undecodable": OnUndecodable,
    "unknown": OnUnknown,
    "replay": Replaying,
}
_OTHER = {"start": " and no datetime"}


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
    options: SubscribeOptions,
) -> tuple[Subscription, ...]:
    """Return one subscription per topic. Raises ConfigError with every problem, UnknownEventTypeError."""
    problems = [f"group: {problem}"] if (problem := name_problem(group)) else []
    problems += _handler_problems(handler)
    names = _type_names(event_types, catalog, problems)
    chosen = _topics(topics, names, problems)
    given = _checked(options, problems)
    if problems:
        raise ConfigError(f"subscribe(group={group!r}): {problem}" for problem in problems)
    return tuple(
        Subscription(group=group, topic=topic, event_types=names, handler=handler, **given) for topic in chosen
    )


def _checked(options: SubscribeOptions, problems: list[str]) -> dict[str, Any]:
    given: dict[str, Any] = dict(options)
    unknown = sorted(given.keys() - SubscribeOptions.__annotations__.keys())
    if unknown:
        raise TypeError(f"subscribe() takes no {', '.join(unknown)}")
    start = given.get("start")
    if isinstance(start, datetime) and start.tzinfo is None:
        problems.append("start: a datetime needs a time zone")
    for name, choices in CHOICES.items():
        value = given.get(name)
        if value is None or isinstance(value, datetime):
            continue
        if isinstance(value, str) and value in set(choices):
            given[name] = choices(value)
        else:
            problems.append(f"{name}: {value!r} is none of {', '.join(choices)}{_OTHER.get(name, '')}")
    problems += _value_problems(given)
    return given


def _value_problems(given: Mapping[str, Any]) -> Iterator[str]:
    policy = given.get("on_failure", ParkTenant())
    if not isinstance(policy, FailurePolicy):
        yield "on_failure: must be ParkTenant(...), DeadLetter(...), Block(...) or Stop(...)"
    elif type(policy.retry) is not Retry:
        yield f"on_failure: its retry must be Retry(...), not {policy.retry!r}"
    concurrency, timeout = given.get("max_concurrency", 1), given.get("handler_timeout", 0)
    if type(concurrency) is not int or concurrency < 1:
        yield f"max_concurrency: must be a whole number of at least 1, not {concurrency!r}"
    if type(timeout) not in (int, float) or not timeout >= 0:
        yield f"handler_timeout: must be seconds, 0 for no limit, not {timeout!r}"
    if not isinstance(given.get("deduplicate", True), bool):
        yield f"deduplicate: must be True or False, not {given['deduplicate']!r}"


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
            if new.shared != other.shared:
                problems.append(
                    f"group {new.group}, topic {new.topic}: {other.name} and {new.name} share one offset and must"
                    f" agree on {', '.join(SHARED[:-1])} and {SHARED[-1]}"
                )
    if problems:
        raise ConfigError(problems)


def _overlap(one: frozenset[str] | None, other: frozenset[str] | None) -> str:
    if one is None and other is None:
        return "all event types"
    if one is None or other is None:
        return ", ".join(sorted(one or other or ()))
    return ", ".join(sorted(one & other))


def _type_names(event_types: EventTypes | None, catalog: EventCatalog, problems: list[str]) -> frozenset[str] | None:
    if event_types is None:
        return None
    if isinstance(event_types, str | type):
        problems.append(f"event_types: {event_types!r} is one; put it into a list")
        return None
    names = frozenset(_type_name(each, catalog) for each in event_types)
    if not names:
        problems.append("event_types: is empty; leave it out for all")
    return names


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


def _handler_problems(handler: object) -> Iterator[str]:
    """What would fail at every event, and park every tenant; or run nothing, and look handled."""
    if not callable(handler):
        yield f"the handler is {type(handler).__name__}, which cannot be called"
        return
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        yield "the handler has a yield: calling it runs nothing of it"
    try:
        inspect.signature(handler).bind(None, None)
    except TypeError:
        yield "the handler must take two arguments, envelope and context"
    except ValueError:
        return  # written in C: it cannot be asked
