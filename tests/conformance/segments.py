"""Topics whose segments a test can fill, and have removed."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from rustok_iggy import EventEnvelope, IggyTransport
from rustok_iggy.topology import desired_topology
from rustok_iggy_connector import IggyConnector
from rustok_iggy_connector.wire.commands.partitions import DeleteSegments
from tests.conformance.services import Place
from tests.consumer.hosts import Large
from tests.waiting import until

SEGMENT_BYTES = 2**20
"""The smallest that servers take."""
LARGE = "x" * (SEGMENT_BYTES // 8)
NOTHING_LEFT = 2**63


async def make_topics(connector: IggyConnector, place: Place) -> None:
    """As the configuration wants them, but with segments that a test can fill."""
    await connector.admin.create_stream(place.stream)
    for spec in desired_topology(place.config()).topics:
        await connector.admin.create_topic(stream=place.stream, spec=replace(spec, segment_bytes=SEGMENT_BYTES))


async def publish_large(operator: IggyTransport, tenant: UUID, numbers: range) -> None:
    """Publish events of which eight fill a segment."""
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
