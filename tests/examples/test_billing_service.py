"""The tests of examples/billing_service.py: how a service is tested with the rig, here over a server in memory."""

from uuid import UUID, uuid4

import pytest

from examples.billing_service import GROUP, Billing, Invoices, InvoiceWritten, OrderAccepted, catalog
from rustok_iggy import EVERYTHING, EventEnvelope
from rustok_iggy.testing import Rig, check_handler, memory_rig

pytestmark = pytest.mark.anyio

ADA, BOB = UUID(int=1), UUID(int=2)


@pytest.fixture
def iggy() -> Rig:
    """In a project of its own this fixture comes from the plugin, and only `iggy_catalog` is overridden."""
    return memory_rig(catalog=catalog)


def order(tenant: UUID = ADA, *, cents: int = 4200) -> EventEnvelope:
    return EventEnvelope.new(tenant, OrderAccepted(order_id=uuid4(), cents=cents))


async def test_each_order_is_billed_and_told(iggy: Rig) -> None:
    invoices = Invoices()
    async with iggy.open() as transport:
        Billing(transport, invoices)
        async with transport.consuming():
            orders = [order(ADA), order(ADA), order(BOB)]
            await transport.publish_batch(orders)
            await iggy.settle()
    assert set(invoices.numbers) == {each.event.order_id for each in orders}
    told = iggy.assert_published(InvoiceWritten, times=3)
    assert {each.causation_id for each in told} == {each.id for each in orders}
    iggy.assert_order(group=GROUP)


async def test_an_order_that_comes_again_is_billed_once(iggy: Rig) -> None:
    invoices, accepted = Invoices(), order()
    iggy.faults.redeliver(on=accepted)
    async with iggy.open() as transport:
        Billing(transport, invoices)
        async with transport.consuming():
            await transport.publish(accepted)
            await iggy.settle()
    iggy.assert_handled(accepted, group=GROUP, times=2)
    assert invoices.numbers == {accepted.event.order_id: 1}


async def test_what_cannot_be_billed_parks_its_tenant_until_somebody_has_looked(iggy: Rig) -> None:
    wrong, behind, other = order(ADA, cents=-1), order(ADA), order(BOB)
    invoices = Invoices()
    async with iggy.open() as transport:
        Billing(transport, invoices)
        async with transport.consuming():
            await transport.publish_batch([wrong, behind, other])
            await iggy.settle()
            await iggy.assert_dead_lettered(tenant_id=ADA, group=GROUP, times=2)
            iggy.assert_handled(other, group=GROUP, times=1)
            request = await transport.dead_letters.redrive(EVERYTHING, group=GROUP, by="ada")
            await transport.dead_letters.wait(request, timeout=30)
            assert behind.event.order_id not in invoices.numbers, "it is still behind what fails"


async def test_two_processes_share_the_work_and_keep_each_tenants_order(iggy: Rig) -> None:
    invoices = Invoices()
    tenants = [uuid4() for _ in range(6)]
    async with iggy.open() as transport:
        Billing(transport, invoices)
        async with transport.consuming():
            async with iggy.second_member(transport):
                await transport.publish_batch([order(tenant) for _ in range(3) for tenant in tenants])
                await iggy.settle()
            await transport.publish_batch([order(tenant) for tenant in tenants])
            await iggy.settle()
    assert len(invoices.numbers) == 24
    iggy.assert_order(group=GROUP)


async def test_the_handler_survives_what_delivery_does_to_it(iggy: Rig) -> None:
    invoices = Invoices()
    async with iggy.open() as transport:
        billing = Billing(transport, invoices)
        verdict = await check_handler(
            billing.bill,
            order(ADA),
            order(ADA),
            effects=lambda: invoices.numbers,
            reset=invoices.numbers.clear,
            catalog=catalog,
        )
    verdict.raise_for_failures()
