"""A group set back or ahead while dead letters are open: what comes again, what stays, and in which order."""

import pytest

from rustok_iggy import EVERYTHING, IggyTransport
from rustok_iggy.consumer_groups import ResetTo
from rustok_iggy.dead_letters.records import Source
from rustok_iggy.dead_letters.stored_start import Kept, consumer_name
from rustok_iggy.partitioning import partition_for
from tests.conformance.services import (
    GROUP,
    PARTITIONS,
    PATIENCE,
    TOPIC,
    FailingTenant,
    Handler,
    Place,
    letters_of,
    place,
    publish,
    some_tenants,
    until_caught_up,
    until_letters,
)
from tests.waiting import until

pytestmark = pytest.mark.anyio
__all__ = ["place"]


async def reset(operator: IggyTransport, to: ResetTo) -> None:
    await operator.groups.reset(await operator.groups.plan_reset(topic=TOPIC, group=GROUP, to=to))


async def pins_of(operator: IggyTransport, place: Place) -> list[int]:
    """The partitions of the dead-letter topic in which the group keeps its letters from being removed."""
    found = []
    for partition in range(PARTITIONS):
        pin = consumer_name(Source(group=GROUP, topic=TOPIC, partition=partition), Kept.PIN)
        where = {"stream": place.stream, "topic": "dlq", "partition_id": partition, "consumer": pin}
        if await operator._connector.admin.reader_offset(**where) is not None:  # type: ignore[arg-type]
            found.append(partition)
    return found


async def parked(place: Place, operator: IggyTransport) -> FailingTenant:
    """Four events of each tenant: the first one's is parked with three letters; the service has left."""
    illness = FailingTenant()
    async with place.service(illness.handler):
        await publish(operator, illness.tenants, range(4))
        await until_letters(operator, 3)
        await until_caught_up(operator)
    return illness


async def test_what_was_done_comes_again_after_a_reset(place: Place) -> None:
    """The journal of dead letters remembers how far the group was as well."""
    tenants, first, second = some_tenants(2), Handler(), Handler()
    async with place.transport() as operator:
        async with place.service(first):
            await publish(operator, tenants, range(3))
            await until_caught_up(operator)
        await reset(operator, "earliest")
        async with place.service(second):
            await until(lambda: second.book.distinct == 6)
            await until_caught_up(operator)
        assert [second.book.numbers(tenant) for tenant in tenants] == [[0, 1, 2]] * 2
        async with place.service(Handler(second.book)):
            await until_caught_up(operator)
        assert len(second.book.handled) == 6, "only once"


async def test_set_back_open_letters_stay_and_are_handled_in_order_after_what_stands_before_them(place: Place) -> None:
    async with place.transport() as operator:
        illness = await parked(place, operator)
        before = illness.book.handled.copy()
        await reset(operator, "earliest")
        async with place.service(illness.handler):
            await until(lambda: len(illness.book.handled) == 2 * len(before))
            await until_caught_up(operator)
            assert await letters_of(operator) == 3, "not run live, and not kept twice"
            await publish(operator, illness.tenants, range(4, 5))
            await until_letters(operator, 4)
            await illness.cure(operator)
        assert illness.book.numbers(illness.ill) == [0, 0, 1, 2, 3, 4]
        assert [illness.book.numbers(each) for each in illness.well] == [[*range(4), *range(4), 4]] * 2


async def test_set_back_letters_that_are_closed_come_again_as_events(place: Place) -> None:
    async with place.transport() as operator:
        illness = await parked(place, operator)
        async with place.service(illness.handler):
            manager = operator.dead_letters
            seen = (await manager.list(group=GROUP)).seen
            request = await manager.discard(EVERYTHING, group=GROUP, by="ada", reason="test", seen=seen)
            await manager.wait(request, timeout=PATIENCE)
        illness.book.handled.clear()
        await reset(operator, "earliest")
        async with place.service(illness.handler):
            await until_letters(operator, 3)
            await illness.cure(operator)
        assert illness.firsts() == [list(range(4))] * 3


async def test_set_ahead_open_letters_stay_and_what_was_skipped_is_gone(place: Place) -> None:
    async with place.transport() as operator:
        illness = await parked(place, operator)
        await publish(operator, illness.tenants, range(4, 6))
        await reset(operator, "latest")
        await publish(operator, illness.tenants, range(6, 7))
        async with place.service(illness.handler):
            await until_letters(operator, 4)
            await illness.cure(operator)
        assert illness.firsts() == [[0, 1, 2, 3, 6]] * 3


async def test_a_forgotten_group_starts_anew_and_keeps_its_letters(place: Place) -> None:
    async with place.transport() as operator:
        illness = await parked(place, operator)
        illness.book.handled.clear()
        await operator.groups.forget(topic=TOPIC, group=GROUP)
        assert await letters_of(operator) == 3
        assert await pins_of(operator, place) == [partition_for(illness.ill, PARTITIONS)]
        async with place.service(illness.handler):
            await until(lambda: len(illness.book.handled) == 9)
            await illness.cure(operator)
        assert [illness.book.numbers(each) for each in illness.tenants] == [list(range(4))] * 3


async def test_a_reset_that_was_cut_before_an_offset_was_stored_changes_nothing(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with place.transport() as operator:
        illness = await parked(place, operator)
        before = len(illness.book.handled)
        admin, store = operator._connector.admin, operator._connector.admin.store_group_offsets

        async def cut(**options):  # type: ignore[no-untyped-def]  # as store_group_offsets
            await store(**{**options, "offsets": {}})

        with monkeypatch.context() as patched:
            patched.setattr(admin, "store_group_offsets", cut)
            await reset(operator, "earliest")
        async with place.service(illness.handler):
            await publish(operator, illness.tenants, range(4, 5))
            await until_letters(operator, 4)
            await until_caught_up(operator)
            assert len(illness.book.handled) == before + 2
            await illness.cure(operator)
