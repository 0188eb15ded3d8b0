"""A producer over a scripted connector, and calls of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

from rustok_iggy.backpressure import BackpressureConfig, BackpressureController
from rustok_iggy.producer import Producer
from rustok_iggy_connector import OutgoingMessage
from tests.transport.fakes import ScriptedConnector

ANN, BOB = UUID(int=1), UUID(int=2)


@asynccontextmanager
async def producing(
    connector: ScriptedConnector, *, timeout: float = 5.0, backpressure: BackpressureConfig | None = None
) -> AsyncIterator[Producer]:
    async def no_time(delay: float) -> None:
        await asyncio.sleep(0)

    producer = Producer(
        connector,
        stream="s",
        timeout=timeout,
        backpressure=BackpressureController(backpressure),
        sleep=no_time,
        jitter=lambda: 0.0,
    )
    yield producer
    await producer.aclose(timeout=0.1)


def message() -> OutgoingMessage:
    return OutgoingMessage(id=uuid4(), payload=b"payload")


def publishing(
    producer: Producer, sent: OutgoingMessage | None = None, *, tenant: UUID = ANN, partition: int = 0
) -> asyncio.Task[int]:
    coroutine = producer.publish(sent or message(), topic="domain", partition_id=partition, tenant_id=tenant)
    return asyncio.create_task(coroutine)
