"""A command line, which subscribes nothing, sees what a service left behind, and asks for it."""

from __future__ import annotations

import pytest

from rustok_iggy import LetterSelection
from rustok_iggy.dead_letters.layout import decode_record
from rustok_iggy.dead_letters.records import Request
from rustok_iggy_connector import MemoryServer
from tests.consumer.hosts import transport
from tests.dead_letters.hand_owner import STREAM, HandOwner, source

pytestmark = pytest.mark.anyio


async def test_a_command_line_sees_what_a_service_left_behind() -> None:
    """Another transport on the same server, without a subscription."""
    server = MemoryServer()
    async with transport(server) as service:
        owner = HandOwner(service._connector, source(0), dlq_partitions=1)
        await owner.claim()
        await owner.letter(1)
        async with transport(server) as command_line:
            (letter,) = (await command_line.dead_letters.list(group="billing")).letters
            request = await command_line.dead_letters.redrive(
                LetterSelection(tenants=(letter.tenant_id,)), group="billing", by="ada"
            )
        reader = await service._connector.subscribe(stream=STREAM, topic="dlq")
        (message,) = await reader.poll(0, offset=request.positions[0], max_messages=1)
        record = decode_record(message.payload).record
        assert isinstance(record, Request)
        assert record.id == request.id
