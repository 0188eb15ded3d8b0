"""A replay gives history again and moves nobody's offset, parked tenants and all."""

import pytest

from rustok_iggy import EVERYTHING, ReplayError
from rustok_iggy_connector import IggyConnector
from tests.conformance.segments import make_topics, publish_large, remove_segments
from tests.conformance.services import (
    GROUP,
    TOPIC,
    Handler,
    Place,
    broken_for,
    letters_of,
    place,
    publish,
    some_tenants,
    tenant_of,
    until_caught_up,
    until_letters,
)

pytestmark = pytest.mark.anyio
__all__ = ["place"]


async def test_a_replay_beside_a_live_group_moves_no_offset_and_no_letter(place: Place) -> None:
    ill, *well = some_tenants(4)
    everybody = [ill, *well]
    live, again = Handler(before=broken_for(ill, numbers=[3])), Handler()
    async with place.service(live) as service:
        await publish(service, everybody, range(6))
        await until_letters(service, 3)
        await until_caught_up(service)
        admin = service._connector.admin
        where = {"stream": place.stream, "topic": TOPIC, "group": GROUP}
        before = await admin.committed_offsets(**where), await letters_of(service)
        plan = await service.plan_replay()
        progress = await service.run_replay(plan, again)
        assert (plan.events, progress.handled) == (24, 24)
        assert (await admin.committed_offsets(**where), await letters_of(service)) == before
        assert all(again.book.numbers(tenant) == list(range(6)) for tenant in everybody)
        assert {context.replay for _, context in again.book.handled} == {progress.replay_id}
        assert all(live.book.numbers(tenant) == list(range(6)) for tenant in well)
        assert live.book.numbers(ill) == [0, 1, 2], "the replay let a parked event pass"


async def test_the_same_plan_gives_the_same_before_and_after_a_redrive(place: Place) -> None:
    ill = some_tenants(1)
    healed = False
    broken = broken_for(*ill, numbers=[1])

    def before(envelope, context):  # type: ignore[no-untyped-def]  # as Before
        return None if healed else broken(envelope, context)

    live, first, second = Handler(before=before), Handler(), Handler()
    async with place.service(live) as service:
        await publish(service, ill, range(4))
        await until_letters(service, 3)
        plan = await service.plan_replay()
        await service.run_replay(plan, first)
        healed = True
        request = await service.dead_letters.redrive(EVERYTHING, group=GROUP, by="ada")
        await service.dead_letters.wait(request, timeout=20)
        await service.run_replay(plan, second)
        assert [each.id for each, _ in first.book.handled] == [each.id for each, _ in second.book.handled]
        assert live.book.numbers(ill[0]) == list(range(4))


async def test_what_retention_removed_since_the_plan_is_an_error_that_says_what_is_left(
    place: Place, connector: IggyConnector
) -> None:
    await make_topics(connector, place)
    again = Handler()
    async with place.transport() as service:
        for numbers in (range(10), range(10, 20), range(20, 22)):  # two segments that are full, and one that is not
            await publish_large(service, tenant_of(0), numbers)
        plan = await service.plan_replay()
        left = await remove_segments(connector, place, TOPIC, beyond=0)
        gone = rf"offsets 0 to {left - 1} were removed by retention; {22 - left} messages"
        with pytest.raises(ReplayError, match=gone):
            await service.run_replay(plan, again)
        assert (await service.plan_replay()).events == 22 - left
    assert again.book.handled == []
