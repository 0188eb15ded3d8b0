"""The fault table of docs/delivery.md where it concerns dead letters, on every backend that can have it."""

from collections.abc import AsyncIterator

import pytest

from rustok_iggy import HealthStatus
from rustok_iggy_connector import (
    BatchConfirmation,
    ConnectionLostError,
    IggyConnector,
    PermissionDeniedError,
    PublishBatch,
    RemoteConnector,
    RemoteConnectorConfig,
)
from tests.conformance.backends import Backend, Feature
from tests.conformance.services import (
    GROUP,
    TOPIC,
    FailingTenant,
    Handler,
    Place,
    letters_of,
    place,
    publish,
    reasons,
    some_tenants,
    until_caught_up,
    until_letters,
)
from tests.consumer.hosts import Ignored
from tests.faults import FaultProxy, fault_proxy
from tests.waiting import until

pytestmark = pytest.mark.anyio
__all__ = ["place"]
TIMEOUT = 20.0
FAULTS = {
    "refused": PermissionDeniedError("not allowed", status=41, name="unauthorized", command="send_messages"),
    "cut before it was sent": ConnectionLostError("cut"),
    "cut before the reply": None,
    "stored twice": None,
}


class Faulty:
    """A connector whose next appends to the dead-letter topic fail as named in `faults`, one after the other."""

    def __init__(self, connector: IggyConnector, *faults: str) -> None:
        self.faults = list(faults)
        self.failed = 0
        self._publish = connector.publish_batch
        connector.publish_batch = self.publish_batch  # type: ignore[method-assign]  # of this one only

    async def publish_batch(self, batch: PublishBatch) -> BatchConfirmation:
        if batch.topic != "dlq" or not self.faults:
            return await self._publish(batch)
        fault = self.faults.pop(0)
        self.failed += 1
        if (error := FAULTS[fault]) is not None:
            raise error
        await self._publish(batch)
        if fault == "stored twice":
            return await self._publish(batch)
        raise ConnectionLostError(fault)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_letter_whose_append_fails_is_written_once_and_held_until_then(
    place: Place, backend: Backend, fault: str
) -> None:
    illness, connector = FailingTenant(), backend.connector()
    faulty = Faulty(connector)
    async with place.transport() as outside, place.service(illness.handler, connector=connector) as service:
        await publish(outside, illness.tenants, range(1))
        await until_caught_up(outside)
        faulty.faults = [fault] * 3
        await publish(outside, illness.tenants, range(1, 4))
        await until_letters(outside, 3)
        await until_caught_up(outside)
        assert faulty.failed
        assert service.health().components["consuming"].status is HealthStatus.DEGRADED  # parked
        assert illness.firsts() == [[0], list(range(4)), list(range(4))]
        await illness.cure(outside)
    assert illness.firsts() == [list(range(4))] * 3
    assert illness.book.numbers(illness.ill) == list(range(4)), "nothing was lost, so nothing came again"


async def test_while_letters_cannot_be_written_the_tenant_waits_and_others_go_on(
    place: Place, backend: Backend
) -> None:
    illness, connector = FailingTenant(), backend.connector()
    faulty = Faulty(connector)
    async with place.transport() as outside, place.service(illness.handler, connector=connector) as service:
        await publish(outside, illness.tenants, range(1))
        await until_caught_up(outside)
        faulty.faults = ["refused"] * 10_000
        await publish(outside, illness.tenants, range(1, 4))
        await until(lambda: illness.firsts() == [[0], list(range(4)), list(range(4))])
        await until(lambda: any("dead-letter topic cannot be used" in each for each in reasons(service)))
        assert await letters_of(outside) == 0
        admin = outside._connector.admin
        committed = await admin.committed_offsets(stream=place.stream, topic=TOPIC, group=GROUP)
        held = {context.position for envelope, context in illness.book.failed if envelope.tenant_id == illness.ill}
        ((_, partition, offset),) = held
        assert committed[partition].committed < offset, "committed past an event that is neither done nor kept"
        faulty.faults.clear()
        await until_letters(outside, 3)
        await illness.cure(outside)
        await until(lambda: not any("dead-letter topic" in each for each in reasons(service)))
    assert illness.firsts() == [list(range(4))] * 3


async def test_a_dead_letter_topic_that_is_gone_holds_the_tenant_until_it_is_there_again(place: Place) -> None:
    illness = FailingTenant()
    async with place.transport() as outside, place.service(illness.handler) as service:
        await publish(outside, illness.tenants, range(1))
        await until_caught_up(outside)
        await outside._connector.admin.delete_topic(stream=place.stream, topic="dlq")
        await publish(outside, illness.tenants, range(1, 4))
        await until(lambda: illness.firsts() == [[0], list(range(4)), list(range(4))])
        await until(lambda: any("dead-letter topic cannot be used" in each for each in reasons(service)))
        await outside.topology.apply()
        await until_letters(outside, 3)
        await illness.cure(outside)
    assert illness.firsts() == [list(range(4))] * 3


@pytest.mark.parametrize("fault", ["cut before it was sent", "cut before the reply", "stored twice"])
async def test_a_cut_between_a_redriven_letter_and_its_settlement_repeats_nothing_at_the_same_owner(
    place: Place, backend: Backend, fault: str
) -> None:
    illness, connector = FailingTenant(), backend.connector()
    faulty = Faulty(connector)

    class FailingAfter(Handler):
        async def __call__(self, envelope, context):  # type: ignore[no-untyped-def]  # as Handler
            await super().__call__(envelope, context)
            if context.redrive is not None:
                faulty.faults = [fault] * 2

    service = place.service(FailingAfter(illness.book, illness), connector=connector)
    async with place.transport() as outside, service:
        await publish(outside, illness.tenants, range(4))
        await until_letters(outside, 3)
        await illness.cure(outside)
    assert faulty.failed >= 3
    assert illness.firsts() == [list(range(4))] * 3
    assert illness.book.numbers(illness.ill) == list(range(4))


@pytest.fixture
async def proxy(backend: Backend) -> AsyncIterator[FaultProxy]:
    async with fault_proxy(backend.remote_config().addresses[0]) as opened:
        yield opened


def through(proxy: FaultProxy, backend: Backend) -> IggyConnector:
    found = backend.remote_config()
    return RemoteConnector(
        RemoteConnectorConfig(addresses=(proxy.address,), username=found.username, password=found.password)
    )


@pytest.mark.needs(Feature.NETWORK)
async def test_every_connection_cut_while_letters_are_written_and_redriven(
    place: Place, backend: Backend, proxy: FaultProxy
) -> None:
    """The membership goes with the connection: what ran may come again, and the order of first completions is kept."""
    illness = FailingTenant()

    class Cutting(Handler):
        """Every connection is reset after every third delivery of the tenant that fails."""

        calls = 0

        async def __call__(self, envelope, context):  # type: ignore[no-untyped-def]  # as Handler
            if envelope.tenant_id == illness.ill:
                self.calls += 1
            try:
                await super().__call__(envelope, context)
            finally:
                if self.calls % 3 == 2 and self.calls < 12:
                    proxy.cut()

    service = place.service(Cutting(illness.book, illness), connector=through(proxy, backend))
    async with place.transport() as outside, service:
        await publish(outside, illness.tenants, range(4))
        await until_letters(outside, 3)
        await publish(outside, illness.tenants, range(4, 6))
        await until_letters(outside, 5)
        await illness.cure(outside)
    assert illness.firsts() == [list(range(6))] * 3


async def test_two_services_that_share_a_groups_name_are_told(place: Place) -> None:
    """Each would skip what only the other handles: whoever takes over names the one before."""
    tenants = some_tenants(4)
    async with place.transport() as outside:
        async with place.service(Handler()) as all_types:
            await publish(outside, tenants, range(2))
            await until_caught_up(outside)
            assert not any("other event types" in each for each in reasons(all_types))
        async with place.transport() as other:
            handler = Handler()
            other.subscribe(group=GROUP, event_types=[Ignored])(handler)
            async with other.consuming():
                await until(lambda: any("handles other event types" in each for each in reasons(other)))
        assert handler.book.handled == []


async def test_a_group_made_anew_finds_its_letters_and_repeats_nothing(place: Place) -> None:
    illness = FailingTenant()
    async with place.transport() as outside:
        async with place.service(illness.handler):
            await publish(outside, illness.tenants, range(4))
            await until_letters(outside, 3)
            await until_caught_up(outside)
        admin = outside._connector.admin
        await admin.delete_group(stream=place.stream, topic=TOPIC, group=GROUP)
        async with place.service(illness.handler):
            await publish(outside, illness.tenants, range(4, 6))
            await until_letters(outside, 5)
            await illness.cure(outside)
    assert [illness.book.numbers(tenant) for tenant in illness.tenants] == [list(range(6))] * 3
