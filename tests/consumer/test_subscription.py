"""Subscriptions: topics that follow from types, and what is refused."""

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any
from unittest.mock import Mock

import pytest
from msgspec import Struct

from rustok_iggy import (
    ConfigError,
    DeliveryContext,
    EventCatalog,
    EventEnvelope,
    OnGap,
    ParkTenant,
    Start,
    UnknownEventTypeError,
)
from rustok_iggy.consumer.subscription import Subscription, check_together, is_async, subscriptions_for
from rustok_iggy.topology import Topic
from rustok_iggy_connector.names import ALLOWED

catalog = EventCatalog("tests")


@catalog.event("order.made")
class Made(Struct):
    pass


@catalog.event("system.told")
class Told(Struct):
    pass


async def handler(envelope: EventEnvelope, context: DeliveryContext) -> None: ...


def subscribing(**changes: object) -> tuple[Subscription, ...]:
    names = {"group": "g", "topics": None, "event_types": None}
    given = {name: changes.pop(name, default) for name, default in names.items()}
    return subscriptions_for(handler, catalog=catalog, options=changes, **given)  # type: ignore[arg-type]


def problems_of(**changes: object) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        subscribing(**changes)
    return caught.value.problems


def test_the_topics_follow_from_the_event_types() -> None:
    assert [each.topic for each in subscribing()] == [Topic.DOMAIN]
    assert [each.topic for each in subscribing(event_types=[Told])] == [Topic.SYSTEM]
    assert [each.topic for each in subscribing(event_types=[Told, "order.made"])] == [Topic.DOMAIN, Topic.SYSTEM]
    assert [each.topic for each in subscribing(topics=["dlq"], event_types=[Told])] == [Topic.DLQ]
    assert [each.topic for each in subscribing(topics="system")] == [Topic.SYSTEM]


def test_classes_and_names_mean_the_same() -> None:
    (one,), (other,) = subscribing(event_types=[Made]), subscribing(event_types=["order.made"])
    assert one.event_types == other.event_types == {"order.made"}


def test_text_is_taken_for_start_and_gap() -> None:
    (made,) = subscribing(start="latest", on_gap="continue")
    assert (made.start, made.on_gap) == (Start.LATEST, OnGap.CONTINUE)
    moment = datetime.now(UTC)
    assert subscribing(start=moment)[0].start == moment


def test_an_undeclared_type_is_refused() -> None:
    with pytest.raises(UnknownEventTypeError):
        subscribing(event_types=["order.misspelt"])


def test_all_problems_come_at_once() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001
    assert problems_of(group="12", topics=["orders"], event_types=[], start=naive, on_gap="skip") == (
        f"subscribe(group='12'): group: '12' is a number, which the server reads as an id; add a letter ({ALLOWED})",
        "subscribe(group='12'): event_types: is empty; leave it out for all",
        "subscribe(group='12'): topics: 'orders' is none of domain, system, dlq",
        "subscribe(group='12'): start: a datetime needs a time zone",
        "subscribe(group='12'): on_gap: 'skip' is none of stop, continue",
    )
    assert len(problems_of(group="", start="yesterday", topics=[])) == 3


UNPRINTABLE = f"has a character that cannot be printed, such as a line break ({ALLOWED})"


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"max_concurrency": "3"}, "max_concurrency: must be a whole number of at least 1, not '3'"),
        ({"max_concurrency": True}, "max_concurrency: must be a whole number of at least 1, not True"),
        ({"handler_timeout": "30s"}, "handler_timeout: must be seconds, 0 for no limit, not '30s'"),
        ({"deduplicate": "no"}, "deduplicate: must be True or False, not 'no'"),
        ({"ordering": []}, "ordering: [] is none of tenant, partition"),
        ({"on_failure": ParkTenant}, "on_failure: must be ParkTenant(...), DeadLetter(...), Block(...) or Stop(...)"),
        ({"on_failure": ParkTenant(retry=5)}, "on_failure: its retry must be Retry(...), not 5"),
        ({"event_types": Made}, f"event_types: {Made!r} is one; put it into a list"),
        ({"event_types": "order.made"}, "event_types: 'order.made' is one; put it into a list"),
        ({"group": None}, f"group: must be text, not NoneType ({ALLOWED})"),
        ({"group": "a\nb"}, f"group: 'a\\nb' {UNPRINTABLE}"),
        ({"group": "\ud800"}, f"group: '\\ud800' {UNPRINTABLE}"),
    ],
)
def test_a_value_of_another_kind_is_refused_with_what_to_write(given: dict[str, Any], problem: str) -> None:
    (found,) = problems_of(**given)
    assert found.partition("): ")[2] == problem


def test_one_type_has_one_handler_in_a_group_and_topic() -> None:
    first = subscribing(event_types=[Made])
    check_together(first, subscribing(event_types=[Told]))
    check_together(first, subscribing(event_types=[Made], group="other"))
    check_together(first, subscribing(event_types=[Made], topics=["dlq"]))
    for clashing in (subscribing(event_types=[Made]), subscribing()):
        with pytest.raises(ConfigError, match=r"both handle order\.made"):
            check_together(first, clashing)
    with pytest.raises(ConfigError, match="both handle all event types"):
        check_together(subscribing(), subscribing())


def test_handlers_that_share_an_offset_agree_where_it_begins() -> None:
    with pytest.raises(ConfigError, match="must agree on start"):
        check_together(
            subscribing(event_types=[Made], topics=["domain"]),
            subscribing(event_types=[Told], topics=["domain"], start="latest"),
        )


def test_async_handlers_are_known_by_their_call() -> None:
    class Callable:
        async def __call__(self, envelope: EventEnvelope, context: DeliveryContext) -> None: ...

        async def method(self, envelope: EventEnvelope, context: DeliveryContext) -> None: ...

    assert all(is_async(each) for each in (handler, Callable(), Callable().method, partial(handler)))
    assert not is_async(lambda envelope, context: None)


def test_a_handler_with_a_yield_is_refused() -> None:
    """Called, it would run nothing and look handled."""

    def plain(envelope: EventEnvelope, context: DeliveryContext) -> Iterator[None]:
        yield

    async def asynchronous(envelope: EventEnvelope, context: DeliveryContext) -> AsyncIterator[None]:
        yield

    for each in (plain, asynchronous):
        assert "yield" in problem_of_handler(each)


def test_a_handler_that_cannot_take_an_event_is_refused() -> None:
    """It would fail at every event, and park every tenant."""

    class Service:
        async def handle(self, envelope: EventEnvelope, context: DeliveryContext) -> None: ...

    for each in (Service.handle, lambda envelope: None, lambda envelope, context, more: None):
        assert "two arguments, envelope and context" in problem_of_handler(each)
    assert "NoneType" in problem_of_handler(None)
    for fine in (Service().handle, Mock(), lambda *both: None, lambda envelope, context, more=None: None):
        assert subscriptions_for(fine, catalog=catalog, group="g", topics=None, event_types=None, options={})


def problem_of_handler(handler: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        subscriptions_for(handler, catalog=catalog, group="g", topics=None, event_types=None, options={})
    (problem,) = caught.value.problems
    return problem
