"""A topic that is purged, or deleted and made again, under a service that runs: it ends, says so, and begins anew."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import pytest

from rustok_iggy import ConsumerError, IggyTransport, NotFoundError, OffsetOutOfRangeError
from rustok_iggy_connector.wire.commands import topics
from tests.conformance.services import (
    GROUP,
    PARK,
    PATIENCE,
    TOPIC,
    FailingTenant,
    Handler,
    Place,
    place,
    publish,
    reasons,
    some_tenants,
    tenant_of,
    until_caught_up,
    until_letters,
)
from tests.waiting import until

pytestmark = pytest.mark.anyio
__all__ = ["place"]


async def purge(operator: IggyTransport, place: Place, topic: str = TOPIC) -> None:
    """Empty a topic, which this library has no call for."""
    admin = operator._connector.admin
    await admin._session.run(  # type: ignore[attr-defined]  # of SessionAdmin
        lambda client: client.request(topics.PurgeTopic(stream=place.stream, topic=topic), subject=topic)
    )


async def ended(service: IggyTransport, during: Callable[[], object], *, tenants: list[UUID], count: int) -> Exception:
    """Consume events, let something happen, and return what run() raised."""
    handler = Handler()
    service.subscribe(group=GROUP, on_failure=PARK)(handler)
    running = asyncio.create_task(service.run())
    await publish(service, tenants, range(count))
    await until(lambda: handler.book.distinct == count * len(tenants))
    await until_caught_up(service)
    await during()  # type: ignore[misc]  # all of them are async
    await asyncio.wait((running,), timeout=PATIENCE)
    assert running.done(), "it did not notice"
    error = running.exception()
    assert isinstance(error, Exception)
    return error


@pytest.mark.parametrize(("count", "tenants"), [(3, some_tenants(4)), (1, [tenant_of(0)])])
async def test_a_purge_under_a_service_ends_it_with_advice(place: Place, count: int, tenants: list[UUID]) -> None:
    """Of an empty partition the server says offset 0, as of one that has one event."""
    async with place.transport() as operator, place.transport(max_idle_delay=0.01) as service:
        error = await ended(service, lambda: purge(operator, place), tenants=tenants, count=count)
        assert isinstance(error, OffsetOutOfRangeError)
        assert "it was reset" in str(error)
        assert "groups reset" in str(error)
        counted = service.statistics().consuming
        assert counted.gaps >= 1
        assert counted.failed >= 1
        assert any("OffsetOutOfRangeError" in reason for reason in reasons(service))


async def test_after_a_purge_a_group_that_is_reset_begins_at_the_first_event_there_is(place: Place) -> None:
    tenants, after = some_tenants(3), Handler()
    async with place.transport() as operator, place.transport() as service:
        await ended(service, lambda: purge(operator, place), tenants=tenants, count=4)
        await publish(operator, tenants, range(10, 12))
        with pytest.raises(OffsetOutOfRangeError, match="groups reset begins anew"):
            async with place.service(Handler()):
                await asyncio.sleep(PATIENCE)
        plan = await operator.groups.plan_reset(topic=TOPIC, group=GROUP, to="earliest")
        assert plan.changes
        await operator.groups.reset(plan)
        assert not (await operator.groups.plan_reset(topic=TOPIC, group=GROUP, to="earliest")).changes
        async with place.service(after):
            await until(lambda: after.book.distinct == 6)
            await until_caught_up(operator)
        assert [after.book.numbers(tenant) for tenant in tenants] == [[10, 11]] * 3


async def test_a_topic_made_anew_under_a_service_ends_it(place: Place) -> None:
    async with place.transport() as operator, place.transport() as service:
        spec = next(each for each in operator.topology.desired.topics if each.name == TOPIC)
        admin = operator._connector.admin

        async def make_anew() -> None:
            await admin.delete_topic(stream=place.stream, topic=TOPIC)
            await admin.create_topic(stream=place.stream, spec=spec)

        error = await ended(service, make_anew, tenants=some_tenants(3), count=3)
        assert isinstance(error, NotFoundError | OffsetOutOfRangeError)


async def test_letters_of_the_old_log_are_not_taken_for_new_events(place: Place) -> None:
    """A letter's key is its offset: what comes to stand there after a purge would never be run."""
    illness = FailingTenant()
    async with place.transport() as operator:
        async with place.service(illness.handler):
            await publish(operator, illness.tenants, range(4))
            await until_letters(operator, 3)
            await until_caught_up(operator)
        await purge(operator, place)
        await publish(operator, illness.tenants, range(10, 15))
        with pytest.raises(ConsumerError, match="3 dead letters are open whose events stood in a log that was reset"):
            await operator.groups.plan_reset(topic=TOPIC, group=GROUP, to="earliest")


async def test_dead_letters_that_are_purged_end_the_group_before_what_follows_them_runs(place: Place) -> None:
    illness = FailingTenant()
    async with place.transport() as operator, place.transport() as service:
        service.subscribe(group=GROUP, on_failure=PARK)(illness.handler)
        running = asyncio.create_task(service.run())
        await publish(service, illness.tenants, range(4))
        await until_letters(operator, 3)
        await until_caught_up(operator)
        await purge(operator, place, "dlq")
        illness.healed = True
        await publish(service, illness.tenants, range(4, 5))
        await asyncio.wait((running,), timeout=PATIENCE)
        assert running.done(), "it did not notice"
        with pytest.raises(OffsetOutOfRangeError, match="it was emptied, and with it 3 open dead letters"):
            await running
        assert illness.book.numbers(illness.ill) == [0]
        async with place.service(illness.handler):
            await until_letters(operator, 1)
            await illness.cure(operator)
        assert illness.book.numbers(illness.ill) == [0, 4]


async def test_a_group_made_anew_under_a_service_begins_anew(place: Place) -> None:
    """A new group counts its generations again, so its claims need its own id."""
    tenants, handler = some_tenants(3), Handler()
    async with place.transport() as operator, place.service(handler) as service:
        await publish(operator, tenants, range(3))
        await until(lambda: handler.book.distinct == 9)
        await until_caught_up(operator)
        admin, names = operator._connector.admin, {"stream": place.stream, "topic": TOPIC, "group": GROUP}
        await admin.delete_group(**names)
        await admin.create_group(**names)
        await publish(operator, tenants, range(3, 4))
        await until(lambda: handler.book.distinct == 12)
        await until_caught_up(operator)
        assert list(reasons(service)) == []
