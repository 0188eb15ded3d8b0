"""Letters that are open outlive what removes the oldest segments of the dead-letter topic, and of their own topic."""

from collections import defaultdict
from dataclasses import dataclass, field
from uuid import UUID

import pytest

from rustok_iggy import EVERYTHING, DeliveryContext, EventEnvelope, IggyTransport, RequestState
from rustok_iggy_connector import IggyConnector
from tests.conformance.segments import (
    LARGE,
    delete_segments,
    first_offset,
    make_topics,
    publish_large,
    remove_segments,
)
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
from tests.consumer.hosts import Large

pytestmark = pytest.mark.anyio
__all__ = ["place"]
EVENTS = 20
"""Of a tenant: two segments and a half."""


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


async def test_a_group_without_letters_holds_back_the_dead_letter_topic_until_it_is_forgotten(
    place: Place, connector: IggyConnector
) -> None:
    await make_topics(connector, place)
    ill = tenant_of(0)
    illness = Illness(ill)
    async with place.transport() as operator:
        async with place.service(Illness(tenant_of(0)), group="gone"):
            await publish_large(operator, ill, range(1))
            await until_caught_up(operator, group="gone")
        for numbers in (range(EVENTS), range(EVENTS, EVENTS + 1)):  # the second claims behind what the first closed
            illness.healed = False
            async with place.service(illness):
                await publish_large(operator, ill, numbers)
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
            await publish_large(operator, ill, range(EVENTS))
            await until_letters(operator, EVENTS)
            await illness.cure(operator)
        illness.healed = False
        async with place.service(illness):  # letters that stay open
            await publish_large(operator, ill, range(EVENTS, 2 * EVENTS))
            await publish_large(operator, well, range(EVENTS))
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
