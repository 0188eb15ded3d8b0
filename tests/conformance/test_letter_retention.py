"""Letters that are open outlive what removes the oldest segments of the dead-letter topic, and of their own topic."""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from uuid import UUID

import pytest
from msgspec import Struct

from rustok_iggy import EVERYTHING, DeliveryContext, EventEnvelope, IggyTransport, RequestState
from rustok_iggy.topology import desired_topology
from rustok_iggy_connector import IggyConnector
from rustok_iggy_connector.wire.commands.partitions import DeleteSegments
from tests.conformance.services import (
    GROUP,
    PATIENCE,
    Place,
    place,
    reasons,
    tenant_of,
    until_caught_up,
    until_letters,
)
from tests.consumer.hosts import catalog
from tests.waiting import until

pytestmark = pytest.mark.anyio
__all__ = ["place"]
SEGMENT_BYTES = 2**20
"""The smallest that servers take."""
LARGE = "x" * (SEGMENT_BYTES // 8)
NOTHING_LEFT = 2**63
EVENTS = 20
"""Of a tenant: two segments and a half."""


@catalog.event("thing.large")
class Large(Struct, frozen=True, kw_only=True):
    number: int
    text: str


@dataclass
class Illness:
    """Fails on every event of a tenant until healed, and notes the numbers of those that did not."""

    tenant: UUID
    healed: bool = False
    numbers: dict[UUID, list[int]] = field(default_factory=lambda: defaultdict(list))

    async def __call__(self, envelope: EventEnvelope, context: DeliveryContext) -> None:
        if envelope.tenant_id == self.tenant and not self.healed:
            raise LookupError
        assert isinstance(envelope.event, Large)
        self.numbers[envelope.tenant_id].append(envelope.event.number)

    async def cure(self, operator: IggyTransport) -> None:
        self.healed = True
        request = await operator.dead_letters.redrive(EVERYTHING, group=GROUP, by="ada")
        result = await operator.dead_letters.wait(request, timeout=PATIENCE)
        assert (result.state, result.left) == (RequestState.DONE, 0)


async def make_topics(connector: IggyConnector, place: Place) -> None:
    """As the configuration wants them, but with segments that a test can fill."""
    await connector.admin.create_stream(place.stream)
    for spec in desired_topology(place.config()).topics:
        await connector.admin.create_topic(stream=place.stream, spec=replace(spec, segment_bytes=SEGMENT_BYTES))


async def publish(operator: IggyTransport, tenant: UUID, numbers: range) -> None:
    envelopes = [EventEnvelope.new(tenant, Large(number=number, text=LARGE)) for number in numbers]
    (await operator.publish_batch(envelopes)).raise_for_failures()


async def first_offset(connector: IggyConnector, place: Place, topic: str) -> int:
    reader = await connector.subscribe(stream=place.stream, topic=topic)
    try:
        found = await reader.poll(0, offset=0, max_messages=1)
        return found[0].offset if found else NOTHING_LEFT
    finally:
        await reader.leave()


async def delete_segments(connector: IggyConnector, place: Place, topic: str) -> None:
    """As retention does, which takes its time to come."""
    request = DeleteSegments(stream=place.stream, topic=topic, partition_id=0, segments_count=1000)
    await connector.admin._session.run(lambda client: client.request(request, subject=topic))  # type: ignore[attr-defined]


async def remove_segments(connector: IggyConnector, place: Place, topic: str, *, beyond: int) -> int:
    """Remove every closed segment that nothing pins; return the first offset that is left, above `beyond`."""
    await delete_segments(connector, place, topic)

    async def is_removed() -> bool:
        return await first_offset(connector, place, topic) > beyond

    await until(is_removed)
    return await first_offset(connector, place, topic)


async def test_a_group_without_letters_holds_back_the_dead_letter_topic_until_it_is_forgotten(
    place: Place, connector: IggyConnector
) -> None:
    await make_topics(connector, place)
    ill = tenant_of(0)
    illness = Illness(ill)
    async with place.transport() as operator:
        async with place.service(Illness(tenant_of(0)), group="gone"):
            await publish(operator, ill, range(1))
            await until_caught_up(operator, group="gone")
        for numbers in (range(EVENTS), range(EVENTS, EVENTS + 1)):  # the second claims behind what the first closed
            illness.healed = False
            async with place.service(illness):
                await publish(operator, ill, numbers)
                await until_letters(operator, len(numbers) + (numbers.start == 0))
                await illness.cure(operator)
        await delete_segments(connector, place, "dlq")
        assert await first_offset(connector, place, "dlq") == 0
        await operator.groups.forget(topic="domain", group="gone")
        await remove_segments(connector, place, "dlq", beyond=0)


async def test_open_letters_survive_the_removal_of_segments(place: Place, connector: IggyConnector) -> None:
    await make_topics(connector, place)
    ill, well = tenant_of(0), tenant_of(0)
    illness = Illness(ill)
    async with place.transport() as operator:
        async with place.service(illness):  # letters that are closed again
            await publish(operator, ill, range(EVENTS))
            await until_letters(operator, EVENTS)
            await illness.cure(operator)
        illness.healed = False
        async with place.service(illness):  # letters that stay open
            await publish(operator, ill, range(EVENTS, 2 * EVENTS))
            await publish(operator, well, range(EVENTS))
            await until_letters(operator, EVENTS)
            await until_caught_up(operator)
        # The checkpoint of the leave is behind the letters: the pin alone holds them.
        first = await remove_segments(connector, place, "dlq", beyond=0)
        await remove_segments(connector, place, "domain", beyond=2 * EVENTS - 1)  # the originals are gone
        async with place.service(illness) as service:  # takes over from what is left
            page = await operator.dead_letters.list(group=GROUP)
            assert len(page.letters) == EVENTS
            shown = await operator.dead_letters.show(page.letters[0])
            assert shown.envelope is not None
            assert isinstance(shown.envelope.event, Large)
            assert shown.envelope.event.text == LARGE
            assert not any("expired" in each for each in reasons(service))
            await illness.cure(operator)
            await until_caught_up(operator)
            assert illness.numbers == {ill: list(range(2 * EVENTS)), well: list(range(EVENTS))}
            assert (await operator.dead_letters.stats()).letters_expired == ()
        await remove_segments(connector, place, "dlq", beyond=first)  # closed, they hold back nothing
