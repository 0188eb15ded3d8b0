"""The rig: what it notes, what it waits for, what goes wrong on purpose, and what its failures say."""

import asyncio
from uuid import UUID

import pytest

from rustok_iggy import Block, ConfigError, DeliveryContext, EventEnvelope, ParkTenant, Retry
from rustok_iggy.testing import History, NotSettledError, Outcome, Rig, memory_rig
from rustok_iggy.testing.observed_transport import Reached
from rustok_iggy.testing.settling import settle
from tests.testing.services import ADA, BOB, Counted, Ignored, Ledger, Sum, catalog, counted
from tests.waiting import until

pytestmark = pytest.mark.anyio

AT_ONCE = ParkTenant(retry=Retry(attempts=1))


@pytest.fixture
def rig() -> Rig:
    return memory_rig(catalog=catalog)


async def test_settle_returns_when_everything_is_handled_and_committed(rig: Rig) -> None:
    ledger = Ledger()
    async with rig.open() as transport:
        transport.subscribe(group="g", event_types=[Counted])(ledger.enter)
        async with transport.consuming():
            events = counted(1, 2, 3)
            await transport.publish_batch(events)
            await transport.publish(EventEnvelope.new(ADA, Ignored(number=0)))
            await rig.settle()
            assert len(ledger.entries) == 3
            assert all(each.behind == 0 for each in (await transport.reached(group="g", topic="domain")).values())
    assert rig.assert_published(times=4)[:3] == events
    assert rig.assert_handled(Counted, group="g", times=3) == events
    rig.assert_order(group="g")


async def test_settle_waits_for_what_handlers_publish(rig: Rig) -> None:
    seen = []
    async with rig.open() as transport:

        @transport.subscribe(group="first", event_types=[Counted])
        async def follow(envelope: EventEnvelope, context: DeliveryContext) -> None:
            await asyncio.sleep(0)
            await transport.publish(EventEnvelope.new(ADA, Ignored(number=1), caused_by=envelope))

        @transport.subscribe(group="second", event_types=[Ignored])
        async def note(envelope: EventEnvelope, context: DeliveryContext) -> None:
            await asyncio.sleep(0)
            seen.append(envelope)

        async with transport.consuming():
            await transport.publish_batch(counted(1, 2, 3))
            await rig.settle()
            assert len(seen) == 3


async def test_what_is_not_settled_is_named_with_how_it_stands() -> None:
    rig = memory_rig(catalog=catalog, overrides={"consumer": {"drain_timeout": 0.1}})
    done, hung, failing, behind = (*counted(0, 1, 2), *counted(3, tenant=BOB))
    expected = {Outcome.HANDLED, Outcome.RUNNING, Outcome.FAILED}

    async def handle(envelope: EventEnvelope, context: DeliveryContext) -> None:
        if envelope.id == done.id:
            return
        if envelope.id == hung.id:
            await asyncio.Event().wait()
        raise LookupError("no such thing")

    async with rig.open() as transport:

        async def the_first_is_committed() -> bool:
            return any(each.committed >= 0 for each in (await transport.reached(group="g", topic="domain")).values())

        transport.subscribe(group="g", on_failure=Block(retry=Retry(attempts=2, delay=0.01)))(handle)
        await transport.publish_batch([done, hung, behind, failing])
        with pytest.raises(NotSettledError, match=r"(?s)nobody consumes as this group.*not begun"):
            await rig.settle(timeout=0)
        with pytest.raises(NotSettledError) as raised:
            async with transport.consuming():
                await until(lambda: {each.outcome for each in rig.history.calls()} == expected)
                await until(the_first_is_committed)
                await rig.settle(timeout=0)
    text = str(raised.value)
    assert "not settled within 0 s" in text
    assert f"{hung.id} of tenant {ADA}: test_what_is_not_settled" in text
    assert "has been running for " in text
    assert "LookupError: no such thing (test_rig.py:" in text
    assert f"{failing.id} of tenant {ADA}: not begun" in text
    assert str(done.id) not in text
    assert "number" not in text, "an event's content does not belong into a log"


async def test_nothing_subscribed_and_nothing_open_is_said_at_once(rig: Rig) -> None:
    with pytest.raises(ConfigError, match="no transport of this rig is open"):
        await rig.settle()
    async with rig.open():
        with pytest.raises(ConfigError, match="nothing is subscribed"):
            await rig.settle()


async def test_a_failing_expectation_prints_what_happened_instead(rig: Rig) -> None:
    (event,) = counted(1)
    async with rig.open() as transport:
        transport.subscribe(group="g")(Ledger().enter)
        await transport.publish(event)
        async with transport.consuming():
            await rig.settle()
        with pytest.raises(AssertionError, match=rf"expected thing.ignored to be published .* found 0\n.*{event.id}"):
            rig.assert_published(Ignored)
        with pytest.raises(AssertionError, match=r"handled by group g 2 times, found 1\n.*Ledger.enter: handled"):
            rig.assert_handled(event, group="g", times=2)
        with pytest.raises(AssertionError, match=r"dead letter of group g at least once, found 0\n.*handled") as failed:
            await rig.assert_dead_lettered(event, group="g")
    assert [each.path.name for each in failed.traceback.filter(failed)] == ["test_rig.py"], "the test's own lines only"


async def test_order_per_tenant_is_compared_with_the_publish_calls(rig: Rig) -> None:
    first, second, third = counted(1, 2, 3)
    async with rig.open() as transport:
        transport.subscribe(group="g")(Ledger().enter)
        await transport.publish_batch([first, second, third])
        async with transport.consuming():
            await rig.settle()
    rig.history.attempts.append(rig.history.attempts[0])
    rig.assert_order(group="g")  # an event that came again later was not out of order the first time
    rig.history.attempts.pop()
    rig.history.attempts[1:] = reversed(rig.history.attempts[1:])
    with pytest.raises(
        AssertionError, match=rf"tenant {ADA} out of order\n.*first 1 agree(?s:.)*{second.id} \| .*{third.id}"
    ):
        rig.assert_order(group="g")


async def test_planned_failures_become_dead_letters_in_order(rig: Rig) -> None:
    events = counted(1, 2, 3)
    rig.faults.fail(LookupError("gone"), on=events[1])
    async with rig.open() as transport:
        transport.subscribe(group="g", on_failure=AT_ONCE)(Ledger().enter)
        async with transport.consuming():
            await transport.publish_batch(events)
            await rig.settle()
            letters = await rig.assert_dead_lettered(group="g", times=2)
            assert [each.event_id for each in letters] == [events[1].id, events[2].id]
            await rig.assert_dead_lettered(events[1], group="g", tenant_id=ADA)
            await rig.assert_dead_lettered(Counted, group="g", tenant_id=BOB, times=0)
    assert not rig.faults.planned


async def test_a_planned_redelivery_hands_over_the_same_event_again(rig: Rig) -> None:
    events = counted(1, 2)
    rig.faults.redeliver(on=events[0], times=2)
    async with rig.open() as transport:
        transport.subscribe(group="g")(Ledger().enter)
        async with transport.consuming():
            await transport.publish_batch(events)
            await rig.settle()
    assert rig.history.handled(group="g") == [events[0]] * 3 + [events[1]]
    rig.assert_order(group="g")


async def test_a_planned_cancellation_ends_the_handler_where_it_waits_and_the_event_comes_again(rig: Rig) -> None:
    steps = []

    async def handle(envelope: EventEnvelope, context: DeliveryContext) -> None:
        steps.append("begun")
        await asyncio.sleep(0)
        steps.append("half")
        await asyncio.sleep(0)
        steps.append("done")

    rig.faults.cancel(at=2)
    async with rig.open() as transport:
        transport.subscribe(group="g")(handle)
        async with transport.consuming():
            await transport.publish_batch(counted(1))
            await rig.settle()
    assert steps == ["begun", "half", "begun", "half", "done"]
    assert [each.outcome for each in rig.history.calls()] == [Outcome.CANCELLED, Outcome.HANDLED]


async def test_handlers_in_threads_are_observed_and_cannot_be_cancelled(rig: Rig) -> None:
    seen = []

    def handle(envelope: EventEnvelope, context: DeliveryContext) -> None:
        seen.append(envelope)

    events = counted(1, 2)
    rig.faults.cancel(on=events[1])
    async with rig.open() as transport:
        transport.subscribe(group="g", on_failure=AT_ONCE)(handle)
        async with transport.consuming():
            await transport.publish_batch(events)
            await rig.settle()
            await rig.assert_dead_lettered(events[1], group="g")
    assert seen == [events[0]]
    assert "cannot be cancelled" in str(rig.history.calls(events[1])[0].error)


async def test_while_dead_letters_are_down_a_failing_event_waits_and_is_not_lost(rig: Rig) -> None:
    (event,) = counted(1)
    async with rig.open() as transport:
        transport.subscribe(group="g", on_failure=AT_ONCE)(Ledger().enter)
        async with transport.consuming():
            await transport.publish_batch(counted(0))
            await rig.settle()  # the journal has been claimed
            rig.faults.fail(LookupError("gone"), on=event)
            with rig.faults.dead_letters_down():
                await transport.publish(event)
                with pytest.raises(NotSettledError, match=str(event.id)):
                    await rig.settle(timeout=0.2)
            await rig.settle()
            await rig.assert_dead_lettered(event, group="g", times=1)


async def test_a_second_member_takes_partitions_over_and_gives_them_back(rig: Rig) -> None:
    ledger = Ledger()
    tenants = [each.tenant_id for number in range(8) for each in counted(0, tenant=UUID(int=number + 1))]
    async with rig.open() as transport:
        transport.subscribe(group="g")(ledger.enter)
        with pytest.raises(ConfigError, match="does not consume"):
            async with rig.second_member(transport):
                pass
        async with transport.consuming():
            await transport.publish_batch(counted(0))
            await rig.settle()  # all partitions are the first one's
            async with rig.second_member(transport) as second:
                owned = [*transport.owned()["g/domain"], *second.owned()["g/domain"]]
                assert second.owned()["g/domain"]
                assert transport.owned()["g/domain"]
                assert sorted(owned) == list(range(transport.partitions("domain")))
                await transport.publish_batch([each for tenant in tenants for each in counted(1, 2, tenant=tenant)])
                await rig.settle()
            await transport.publish_batch([each for tenant in tenants for each in counted(3, tenant=tenant)])
            await rig.settle()
    assert len(ledger.entries) == 25
    rig.assert_order(group="g")


async def test_a_wrapped_handler_keeps_its_name_and_is_replayed_as_itself(rig: Rig) -> None:
    total = Sum()
    async with rig.open() as transport:
        transport.subscribe(group="g", replay="forbidden")(total.add)
        await transport.publish_batch(counted(1))
        async with transport.consuming():
            await rig.settle()
        plan = await transport.plan_replay()
        with pytest.raises(Exception, match="forbidden"):
            await transport.run_replay(plan, total.add)
    assert rig.history.calls()[0].handler == "Sum.add"


async def test_settle_looks_twice_because_a_handler_may_publish_for_a_group_that_was_asked_before() -> None:
    looks = [(3, 3), (3, 4), (4, 4), (4, 4), (4, 4)]

    class Growing:
        subscribed = frozenset({("g", "domain")})
        asked = 0

        async def reached(self, *, group: str, topic: str) -> dict[int, Reached]:
            await asyncio.sleep(0)
            committed, current = looks[self.asked]
            self.asked += 1
            return {0: Reached(committed=committed, current=current)}

    transport = Growing()
    await settle([transport], History(), timeout=5)  # type: ignore[list-item]
    assert transport.asked == 4
