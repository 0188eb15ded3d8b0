"""Parking, dead letters and redrive over a server in memory: who goes on, who waits, and in which order."""

import asyncio
from typing import Any
from uuid import UUID

import pytest
from msgspec import Struct

from rustok_iggy import (
    Block,
    DeadLetter,
    DeliveryContext,
    EventCatalog,
    EventEnvelope,
    HealthStatus,
    IggyConfig,
    JsonSerializer,
    LetterSelection,
    MemoryTransport,
    NotFoundError,
    ParkTenant,
    PostcardSerializer,
    RawEvent,
    Reject,
    Retry,
    SerializationFormat,
)
from rustok_iggy.consumer import breaker
from rustok_iggy.dead_letters.records import Cause
from rustok_iggy.message import message_headers
from rustok_iggy_connector import BatchConfirmation, InMemoryConnector, MemoryServer, OutgoingMessage, PublishBatch
from tests.consumer.hosts import QUICK, TENANT, Recorder, catalog, counted, tenants, transport, until_lag
from tests.logs import event_of, facts_of
from tests.waiting import until

pytestmark = pytest.mark.anyio

AT_ONCE = Retry(attempts=1)
EVERYTHING = LetterSelection(everything=True)


class Ill:
    """Fails for some events of one tenant, as long as `numbers` holds them."""

    def __init__(self, tenant: UUID, *numbers: int) -> None:
        self.tenant = tenant
        self.numbers = set(numbers)

    def __call__(self, envelope: EventEnvelope) -> None:
        if envelope.tenant_id == self.tenant and envelope.event.number in self.numbers:  # type: ignore[attr-defined]
            raise LookupError("not there")


async def redrive(host: MemoryTransport, **options: Any) -> None:
    await host.dead_letters.redrive(EVERYTHING, group="g", by="test", **options)


async def test_a_failing_tenant_is_parked_the_others_go_on_and_a_redrive_keeps_its_order() -> None:
    ill, well = tenants(2)
    fail = Ill(ill, 2)
    handler = Recorder(fail)
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", on_failure=ParkTenant(retry=AT_ONCE))(handler)
        await host.publish_batch([counted(number, owner) for number in range(6) for owner in (ill, well)])
        async with host.consuming():
            await until(lambda: host.statistics().consuming.letters == 4)
            await until(lambda: len(handler.per_tenant()[well]) == 6)
            assert handler.per_tenant()[ill] == [0, 1]
            await host.publish(counted(6, ill))
            await until(lambda: host.statistics().consuming.letters == 5)
            # A process that did not run for three heartbeats is unhealthy until the server has answered again.
            await until(lambda: host.health().status is HealthStatus.DEGRADED)
            await until_lag(host, 0)
            fail.numbers.clear()
            await redrive(host)
            await until(lambda: handler.per_tenant()[ill] == [0, 1, 2, 3, 4, 5, 6])
            await until(lambda: host.statistics().consuming.redriven == 5)
            await until(lambda: host.health().is_healthy)
            await host.publish(counted(7, ill))
            await until(lambda: handler.per_tenant()[ill][-1] == 7)
            counts = host.statistics().consuming
        assert await host.lag(group="g", topic="domain") == {0: 0}
    assert counts.polled == counts.handled + counts.letters == 14
    redriven = [context for envelope, context in handler.seen if context.redrive is not None]
    assert [context.redrive.attempt for context in redriven] == [1] * 5


async def test_a_paused_tenants_letters_wait_without_using_up_attempts_or_holding_up_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fail = Ill(TENANT, 0)
    handler = Recorder(fail)
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", on_failure=ParkTenant(retry=AT_ONCE))(handler)
        await host.publish_batch([counted(number) for number in range(3)])
        async with host.consuming():
            await until(lambda: host.statistics().consuming.letters == 3)
            fail.numbers.clear()
            host.pause(group="g", tenant_id=TENANT)
            await redrive(host)
            (request,) = (await host.dead_letters.stats(group="g")).open_requests
            assert host._consumption is not None
            (member,) = host._consumption.members
            (partition,) = member._consumers.values()
            await until(lambda: any(each.request.id == request.id for each in partition.journal.journal.requests))
            for _ in range(3):  # heartbeats in which it could have begun
                await member.next_answer()
        assert "handlers_cancelled" not in caplog.text
        assert [each.redrives for each in (await host.dead_letters.list(group="g")).letters] == [0, 0, 0]
        async with host.consuming():
            host.resume(group="g", tenant_id=TENANT)
            await until(lambda: handler.numbers == [0, 1, 2])


async def test_a_letter_that_waits_for_its_turn_does_not_hold_up_the_end(caplog: pytest.LogCaptureFixture) -> None:
    """Its lane is paused after it was announced: it is left to whoever comes next, with no attempt used."""
    fail = Ill(TENANT, 0)
    handler = Recorder(fail)
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", on_failure=ParkTenant(retry=AT_ONCE))(handler)
        await host.publish(counted(0))
        async with host.consuming():
            await until(lambda: host.statistics().consuming.letters == 1)
            fail.numbers.clear()
            assert host._consumption is not None
            (member,) = host._consumption.members
            (partition,) = member._consumers.values()
            partition.runner.pause(TENANT)
            await redrive(host)
            await until(lambda: any(lane.items for lane in partition.runner.lanes))
        assert "handlers_cancelled" not in caplog.text
        assert [each.redrives for each in (await host.dead_letters.list(group="g")).letters] == [0]
        assert handler.numbers == []


async def test_a_rejected_event_is_kept_at_once_and_parks_unless_told_otherwise() -> None:
    kept, passing = tenants(2)

    def reject(envelope: EventEnvelope) -> None:
        if envelope.event.number == 1:  # type: ignore[attr-defined]
            raise Reject("never", park=envelope.tenant_id == kept)

    handler = Recorder(reject)
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", on_failure=Block())(handler)
        await host.publish_batch([counted(number, owner) for number in range(3) for owner in (kept, passing)])
        async with host.consuming():
            await until(lambda: host.statistics().consuming.letters == 3)
            await until(lambda: len(handler.seen) == 3)
            found = (await host.dead_letters.list(group="g")).letters
        assert handler.per_tenant() == {kept: [0], passing: [0, 2]}
        assert host.statistics().consuming.retried == 0
    assert [(each.tenant_id, each.cause, each.parks) for each in found] == [
        (kept, Cause.REJECTED, True),
        (passing, Cause.REJECTED, False),
        (kept, Cause.SEQUENCE, True),
    ]
    assert found[2].fingerprint == found[0].fingerprint, "one request by fingerprint frees both"


async def test_a_dead_letter_without_parking_lets_its_tenant_go_on_and_runs_again_in_its_lane() -> None:
    fail = Ill(TENANT, 1)
    handler = Recorder(fail)
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", on_failure=DeadLetter(retry=AT_ONCE))(handler)
        await host.publish_batch([counted(number) for number in range(4)])
        async with host.consuming():
            await until(lambda: handler.numbers == [0, 2, 3])
            await until_lag(host, 0)
            fail.numbers.clear()
            await redrive(host)
            await until(lambda: handler.numbers == [0, 2, 3, 1])
            await until(lambda: host.statistics().consuming.redriven == 1)
    assert handler.seen[-1][1].redrive is not None
    assert handler.seen[0][1].redrive is None


async def publish_raw(server: MemoryServer, payload: bytes, headers: dict[str, bytes]) -> None:
    async with InMemoryConnector(server) as raw:
        await raw.publish_batch(
            PublishBatch(
                stream="rustok",
                topic="domain",
                partition_id=0,
                messages=[OutgoingMessage(id=UUID(int=99), payload=payload, headers=headers)],
            )
        )


async def test_what_cannot_be_read_is_kept_byte_for_byte_and_parks_the_tenant_its_header_names() -> None:
    server, handler = MemoryServer(), Recorder()
    headers = message_headers(TENANT, format=SerializationFormat.JSON)
    other = tenants(1)[0]
    async with transport(server) as host:
        host.subscribe(group="g")(handler)
        await host.publish(counted(0))
        await publish_raw(server, b"\x00not an event", headers)
        await host.publish_batch([counted(2), counted(3, other)])
        async with host.consuming():
            await until(lambda: host.statistics().consuming.letters == 2)
            await until(lambda: len(handler.seen) == 2)
            await until_lag(host, 0)
            first, second = (await host.dead_letters.list(group="g")).letters
            shown = await host.dead_letters.show(first)
    assert handler.per_tenant() == {TENANT: [0], other: [3]}
    assert (first.cause, first.tenant_id, first.parks, first.event_type) == (Cause.UNDECODABLE, TENANT, True, None)
    assert (second.cause, second.parks) == (Cause.SEQUENCE, True)
    assert (shown.payload, dict(shown.headers)) == (b"\x00not an event", headers)
    assert "not an event" not in shown.message


async def test_what_cannot_be_read_and_names_nobody_holds_back_nobody_and_is_counted() -> None:
    server, handler = MemoryServer(), Recorder()
    async with transport(server) as host:
        host.subscribe(group="g")(handler)
        await publish_raw(server, b"\x00not an event", {})
        await host.publish(counted(1))
        async with host.consuming():
            await until(lambda: host.statistics().consuming.letters_without_tenant == 1)
            await until(lambda: handler.numbers == [1])
            await until_lag(host, 0)


@pytest.mark.parametrize("serializer", [JsonSerializer, PostcardSerializer])
async def test_an_unknown_event_type_is_delivered_raw_where_wanted(serializer: Any) -> None:
    server, handler = MemoryServer(), Recorder()
    later = EventCatalog("later")

    @later.event("thing.new")
    class New(Struct, frozen=True, kw_only=True):
        number: int

    envelope = EventEnvelope.new(TENANT, New(number=1))
    header = message_headers(TENANT, format=serializer.format)
    async with transport(server) as host:
        host.subscribe(group="g", unknown="deliver_raw")(handler)
        await publish_raw(server, serializer(later).encode(envelope), header)
        async with host.consuming():
            await until(lambda: len(handler.seen) == 1)
            await until_lag(host, 0)
    (found,) = (each for each, _ in handler.seen)
    assert (found.id, found.tenant_id, found.event_type) == (envelope.id, TENANT, "thing.new")
    assert found.timestamp == envelope.timestamp
    assert isinstance(found.event, RawEvent)
    assert found.event.format is serializer.format
    data = b'{"number":1}' if serializer is JsonSerializer else b"\x02\x00"  # zigzag 1, and the retry count behind it
    assert found.event.data == data
    assert "number" not in repr(found.event)


@pytest.mark.parametrize("unknown", ["dead_letter", "skip"])
async def test_an_unknown_event_type_is_kept_or_skipped(unknown: str) -> None:
    server, handler = MemoryServer(), Recorder()
    later = EventCatalog("later")

    @later.event("thing.new")
    class New(Struct, frozen=True, kw_only=True):
        number: int

    payload = JsonSerializer(later).encode(EventEnvelope.new(TENANT, New(number=1)))
    async with transport(server) as host:
        host.subscribe(group="g", unknown=unknown)(handler)
        await publish_raw(server, payload, {})
        await host.publish(counted(1))
        async with host.consuming():
            await until(lambda: host.statistics().consuming.polled == 2)
            await until_lag(host, 0)
            counts = host.statistics().consuming
    assert (counts.letters, counts.filtered, handler.numbers) == ((0, 1, [1]) if unknown == "skip" else (2, 0, []))


async def test_a_dependency_that_is_down_parks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "FIRST_PAUSE", 0.02)
    monkeypatch.setattr(breaker, "LONGEST_PAUSE", 0.04)
    down = True

    def fail(envelope: EventEnvelope) -> None:
        if down:
            raise ConnectionError("no database")

    owners = tenants(12)
    handler = Recorder(fail)
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", on_failure=ParkTenant(retry=Retry(attempts=2, delay=0.01, max_delay=0.02)))(handler)
        await host.publish_batch([counted(number, owner) for number in range(3) for owner in owners])
        async with host.consuming():
            await until(lambda: any("one after another is tried" in each for each in host.health().reasons))
            entered = handler.entered
            await until(lambda: handler.entered > entered + 20)  # probes, each the last attempt of its event
            down = False
            await until(lambda: len(handler.seen) == 36)
        assert host.statistics().consuming.letters == 0
    assert set(map(tuple, handler.per_tenant().values())) == {(0, 1, 2)}


async def test_a_letter_that_fails_again_stays_and_its_tenant_stays_parked(caplog: pytest.LogCaptureFixture) -> None:
    fail = Ill(TENANT, 1, 2)
    handler = Recorder(fail)
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", on_failure=ParkTenant(retry=AT_ONCE))(handler)
        await host.publish_batch([counted(number) for number in range(4)])
        async with host.consuming():
            await until(lambda: host.statistics().consuming.letters == 3)
            fail.numbers = {2}
            await redrive(host)
            await until(lambda: host.statistics().consuming.redrives_failed == 1)
            await until(lambda: not any("requests" in each for each in host.health().reasons))
            assert handler.numbers == [0, 1]
            left = (await host.dead_letters.list(group="g")).letters
            assert [(each.key.offset, each.redrives) for each in left] == [(2, 1), (3, 0)], "announced together"
            (told,) = [facts_of(each) for each in caplog.records if event_of(each) == "dead_letter_failed_again"]
            assert (told["offset"], told["event_id"]) == (2, str(left[0].event_id))
            assert (told["attempt"], told["error"], told["fingerprint"]) == (1, "LookupError", left[0].fingerprint)
            assert told.keys() >= {"group", "topic", "partition_id", "tenant_id", "request_id"}
            fail.numbers = set()
            await redrive(host)
            await until(lambda: handler.numbers == [0, 1, 2, 3])
            assert handler.seen[2][1].redrive.attempt == 2  # type: ignore[union-attr]


async def test_discarding_the_last_letter_frees_the_tenant() -> None:
    fail = Ill(TENANT, 1)
    handler = Recorder(fail)
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", on_failure=ParkTenant(retry=AT_ONCE))(handler)
        await host.publish_batch([counted(number) for number in range(3)])
        async with host.consuming():
            await until(lambda: host.statistics().consuming.letters == 2)
            page = await host.dead_letters.list(group="g")
            await host.dead_letters.discard(EVERYTHING, group="g", by="test", reason="of no use", seen=page.seen)
            await until(lambda: host.statistics().consuming.discarded == 2)
            await host.publish(counted(9))
            await until(lambda: handler.numbers == [0, 9])
            await until(lambda: host.health().is_healthy)


async def test_with_one_lane_a_partition_only_the_failing_tenant_is_parked() -> None:
    ill, well = tenants(2)
    fail = Ill(ill, 1)
    handler = Recorder(fail)
    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", ordering="partition", on_failure=ParkTenant(retry=AT_ONCE))(handler)
        await host.publish_batch([counted(number, owner) for number in range(4) for owner in (ill, well)])
        async with host.consuming():
            await until(lambda: handler.per_tenant() == {ill: [0], well: [0, 1, 2, 3]})
            await until(lambda: host.statistics().consuming.letters == 3)
            fail.numbers.clear()
            await redrive(host)
            await until(lambda: handler.per_tenant()[ill] == [0, 1, 2, 3])


async def test_a_dead_letter_topic_that_refuses_holds_the_lane_and_nobody_else() -> None:
    server = MemoryServer()
    ill, well = tenants(2)
    handler = Recorder(Ill(ill, 0))
    connector = Refusing(server)
    config = IggyConfig(topology={"domain_partitions": 1}, consumer=QUICK)
    async with MemoryTransport(config, catalog=catalog, connector=connector) as host:
        host.subscribe(group="g", on_failure=ParkTenant(retry=AT_ONCE))(handler)
        async with host.consuming():
            await until(lambda: host._consumption is not None and bool(host._consumption.members[0].partitions))
            await host.publish(counted(5, well))
            await until(lambda: handler.per_tenant().get(well) == [5])
            connector.refuses = True
            await host.publish_batch([counted(number, owner) for number in range(2) for owner in (ill, well)])
            await until(lambda: handler.per_tenant().get(well) == [5, 0, 1])
            await until(lambda: any("dead-letter topic cannot be used" in each for each in host.health().reasons))
            await until_lag(host, 4)
            connector.refuses = False
            await until(lambda: host.statistics().consuming.letters == 2)
            await until_lag(host, 0)


class Refusing(InMemoryConnector):
    """Takes no dead letters while told so."""

    refuses = False

    async def publish_batch(self, batch: PublishBatch) -> BatchConfirmation:
        if self.refuses and batch.topic == "dlq":
            raise NotFoundError("no such topic")
        return await super().publish_batch(batch)


async def test_a_tenant_stays_parked_at_the_next_owner_and_its_order_is_kept() -> None:
    server, ill = MemoryServer(), tenants(1)[0]
    fail = Ill(ill, 1)
    first, second = Recorder(fail), Recorder(fail)
    async with transport(server) as one, transport(server) as other:
        one.subscribe(group="g", on_failure=ParkTenant(retry=AT_ONCE))(first)
        other.subscribe(group="g", on_failure=ParkTenant(retry=AT_ONCE))(second)
        await one.publish_batch([counted(number, ill) for number in range(3)])
        async with other.consuming():
            async with one.consuming():
                await until(lambda: one.statistics().consuming.letters + other.statistics().consuming.letters == 2)
                await until_lag(one, 0)
            fail.numbers.clear()
            await other.publish(counted(3, ill))
            await until(lambda: one.statistics().consuming.letters + other.statistics().consuming.letters == 3)
            assert len(first.seen) + len(second.seen) == 1
            await redrive(other)
            await until(lambda: len(first.seen) + len(second.seen) == 4)
            await other.publish(counted(4, ill))
            await until(lambda: second.numbers[-1:] == [4])
    assert first.numbers + second.numbers == [0, 1, 2, 3, 4]


async def test_a_redriven_event_may_be_acknowledged_by_hand() -> None:
    fail, contexts = Ill(TENANT, 0), []

    async def handle(envelope: EventEnvelope, context: DeliveryContext) -> None:
        fail(envelope)
        contexts.append(context)

    async with transport(MemoryServer()) as host:
        host.subscribe(group="g", ack="manual", on_failure=ParkTenant(retry=AT_ONCE))(handle)
        await host.publish_batch([counted(0), counted(1)])
        async with host.consuming():
            await until(lambda: host.statistics().consuming.letters == 2)
            fail.numbers.clear()
            await redrive(host)
            await until(lambda: len(contexts) == 1)
            await asyncio.sleep(0.05)
            assert len(contexts) == 1, "the next letter waits for the acknowledgement"
            contexts[0].ack()
            await until(lambda: len(contexts) == 2)
            contexts[1].ack()
            await until(lambda: host.statistics().consuming.redriven == 2)
