"""The transport's face, over the server in memory: publishing, batches, health, closing, and what it refuses."""

import asyncio
import os
import signal
import threading
from uuid import UUID, uuid4

import pytest
from msgspec import Struct

from rustok_iggy import (
    ConfigError,
    DeliveryContext,
    EventCatalog,
    EventEnvelope,
    HealthStatus,
    IggyConfig,
    IggyTransport,
    MemoryTransport,
    NotFoundError,
    PredecessorFailedError,
    PublishStatus,
    ReliabilityLevel,
    Stop,
    TopologyConflictError,
    TransportClosedError,
    UnknownEventTypeError,
    ValidationError,
)
from rustok_iggy.events import OrderPlaced
from rustok_iggy_connector import InMemoryConnector, MemoryServer
from tests.waiting import until

pytestmark = pytest.mark.anyio

catalog = EventCatalog("tests")


@catalog.event("thing.named")
class Named(Struct, frozen=True, kw_only=True):
    name: str

    def validate(self) -> list[str]:
        return [] if self.name else ["name: is empty"]


@catalog.event("system.told")
class Told(Struct, frozen=True, kw_only=True):
    text: str


def memory(server: MemoryServer | None = None, **config: object) -> MemoryTransport:
    connector = None if server is None else InMemoryConnector(server)
    return MemoryTransport(IggyConfig(**config), catalog=catalog, connector=connector)  # type: ignore[arg-type]


def named(name: str, tenant: UUID | None = None) -> EventEnvelope:
    return EventEnvelope.new(tenant or uuid4(), Named(name=name))


async def test_a_confirmation_says_where_the_event_stands() -> None:
    async with memory() as transport:
        envelope = named("x")
        first = await transport.publish(envelope)
        second = await transport.publish(named("y", envelope.tenant_id))
    assert (first.topic, first.event_id) == ("domain", envelope.id)
    assert second.partition_id == first.partition_id
    assert (first.offset, second.offset) == (0, 1)


async def test_events_of_the_system_go_to_their_topic_and_are_subscribed_there() -> None:
    seen: list[DeliveryContext] = []
    async with memory() as transport:

        @transport.subscribe(group="g", event_types=[Told, Named])
        async def note(envelope: EventEnvelope, context: DeliveryContext) -> None:
            seen.append(context)

        async with transport.consuming():
            confirmation = await transport.publish(EventEnvelope.new(uuid4(), Told(text="x")))
            await transport.publish(named("x"))
            await until(lambda: len(seen) == 2)
    assert confirmation.topic == "system"
    assert {context.topic for context in seen} == {"domain", "system"}


async def test_a_batch_reports_each_event_and_a_bad_one_holds_back_only_its_tenant() -> None:
    one, other = uuid4(), uuid4()
    batch = [named("a", one), named("b", other), named("", one), named("c", one), named("d", other)]
    async with memory() as transport:
        results = await transport.publish_batch(batch)
    assert [result.status for result in results] == [
        PublishStatus.CONFIRMED,
        PublishStatus.CONFIRMED,
        PublishStatus.FAILED,
        PublishStatus.UNSENT,
        PublishStatus.CONFIRMED,
    ]
    assert isinstance(results[2].error, ValidationError)
    assert isinstance(results[3].error, PredecessorFailedError)
    with pytest.raises(ValidationError):
        results.raise_for_failures()


async def test_an_empty_batch_is_fine() -> None:
    async with memory() as transport:
        assert len(await transport.publish_batch([])) == 0


async def test_batches_and_single_publishes_keep_the_order_of_the_calls() -> None:
    tenant, seen = uuid4(), []
    async with memory() as transport:

        @transport.subscribe(group="g")
        async def note(envelope: EventEnvelope, context: DeliveryContext) -> None:
            seen.append(envelope.event.name)

        async with transport.consuming():
            await asyncio.gather(
                transport.publish_batch([named(f"{number}", tenant) for number in range(3)]),
                transport.publish(named("3", tenant)),
                transport.publish_batch([named(f"{number}", tenant) for number in range(4, 2500)]),
                transport.publish(named("2500", tenant)),
            )
            await until(lambda: len(seen) == 2501)
    assert seen == [str(number) for number in range(2501)]


async def test_what_is_wrong_is_refused_before_anything_is_sent() -> None:
    async with memory() as transport:
        with pytest.raises(ValidationError):
            await transport.publish(named(""))
        with pytest.raises(ValidationError):
            await transport.publish(named("x", UUID(int=0)))
        with pytest.raises(ValidationError, match="max_event_bytes"):
            await transport.publish(named("x" * 1024 * 1024))
        foreign = OrderPlaced(order_id=uuid4(), customer_id=None, total=1, currency="EUR")
        with pytest.raises(UnknownEventTypeError):
            await transport.publish(EventEnvelope.new(uuid4(), foreign))
        assert transport.statistics().connector.messages_published == 0


async def test_it_works_in_postcard_too_and_reads_what_was_json_before() -> None:
    server, names = MemoryServer(), []

    async def note(envelope: EventEnvelope, context: DeliveryContext) -> None:
        names.append(envelope.event.name)

    tenant = uuid4()
    async with memory(server) as transport:
        await transport.publish(named("json", tenant))
    async with memory(server, serialization="postcard") as transport:
        transport.subscribe(group="g")(note)
        await transport.publish(named("postcard", tenant))
        async with transport.consuming():
            await until(lambda: len(names) == 2)
    assert names == ["json", "postcard"]


async def test_using_it_outside_async_with_is_refused() -> None:
    transport = memory()
    with pytest.raises(TransportClosedError):
        await transport.publish(named("x"))
    async with transport:
        await transport.publish(named("x"))
    for call in (transport.publish(named("x")), transport.publish_batch([named("x")]), transport.run()):
        with pytest.raises(TransportClosedError):
            await call
    with pytest.raises(TransportClosedError):
        await transport.open()
    await transport.aclose()


async def test_running_without_a_subscription_is_refused() -> None:
    async with memory() as transport:
        with pytest.raises(ConfigError, match="nothing is subscribed"):
            await transport.run()
        with pytest.raises(ConfigError, match="nothing is subscribed"):
            async with transport.consuming():
                pass


async def test_subscribing_before_it_is_entered_is_fine() -> None:
    names: list[str] = []
    transport = memory()

    @transport.subscribe(group="g", event_types=["thing.named"])
    def note(envelope: EventEnvelope, context: DeliveryContext) -> None:
        names.append(envelope.event.name)  # type: ignore[attr-defined]

    async with transport, transport.consuming():
        await transport.publish(named("x"))
        await until(lambda: names == ["x"])


async def test_an_unknown_event_type_cannot_be_subscribed_to() -> None:
    transport = memory()
    with pytest.raises(UnknownEventTypeError):
        transport.subscribe(group="g", event_types=["thing.misspelt"])(print)


async def test_sigterm_ends_run_after_what_is_in_flight() -> None:
    done: list[str] = []
    entered = threading.Event()
    async with memory() as transport:

        @transport.subscribe(group="g")
        async def slow(envelope: EventEnvelope, context: DeliveryContext) -> None:
            entered.set()
            await asyncio.sleep(0.05)
            done.append(envelope.event.name)

        await transport.publish(named("x"))
        running = asyncio.create_task(transport.run())
        await until(entered.is_set)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(running, 20)
        assert done == ["x"]
        assert set((await transport.lag(group="g", topic="domain")).values()) == {0}


async def test_its_groups_can_be_looked_at() -> None:
    async with MemoryTransport() as transport:
        transport.subscribe(group="billing")(lambda envelope, context: None)
        async with transport.consuming():

            async def created() -> bool:
                return bool(await transport.groups.list(topic="domain"))

            await until(created)
        (standing,) = await transport.groups.list(topic="domain")
    assert standing.group == "billing"


async def test_lag_of_a_topic_that_is_not_there() -> None:
    async with memory() as transport:
        with pytest.raises(NotFoundError):
            await transport.lag(group="g", topic="nothing")


async def test_another_partition_count_than_the_servers_is_a_conflict() -> None:
    server = MemoryServer()
    async with memory(server, topology={"domain_partitions": 2}):
        pass
    with pytest.raises(TopologyConflictError) as caught:
        async with memory(server, topology={"domain_partitions": 3}):
            pass
    assert caught.value.actual == {"domain.partitions": 2}, "letters are found in a dlq topic of any count"


async def test_health_tells_open_from_closed_and_names_the_durability() -> None:
    transport = memory()
    assert transport.health().status is HealthStatus.UNHEALTHY
    async with transport:
        report = transport.health()
        assert report.is_healthy, report.reasons
        assert report.engine == "memory"
        assert report.durability.keys() == {"domain", "system", "dlq"}
    assert transport.health().reasons == ("server: the transport is not open",)


async def test_a_stopped_subscription_makes_it_unhealthy() -> None:
    async with memory() as transport:

        @transport.subscribe(group="g", on_failure=Stop())
        async def fail(envelope: EventEnvelope, context: DeliveryContext) -> None:
            raise LookupError(envelope.event.name)

        await transport.publish(named("secret"))
        with pytest.raises(LookupError):
            await transport.run()
        report = transport.health()
        assert report.status is HealthStatus.UNHEALTHY
        assert report.reasons == ("consuming: a subscription stopped with LookupError",)


async def test_reliability_levels() -> None:
    assert memory().reliability_level is ReliabilityLevel.IN_MEMORY
    config = IggyConfig(mode="remote", remote={"password": "p"})
    assert IggyTransport(config).reliability_level is ReliabilityLevel.STREAMING


async def test_deliver_runs_one_handler_on_one_envelope() -> None:
    transport, seen = memory(), []

    async def note(envelope: EventEnvelope, context: DeliveryContext) -> None:
        seen.append((envelope, context.attempt))

    def note_in_thread(envelope: EventEnvelope, context: DeliveryContext) -> None:
        seen.append((envelope, threading.current_thread() is threading.main_thread()))

    envelope = named("x")
    await transport.deliver(note, envelope)
    await transport.deliver(note_in_thread, envelope)
    assert seen == [(envelope, 1), (envelope, False)]
    with pytest.raises(ValidationError):
        await transport.deliver(note, named(""))


async def test_deliver_raises_what_the_handler_raises() -> None:
    async def fail(envelope: EventEnvelope, context: DeliveryContext) -> None:
        raise LookupError("no")

    with pytest.raises(LookupError):
        await memory().deliver(fail, named("x"))
