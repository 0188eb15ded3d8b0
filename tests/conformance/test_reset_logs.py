"""A topic that is purged, or deleted and made again, under a service that runs: it ends, says so, and begins anew."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import pytest

from rustok_iggy import ConsumerError, IggyTransport, NotFoundError, OffsetOutOfRangeError, Start
from rustok_iggy_connector.wire.commands import topics
from tests.conformance.services import (
    GROUP,
    PARK,
    PARTITIONS,
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


async def make_anew(operator: IggyTransport, place: Place) -> None:
    """Delete a topic, and create it again."""
    admin, spec = (
        operator._connector.admin,
        next(each for each in operator.topology.desired.topics if each.name == TOPIC),
    )
    await admin.delete_topic(stream=place.stream, topic=TOPIC)
    await admin.create_topic(stream=place.stream, spec=spec)


@pytest.mark.parametrize(
    ("begin_again", "start"), [(purge, Start.EARLIEST), (purge, Start.LATEST), (make_anew, Start.EARLIEST)]
)
async def test_a_log_that_was_begun_again_and_grew_longer_than_before_is_told_until_the_group_is_reset(
    place: Place, begin_again: Callable[[IggyTransport, Place], Awaitable[None]], start: Start
) -> None:
    tenants, before, after = [tenant_of(0), tenant_of(1)], Handler(), Handler()
    async with place.transport() as operator:
        async with place.service(before, start=Start.EARLIEST):
            await publish(operator, tenants, range(3))
            await until(lambda: before.book.distinct == 6)
            await until_caught_up(operator)
        await begin_again(operator, place)
        await publish(operator, tenants, range(10, 16))
        for _ in range(2):
            with pytest.raises(OffsetOutOfRangeError, match="the event there now was stored at"):
                async with place.service(after, start=start):
                    await asyncio.sleep(PATIENCE)
        assert after.book.handled == [], "nothing of the new log before somebody decides"
        await operator.groups.reset(await operator.groups.plan_reset(topic=TOPIC, group=GROUP, to="earliest"))
        async with place.service(after):
            await until(lambda: after.book.distinct == 12)
            await until_caught_up(operator)
        assert [after.book.numbers(tenant) for tenant in tenants] == [[*range(10, 16)]] * 2


async def test_a_topic_made_anew_where_nothing_was_noted_is_consumed_from_its_first_event(place: Place) -> None:
    """Its groups' ids and generations begin again: claims that were counted on from those would all be void."""
    handler = Handler()
    async with place.transport() as operator:
        for _ in range(3):
            async with place.service(Handler()) as service:
                await until(lambda at=service: at.statistics().groups[0].standing.partitions == PARTITIONS)  # type: ignore[misc]
        await make_anew(operator, place)
        async with place.service(handler) as service:
            await publish(operator, [tenant_of(0)], range(3))
            await until(lambda: handler.book.distinct == 3)
            assert service.statistics().consuming.lost_partitions == 0


async def test_a_group_that_was_reset_to_where_it_was_is_not_told_again(place: Place) -> None:
    """Its journal notes the same offset as before, of another log."""
    tenants, handler = [tenant_of(0)], Handler()
    async with place.transport() as operator:
        async with place.service(handler):
            await publish(operator, tenants, range(3))
            await until(lambda: handler.book.distinct == 3)
            await until_caught_up(operator)
        await purge(operator, place)
        await publish(operator, tenants, range(10, 16))
        await operator.groups.reset(await operator.groups.plan_reset(topic=TOPIC, group=GROUP, to=3))
        async with place.service(handler):
            await until(lambda: handler.book.distinct == 6)
        assert handler.book.numbers(tenants[0]) == [0, 1, 2, 13, 14, 15]


async def test_a_service_that_was_paused_while_a_purged_log_grew_longer_is_ended(place: Place) -> None:
    tenants = [tenant_of(0), tenant_of(1)]
    async with place.transport() as operator, place.transport() as service:

        async def purge_behind_its_back() -> None:
            service.pause(group=GROUP)
            await purge(operator, place)
            await publish(operator, tenants, range(10, 18))
            service.resume(group=GROUP)

        error = await ended(service, purge_behind_its_back, tenants=tenants, count=4)
        assert isinstance(error, OffsetOutOfRangeError)
        assert "was polled, but the event there now was stored at" in str(error)


async def test_a_service_that_ends_after_a_purge_it_did_not_see_hides_nothing_from_the_next(place: Place) -> None:
    tenants, before, after = [tenant_of(0)], Handler(), Handler()
    async with place.transport() as operator:
        async with place.service(before):
            await publish(operator, tenants, range(2))
            await until(lambda: before.book.distinct == 2)
            await until_caught_up(operator)
        with pytest.raises(OffsetOutOfRangeError, match="was polled, but the event there now"):
            async with place.service(before) as service:
                await publish(operator, tenants, range(2, 4))
                await until(lambda: before.book.distinct == 4)
                await until_caught_up(operator)
                service.pause(group=GROUP)
                await purge(operator, place)
                await publish(operator, tenants, range(10, 18))
        with pytest.raises(OffsetOutOfRangeError, match=r"offset [13] was committed, as the dead letters say, but"):
            async with place.service(after):
                await asyncio.sleep(PATIENCE)
        assert after.book.handled == []


async def test_a_topic_made_anew_under_a_service_ends_it(place: Place) -> None:
    async with place.transport() as operator, place.transport() as service:
        error = await ended(service, lambda: make_anew(operator, place), tenants=some_tenants(3), count=3)
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
        illness.healed = True
        await purge(operator, place, "dlq")
        await asyncio.wait((running,), timeout=PATIENCE)
        assert running.done(), "it did not notice, with nothing to do"
        with pytest.raises(OffsetOutOfRangeError, match="it was emptied, and with it 3 open dead letters"):
            await running
        await publish(operator, illness.tenants, range(4, 5))
        assert illness.book.numbers(illness.ill) == [0]
        async with place.service(illness.handler):
            await until(lambda: illness.book.numbers(illness.ill) == [0, 4])
            await until_caught_up(operator)


async def test_a_purged_journal_without_letters_is_claimed_anew(place: Place) -> None:
    tenants, handler = some_tenants(4), Handler()
    async with place.transport() as operator, place.service(handler) as service:
        await publish(operator, tenants, range(3))
        await until(lambda: handler.book.distinct == 12)
        await until_caught_up(operator)
        await purge(operator, place, "dlq")
        await until(lambda: service.statistics().consuming.lost_partitions >= PARTITIONS)
        await publish(operator, tenants, range(3, 5))
        await until(lambda: handler.book.distinct == 20)
        await until_caught_up(operator)
        assert list(reasons(service)) == []
    assert [handler.book.numbers(tenant) for tenant in tenants] == [[*range(5)]] * 4


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
