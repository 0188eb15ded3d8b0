"""The two that are compared: the raw client with payloads encoded beforehand, and this library with typed events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID, uuid4

import apache_iggy
import msgspec
from apache_iggy import (
    AutoLogin,
    IggyClient,
    Partitioning,
    PollingStrategy,
    ReceiveMessage,
    SendMessage,
    TcpConfig,
    TcpReconnectionConfig,
)
from msgspec import Struct

from rustok_iggy import EventEnvelope, IggyTransport, JsonSerializer
from rustok_iggy.benchmark.timing import Call, Round, in_turn, side_by_side
from rustok_iggy.events import OrderPlaced
from rustok_iggy_connector import MessageSubscriber
from rustok_iggy_connector.data_directory import DataDirectory
from rustok_iggy_connector.wire.codes import Command
from rustok_iggy_connector.wire.commands.offsets import StoreOffset
from rustok_iggy_connector.wire.primitives import Consumer, ConsumerKind

STREAM = "benchmarks"
TOPIC = "raw"
PARTITION = 0
TENANTS = tuple(uuid4() for _ in range(64))


def envelope(tenant_id: UUID) -> EventEnvelope:
    order = OrderPlaced(order_id=uuid4(), customer_id=uuid4(), total=4200, currency="EUR")
    return EventEnvelope.new(tenant_id, order, actor_id=uuid4())


class _OrderEvent(Struct):
    type: str
    data: OrderPlaced


class _OrderEnvelope(Struct):
    """The published envelope as a program with one event type would declare it for itself."""

    id: UUID
    event_type: str
    schema_version: int
    correlation_id: UUID
    tenant_id: UUID
    timestamp: datetime
    event: _OrderEvent
    retry_count: int
    causation_id: UUID | None = None
    trace_id: str | None = None
    actor_id: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    stream: str
    topic: str
    partition_id: int


FILLED_BY_RAW = Place(stream=STREAM, topic=TOPIC, partition_id=PARTITION)


class RawClient:
    """The published wheel, used as its documentation shows: bytes in, bytes out."""

    def __init__(self, *, address: str, username: str, password: str) -> None:
        self._client = IggyClient(
            TcpConfig(
                server_address=address,
                auto_login=AutoLogin.username_password(username, password),
                reconnection=TcpReconnectionConfig(max_retries=3, interval=timedelta(milliseconds=200)),
                nodelay=True,
            )
        )
        self._payload = JsonSerializer().encode(envelope(TENANTS[0]))
        self._decoder = msgspec.json.Decoder(_OrderEnvelope)

    @classmethod
    def of_embedded(cls, data_dir: str) -> RawClient:
        """Of the server that runs on a data directory."""
        directory = DataDirectory(data_dir)
        credentials, address = directory.credentials(), directory.address()
        assert credentials is not None, "a running server has credentials"
        assert address is not None, "a running server has an address"
        return cls(address=address, username=credentials.username, password=credentials.password)

    @property
    def payload_bytes(self) -> int:
        return len(self._payload)

    async def connect(self) -> None:
        await self._client.connect()

    async def close(self) -> None:
        await self._client.logout_user()

    async def publish(self, *, calls: int, batch: int) -> Round:
        return await in_turn([partial(self._send, batch)] * calls)

    async def poll(self, *, calls: int, batch: int) -> Round:
        """`calls` times `batch` messages, from the first on."""
        return await in_turn([partial(self._poll, number * batch, batch) for number in range(calls)])

    async def poll_and_decode(self, *, calls: int, batch: int) -> Round:
        """As `poll`, and each payload decoded by hand."""
        return await in_turn([partial(self._poll_and_decode, number * batch, batch) for number in range(calls)])

    async def poll_decoded(self, at: Place, *, offset: int, count: int) -> list[_OrderEnvelope]:
        """Poll and decode by hand."""
        return [self._decoder.decode(message.payload()) for message in await self._polled(offset, count, at)]

    async def commit(self, at: Place, *, consumer: str, offset: int) -> None:
        """Store an offset; the client has no call of its own for it."""
        request = StoreOffset(
            consumer=Consumer(ConsumerKind.SINGLE, consumer),
            stream=at.stream,
            topic=at.topic,
            partition_id=at.partition_id,
            offset=offset,
        )
        await self._client.send_binary_request(Command.STORE_OFFSET, request.encode())

    async def _send(self, count: int) -> int:
        messages = [SendMessage(self._payload) for _ in range(count)]
        await self._client.send_messages(STREAM, TOPIC, Partitioning.partition_id(PARTITION), messages)
        return count

    async def _poll(self, offset: int, count: int) -> int:
        return len([message.payload() for message in await self._polled(offset, count)])

    async def _poll_and_decode(self, offset: int, count: int) -> int:
        return len([self._decoder.decode(message.payload()) for message in await self._polled(offset, count)])

    async def _polled(self, offset: int, count: int, at: Place = FILLED_BY_RAW) -> list[ReceiveMessage]:
        return await self._client.poll_messages(
            at.stream,
            at.topic,
            consumer=apache_iggy.Consumer.Single(1),
            polling_strategy=PollingStrategy.Offset(offset),
            count=count,
            auto_commit=False,
            partition_id=at.partition_id,
        )


class TypedPublisher:
    """IggyTransport: validation, encoding, partitioning and coalescing included; making the events is not."""

    def __init__(self, transport: IggyTransport) -> None:
        self._transport = transport

    async def one_by_one(self, *, calls: int) -> Round:
        return await in_turn([partial(self._publish, envelope(TENANTS[0])) for _ in range(calls)])

    async def concurrently(self, *, publishers: int, tenants: int, calls: int) -> Round:
        """One tenant lives in one partition, so its events travel together; many tenants are in all partitions."""
        return await side_by_side(
            [
                [partial(self._publish, envelope(TENANTS[publisher % tenants])) for _ in range(calls)]
                for publisher in range(publishers)
            ]
        )

    async def batches(self, *, calls: int, batch: int) -> Round:
        """All events of a batch belong to one tenant: one send each, as the raw client's."""
        made = [[envelope(TENANTS[0]) for _ in range(batch)] for _ in range(calls)]
        return await in_turn([partial(self._publish_batch, envelopes) for envelopes in made])

    async def _publish(self, event: EventEnvelope) -> int:
        await self._transport.publish(event)
        return 1

    async def _publish_batch(self, envelopes: Sequence[EventEnvelope]) -> int:
        return len(await self._transport.publish_batch(envelopes))


class Reader:
    """A plain reader of the connector, on the topic that the raw client filled."""

    def __init__(self, subscriber: MessageSubscriber) -> None:
        self._subscriber = subscriber
        self._serializer = JsonSerializer()

    async def poll(self, *, calls: int, batch: int) -> Round:
        return await in_turn(self._calls(calls, batch, decode=False))

    async def poll_and_decode(self, *, calls: int, batch: int) -> Round:
        return await in_turn(self._calls(calls, batch, decode=True))

    def _calls(self, calls: int, batch: int, *, decode: bool) -> list[Call]:
        return [partial(self._poll, number * batch, batch, decode) for number in range(calls)]

    async def _poll(self, offset: int, count: int, decode: bool) -> int:
        polled = await self._subscriber.poll(PARTITION, offset=offset, max_messages=count)
        if decode:
            return len([self._serializer.decode(message.payload) for message in polled])
        return len([message.payload for message in polled])
