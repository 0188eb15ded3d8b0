"""A dead letter as a delivery: its original message, read and routed as if it came from its topic."""

from __future__ import annotations

from rustok_iggy.consumer.delivery import Delivery
from rustok_iggy.consumer.statistics import PartitionServices
from rustok_iggy.dead_letters.layout import Original
from rustok_iggy.dead_letters.records import Source
from rustok_iggy.dead_letters.snapshot import FoldedLetter
from rustok_iggy.errors import ConsumerError, DecodeError
from rustok_iggy_connector import Position, ReceivedMessage


def redelivery(services: PartitionServices, source: Source, letter: FoldedLetter, original: Original) -> Delivery:
    """Make a delivery of a letter; one that still cannot be read fails when it runs.

    Raises ConsumerError when nothing handles its event type any more.
    """
    # The message's own id is not kept: what is remembered of ids is about messages that come from the topic.
    message = ReceivedMessage(letter.offset, 0, original.payload, letter.stored_at, lambda: original.headers)
    try:
        opened = services.reader.open(message)
        route = services.router(opened.event_type)
    except DecodeError as error:
        position = Position(source.topic, source.partition, letter.offset)
        opened = services.reader.unreadable(message, error, position=position)
        route = services.router.unreadable
    if route is None:
        raise ConsumerError(f"group {services.group} handles no events of type {opened.event_type} any more")
    return Delivery(offset=letter.offset, message=message, opened=opened, route=route)
