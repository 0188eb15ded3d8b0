"""A tenant whose event cannot be handled waits, in order; nobody else does, and whoever takes over knows it."""

import pytest

from rustok_iggy import Block, Cause, DeadLetter, LetterSelection, RequestState, Retry
from tests.conformance.services import (
    GROUP,
    Book,
    Handler,
    Place,
    broken_for,
    number_of,
    place,
    publish,
    some_tenants,
    until_caught_up,
    until_letters,
)
from tests.waiting import until

pytestmark = pytest.mark.anyio
__all__ = ["place"]


async def test_later_events_of_the_tenant_follow_its_letter_and_others_go_on(place: Place) -> None:
    ill, *well = some_tenants(4)
    handler = Handler(before=broken_for(ill, numbers=[2]))
    async with place.service(handler) as service:
        await publish(service, [ill, *well], range(6))
        await until_letters(service, 4)
        await until_caught_up(service)
        assert handler.book.numbers(ill) == [0, 1]
        assert all(handler.book.numbers(tenant) == list(range(6)) for tenant in well)
        page = await service.dead_letters.list(group=GROUP)
        assert [letter.cause for letter in page.letters] == [Cause.FAILED, *[Cause.SEQUENCE] * 3]
        shown = [await service.dead_letters.show(letter) for letter in page.letters]
        assert [number_of(each.envelope) for each in shown if each.envelope is not None] == [2, 3, 4, 5]
        assert len(handler.book.failed) == 2, "the retries of the policy"
        assert (await service.dead_letters.stats(group=GROUP)).parked_tenants == 1


async def test_a_parked_tenant_is_still_parked_at_the_next_owner(place: Place) -> None:
    ill, well = some_tenants(2)
    first, following = Handler(before=broken_for(ill)), Handler()
    async with place.service(first) as service:
        await publish(service, [ill, well], range(3))
        await until_letters(service, 3)
    async with place.service(following) as service:
        await publish(service, [ill, well], range(3, 6))
        await until_letters(service, 6)
        await until_caught_up(service)
        assert following.book.numbers(ill) == []
        assert first.book.firsts(well) + following.book.firsts(well) == list(range(6))


async def test_a_member_that_joins_leaves_parked_tenants_alone(place: Place) -> None:
    ill, well = some_tenants(6)[:3], some_tenants(6)
    book = Book()
    async with place.service(Handler(book, before=broken_for(*ill))) as service:
        await publish(service, [*ill, *well], range(3))
        await until_letters(service, 9)
        await until_caught_up(service)  # before anything is stored, a hand-over takes the server's 30 s
        async with place.service(Handler(book)):
            await until(lambda: len(service._consumption.members[0].partitions) == 1)  # type: ignore[union-attr]
            await publish(service, [*ill, *well], range(3, 6))
            await until_letters(service, 18)
            await until_caught_up(service)
    assert all(book.numbers(tenant) == [] for tenant in ill)
    assert all(book.numbers(tenant) == list(range(6)) for tenant in well), "an orderly hand-over repeats nothing"


async def test_the_last_letter_discarded_the_tenant_is_live_again(place: Place) -> None:
    ill = some_tenants(1)
    handler = Handler(before=broken_for(*ill, numbers=[0, 1]))
    async with place.service(handler) as service:
        await publish(service, ill, range(2))
        await until_letters(service, 2)
        page = await service.dead_letters.list(group=GROUP)
        for letter in page.letters:
            selection = LetterSelection(event_ids=(letter.event_id,))  # type: ignore[arg-type]  # decoded: has one
            request = await service.dead_letters.discard(
                selection, group=GROUP, by="ada", reason="not wanted", seen=page.seen
            )
            result = await service.dead_letters.wait(request, timeout=20)
            assert (result.state, result.discarded) == (RequestState.DONE, 1)
        await publish(service, ill, range(2, 4))
        await until_caught_up(service)
        await until(lambda: handler.book.numbers(ill[0]) == [2, 3])


async def test_dead_letter_lets_the_tenant_go_on(place: Place) -> None:
    ill = some_tenants(1)
    handler = Handler(before=broken_for(*ill, numbers=[1]))
    async with place.service(handler, on_failure=DeadLetter(retry=Retry(attempts=1))) as service:
        await publish(service, ill, range(4))
        await until_letters(service, 1)
        await until_caught_up(service)
        await until(lambda: handler.book.numbers(ill[0]) == [0, 2, 3])
        assert (await service.dead_letters.stats(group=GROUP)).parked_tenants == 0


async def test_block_writes_no_letter_and_keeps_the_order(place: Place) -> None:
    ill, well = some_tenants(2)
    healed = False
    book = Book()
    failing = broken_for(ill, numbers=[1])

    def before(envelope, context):  # type: ignore[no-untyped-def]  # as Before
        return None if healed else failing(envelope, context)

    blocking = Block(retry=Retry(attempts=1, delay=0.01, max_delay=0.05))
    async with place.service(Handler(book, before), on_failure=blocking) as service:
        await publish(service, [ill, well], range(4))
        await until(lambda: len(book.failed) > 2 and book.numbers(well) == list(range(4)))
        assert book.numbers(ill) == [0]
        healed = True
        await until_caught_up(service)
        assert book.numbers(ill) == list(range(4))
        assert (await service.dead_letters.stats()).letters == 0
