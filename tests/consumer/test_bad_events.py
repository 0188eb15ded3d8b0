"""Events that this version of a service cannot read, or not any more: kept whole, and handled by one that can."""

import json
from typing import Any
from uuid import uuid4

import pytest
from msgspec import Struct, defstruct

from rustok_iggy import (
    EVERYTHING,
    EventCatalog,
    EventEnvelope,
    IggyConfig,
    LetterRequest,
    LetterSelection,
    MemoryTransport,
    ParkTenant,
    RedriveError,
    Reject,
    RequestProgress,
    RequestState,
    Retry,
)
from rustok_iggy.dead_letters.records import Cause
from rustok_iggy_connector import InMemoryConnector, MemoryServer, OutgoingMessage, PublishBatch
from tests.consumer.hosts import QUICK, TENANT, Recorder, counted, transport
from tests.consumer.scripted import SERIALIZER
from tests.logs import event_of, facts_of
from tests.waiting import until

pytestmark = pytest.mark.anyio
AT_ONCE = ParkTenant(retry=Retry(attempts=1))


def changed() -> Any:
    """The class of an event, as each version of a program declares it."""
    return defstruct("Changed", [("number", int)], frozen=True, kw_only=True)


def service(server: MemoryServer, *, version: int | None = 1) -> MemoryTransport:
    """Of a version that knows the event in this version; None: it does not know it."""
    catalog = EventCatalog("tests")
    old, new = changed(), changed()
    if version is not None:
        catalog.event("thing.changed", version=version)(new)
    if version == 2:
        catalog.upcaster("thing.changed", version=1, schema=old, to_version=2)(lambda event: new(number=event.number))
    catalog.event("thing.other")(type("Other", (Struct,), {}, frozen=True))
    config = IggyConfig(topology={"domain_partitions": 1}, consumer=QUICK)
    return MemoryTransport(config, catalog=catalog, connector=InMemoryConnector(server))


async def redriven(host: MemoryTransport) -> RequestProgress:
    request = await host.dead_letters.redrive(EVERYTHING, group="g", by="ada")
    return await host.dead_letters.wait(request, timeout=10)


async def published(server: MemoryServer, *numbers: int, version: int = 1) -> None:
    async with service(server, version=version) as host:
        event = host.catalog.by_type("thing.changed").event_class
        envelopes = [EventEnvelope.new(TENANT, event(number=number)) for number in numbers]
        (await host.publish_batch(envelopes)).raise_for_failures()


async def kept_by(server: MemoryServer, handler: Any, count: int, *, version: int | None) -> None:
    async with service(server, version=version) as host:
        host.subscribe(group="g", on_failure=AT_ONCE)(handler)
        async with host.consuming():
            await until(lambda: host.statistics().consuming.letters == count)


async def test_events_of_a_newer_version_wait_for_the_upgrade() -> None:
    server, old, new = MemoryServer(), Recorder(), Recorder()
    await published(server, 0)
    await published(server, 1, version=2)
    await published(server, 2)
    await kept_by(server, old, 2, version=1)
    assert old.numbers == [0]
    async with service(server, version=2) as host:
        first, second = (await host.dead_letters.list(group="g")).letters
        assert (first.cause, first.schema_version, first.error_type) == (
            Cause.UNDECODABLE,
            2,
            "rustok_iggy.errors.UnsupportedVersionError",
        )
        assert second.cause is Cause.SEQUENCE
        host.subscribe(group="g")(new)
        async with host.consuming():
            assert (await redriven(host)).handled == 2
    assert new.numbers == [1, 2]


async def test_a_letter_of_a_type_that_is_not_known_any_more_stays_until_it_is_again() -> None:
    server, healed = MemoryServer(), Recorder()
    await published(server, 0)
    await kept_by(server, Recorder(lambda envelope: 1 / 0), 1, version=1)
    async with service(server, version=None) as host:
        host.subscribe(group="g")(Recorder())
        async with host.consuming():
            result = await redriven(host)
            assert (result.state, result.handled, result.failed) == (RequestState.DONE, 0, 1)
        (letter,) = (await host.dead_letters.list(group="g")).letters
        assert letter.error_type == "rustok_iggy.errors.UnknownEventTypeError"
        shown = await host.dead_letters.show(letter)
        assert shown.envelope is None
        assert shown.payload
    async with service(server) as host:
        host.subscribe(group="g")(healed)
        async with host.consuming():
            assert (await redriven(host)).handled == 1
    assert healed.numbers == [0]


async def test_a_letter_of_a_type_that_is_not_handled_any_more_fails_and_says_so() -> None:
    server = MemoryServer()
    await published(server, 0)
    await kept_by(server, Recorder(lambda envelope: 1 / 0), 1, version=1)
    async with service(server) as host:
        host.subscribe(group="g", event_types=["thing.other"])(Recorder())
        async with host.consuming():
            assert (await redriven(host)).failed == 1
        (letter,) = (await host.dead_letters.list(group="g")).letters
        assert (letter.error_type, letter.redrives) == ("rustok_iggy.errors.ConsumerError", 0)


async def test_a_request_for_letters_that_are_settled_meanwhile_ends_with_nothing_done() -> None:
    server, handler = MemoryServer(), Recorder()
    await published(server, 0, 1)
    await kept_by(server, Recorder(lambda envelope: 1 / 0), 2, version=1)
    async with service(server) as host:
        manager = host.dead_letters
        requests: list[LetterRequest] = [
            await manager.redrive(EVERYTHING, group="g", by=name) for name in ("ada", "bob")
        ]
        seen = (await manager.list(group="g")).seen
        requests.append(await manager.discard(EVERYTHING, group="g", by="eve", reason="test", seen=seen))
        host.subscribe(group="g")(handler)
        async with host.consuming():
            results = [await manager.wait(each, timeout=10) for each in requests]
        assert [(each.state, each.handled + each.discarded, each.left) for each in results] == [
            (RequestState.DONE, 2, 0),
            (RequestState.DONE, 0, 0),
            (RequestState.DONE, 0, 0),
        ]
        assert handler.numbers == [0, 1]
        nothing = await manager.redrive(LetterSelection(tenants=(TENANT,)), group="g", by="ada")
        assert (nothing.letters, nothing.positions) == (0, {})
        assert (await manager.wait(nothing, timeout=10)).state is RequestState.DONE


@pytest.mark.parametrize("error", [LookupError("no"), Reject("no")])
async def test_a_raw_event_whose_handler_fails_becomes_a_letter_like_any_other(error: Exception) -> None:
    server = MemoryServer()
    await published(server, 0, 1)

    def fail(envelope: EventEnvelope) -> None:
        raise error

    async with service(server, version=None) as host:
        host.subscribe(group="g", on_failure=AT_ONCE, unknown="deliver_raw")(Recorder(fail))
        async with host.consuming():
            await until(lambda: host.statistics().consuming.letters == 2)


async def test_an_event_whose_upcaster_fails_becomes_a_letter_whatever_it_raises() -> None:
    class Unforeseen(Exception):  # noqa: N818 - no error of ours
        pass

    def fail(event: Any) -> Any:
        raise Unforeseen

    server = MemoryServer()
    await published(server, 0, 1)
    async with service(server, version=None) as host:
        host.catalog.event("thing.changed", version=2)(changed())
        host.catalog.upcaster("thing.changed", version=1, schema=changed(), to_version=2)(fail)
        host.subscribe(group="g", on_failure=AT_ONCE)(Recorder())
        async with host.consuming():
            await until(lambda: host.statistics().consuming.letters == 2)
        (letter, _) = (await host.dead_letters.list(group="g")).letters
    assert letter.cause is Cause.UNDECODABLE


@pytest.mark.parametrize("event_type", ["", "x" * 300])
async def test_an_event_whose_type_no_record_can_hold_becomes_a_letter_all_the_same(event_type: str) -> None:
    """Somebody else published it; refused as a letter it would hold its partition for ever."""
    async with transport(MemoryServer()) as host:
        await publish_with(host, event_type=event_type)
        host.subscribe(group="g", on_failure=AT_ONCE)(Recorder())
        async with host.consuming():
            await until(lambda: host.statistics().consuming.letters == 1)
        (letter,) = (await host.dead_letters.list(group="g")).letters
    assert letter.event_type == (event_type[:255] or None)


async def publish_with(host: MemoryTransport, **fields: Any) -> None:
    """Publish an event with other fields than it should have."""
    payload = json.dumps({**json.loads(SERIALIZER.encode(counted(0))), **fields}).encode()
    message = OutgoingMessage(id=uuid4(), payload=payload, headers={})
    stream = host.config.topology.stream_name
    batch = PublishBatch(stream=stream, topic="domain", partition_id=0, messages=[message])
    await host._connector.publish_batch(batch)


async def test_an_event_whose_id_cannot_be_read_has_a_letter_without_one(caplog: pytest.LogCaptureFixture) -> None:
    """That shows only when the whole is decoded; as an id of zeros, a limit would name it, and all of its kind."""
    async with transport(MemoryServer()) as host:
        await publish_with(host, id="not an id")
        host.subscribe(group="g", on_failure=AT_ONCE)(Recorder())
        async with host.consuming():
            await until(lambda: host.statistics().consuming.letters == 1)
            with pytest.raises(RedriveError, match="none of these letters has an event id"):
                await host.dead_letters.redrive(EVERYTHING, group="g", by="ada", limit=1)
        (letter,) = (await host.dead_letters.list(group="g")).letters
    assert (letter.cause, letter.event_id) == (Cause.UNDECODABLE, None)
    (told,) = [facts_of(record) for record in caplog.records if event_of(record) == "dead_letter_kept"]
    assert told["event_id"] == "None"
