"""Letters run again at the group that failed, in order, also when their owner goes away in the middle."""

import asyncio

import pytest

from rustok_iggy import EVERYTHING, DeliveryContext, EventEnvelope, LetterSelection, RequestState
from tests.conformance.services import (
    GROUP,
    Book,
    BrokenError,
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
TIMEOUT = 20.0


class Illness:
    """Fails on everything of some tenants until `healed`."""

    def __init__(self, *tenants: object) -> None:
        self.tenants = tenants
        self.healed = False

    def __call__(self, envelope: EventEnvelope, context: DeliveryContext) -> None:
        if not self.healed and envelope.tenant_id in self.tenants:
            raise BrokenError


async def test_letters_run_in_order_and_then_the_tenant_is_live(place: Place) -> None:
    ill, well = some_tenants(2)
    illness = Illness(ill)
    handler = Handler(before=illness)
    async with place.service(handler) as service:
        await publish(service, [ill, well], range(5))
        await until_letters(service, 5)
        illness.healed = True
        request = await service.dead_letters.redrive(EVERYTHING, group=GROUP, by="ada")
        result = await service.dead_letters.wait(request, timeout=TIMEOUT)
        assert (result.state, result.handled, result.left) == (RequestState.DONE, 5, 0)
        await publish(service, [ill, well], range(5, 8))
        await until_caught_up(service)
        assert handler.book.numbers(ill) == handler.book.numbers(well) == list(range(8))
        told = [context.redrive for envelope, context in handler.book.handled if envelope.tenant_id == ill]
        assert [each.attempt if each else 0 for each in told] == [1] * 5 + [0] * 3
        assert (await service.dead_letters.stats(group=GROUP)).letters == 0


async def test_a_letter_that_fails_again_stays_with_all_behind_it(place: Place) -> None:
    ill = some_tenants(1)
    handler = Handler(before=broken_for(*ill))
    async with place.service(handler) as service:
        await publish(service, ill, range(3))
        await until_letters(service, 3)
        request = await service.dead_letters.redrive(EVERYTHING, group=GROUP, by="ada")
        result = await service.dead_letters.wait(request, timeout=TIMEOUT)
        assert (result.state, result.handled, result.failed, result.left) == (RequestState.DONE, 0, 1, 2)
        assert {number_of(envelope) for envelope, _ in handler.book.failed} == {0}
        page = await service.dead_letters.list(group=GROUP)
        assert [letter.redrives for letter in page.letters] == [1, 0, 0]


async def test_the_next_owner_goes_on_with_the_request(place: Place) -> None:
    """The first one leaves while the third letter runs: it runs again, and only it."""
    ill = some_tenants(1)
    illness, book, reached = Illness(*ill), Book(), asyncio.Event()

    def hangs_at_the_third(envelope: EventEnvelope, context: DeliveryContext) -> "asyncio.Future[None] | None":
        illness(envelope, context)
        if context.redrive is None or number_of(envelope) != 2:
            return None
        reached.set()
        return asyncio.get_running_loop().create_future()

    async with place.transport() as operator:
        async with place.service(Handler(book, hangs_at_the_third), drain_timeout=0.3) as service:
            await publish(service, ill, range(5))
            await until_letters(operator, 5)
            illness.healed = True
            request = await operator.dead_letters.redrive(EVERYTHING, group=GROUP, by="ada")
            await asyncio.wait_for(reached.wait(), TIMEOUT)
            assert book.numbers(ill[0]) == [0, 1]
        (waiting,) = (await operator.dead_letters.stats(group=GROUP)).open_requests
        assert waiting.id == request.id
        async with place.service(Handler(book)):
            result = await operator.dead_letters.wait(request, timeout=TIMEOUT)
            assert (result.state, result.handled, result.left) == (RequestState.DONE, 5, 0)
            assert book.numbers(ill[0]) == list(range(5))
            third = [context.redrive for envelope, context in book.handled if number_of(envelope) == 2]
            assert [each.attempt for each in third if each] == [2], "the attempt that was cut counts"
            assert (await operator.dead_letters.stats(group=GROUP)).letters == 0


async def test_two_requests_at_once_are_worked_one_after_the_other(place: Place) -> None:
    ill, other = some_tenants(2)
    illness = Illness(ill, other)
    handler = Handler(before=illness)
    async with place.service(handler) as service:
        await publish(service, [ill, other], range(3))
        await until_letters(service, 6)
        illness.healed = True
        manager = service.dead_letters
        one, all_ = await asyncio.gather(
            manager.redrive(LetterSelection(tenants=(ill,)), group=GROUP, by="ada"),
            manager.redrive(EVERYTHING, group=GROUP, by="bob"),
        )
        results = [await manager.wait(request, timeout=TIMEOUT) for request in (one, all_)]
        assert [each.state for each in results] == [RequestState.DONE] * 2
        assert sum(each.handled for each in results) == 6
        assert handler.book.numbers(ill) == handler.book.numbers(other) == list(range(3))


async def test_only_the_group_that_failed_sees_a_letter_again(place: Place) -> None:
    ill = some_tenants(1)
    illness = Illness(*ill)
    failing, elsewhere = Handler(before=illness), Handler()
    async with place.service(failing) as service, place.service(elsewhere, group="audit"):
        await publish(service, ill, range(3))
        await until_letters(service, 3)
        await until(lambda: elsewhere.book.numbers(ill[0]) == [0, 1, 2])
        illness.healed = True
        request = await service.dead_letters.redrive(EVERYTHING, group=GROUP, by="ada")
        await service.dead_letters.wait(request, timeout=TIMEOUT)
        assert failing.book.numbers(ill[0]) == elsewhere.book.numbers(ill[0]) == [0, 1, 2]
