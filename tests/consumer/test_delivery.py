"""From a message to a handler's return."""

import asyncio
import threading
from collections.abc import Awaitable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from uuid import uuid4

import pytest
from msgspec import Struct
from msgspec.structs import replace

from rustok_iggy import (
    DecodeError,
    DeliveryContext,
    EventCatalog,
    EventEnvelope,
    JsonSerializer,
    Position,
    PostcardSerializer,
    SerializationFormat,
    UnknownEventTypeError,
)
from rustok_iggy.consumer.delivery import EnvelopeReader, at_position, runner
from rustok_iggy.message import message_headers
from rustok_iggy_connector import ReceivedMessage
from tests.waiting import until

catalog, older = EventCatalog("tests"), EventCatalog("older")
TENANT = uuid4()
PLACE = Position("domain", 3, 17)
CONTEXT = DeliveryContext(group="g", generation=1, topic="t", partition_id=0, offset=0, stored_at=0)


@catalog.event("thing.named")
class Named(Struct, frozen=True):
    name: str


SERIALIZERS = {
    SerializationFormat.JSON: JsonSerializer(catalog),
    SerializationFormat.POSTCARD: PostcardSerializer(catalog),
}
ENVELOPE = EventEnvelope.new(TENANT, Named(name="x"))


def message(payload: bytes, written_as: SerializationFormat | None = None) -> ReceivedMessage:
    headers = {} if written_as is None else message_headers(TENANT, format=written_as)
    return ReceivedMessage(17, 1, payload, 0, lambda: headers)


def reader(format: SerializationFormat = SerializationFormat.JSON) -> EnvelopeReader:
    return EnvelopeReader(SERIALIZERS, format)


@pytest.mark.parametrize("format", list(SerializationFormat))
def test_the_configured_format_needs_no_header(format: SerializationFormat) -> None:
    assert reader(format).open(message(SERIALIZERS[format].encode(ENVELOPE))).decode() == ENVELOPE


@pytest.mark.parametrize("format", list(SerializationFormat))
def test_the_header_names_the_other_format(format: SerializationFormat) -> None:
    (other,) = set(SerializationFormat) - {format}
    assert reader(format).open(message(SERIALIZERS[other].encode(ENVELOPE), other)).decode() == ENVELOPE


def test_an_event_is_decoded_only_when_it_is_wanted() -> None:
    broken = SERIALIZERS[SerializationFormat.JSON].encode(ENVELOPE).replace(b'"name":"x"', b'"name":12')
    opened = reader().open(message(broken))
    assert (opened.event_type, opened.tenant_id) == ("thing.named", TENANT)
    with pytest.raises(DecodeError):
        opened.decode()


@pytest.mark.parametrize("written_as", [None, *SerializationFormat])
def test_what_cannot_be_read_names_its_position(written_as: SerializationFormat | None) -> None:
    with pytest.raises(DecodeError) as caught:
        reader().open(message(b"\xff secret", written_as))
    located = str(at_position(PLACE, caught.value))
    assert "topic domain, partition 3, offset 17" in located
    assert "secret" not in located


def test_an_undeclared_type_is_said() -> None:
    unknown = SERIALIZERS[SerializationFormat.JSON].encode(ENVELOPE).replace(b"thing.named", b"thing.other")
    with pytest.raises(UnknownEventTypeError):
        reader().open(message(unknown)).decode()


@pytest.mark.anyio
async def test_a_thread_sees_the_callers_context_variables() -> None:
    request: ContextVar[str] = ContextVar("request")
    request.set("r1")
    seen: list[object] = []

    def handler(envelope: EventEnvelope, context: DeliveryContext) -> None:
        seen.append((request.get(), threading.current_thread() is threading.main_thread()))

    with ThreadPoolExecutor(1) as threads:
        await runner(handler, threads)(ENVELOPE, CONTEXT)
    assert seen == [("r1", False)]


@pytest.mark.anyio
async def test_a_cancelled_call_ends_when_its_thread_does() -> None:
    began, release, ended = threading.Event(), threading.Event(), threading.Event()

    def handler(envelope: EventEnvelope, context: DeliveryContext) -> None:
        began.set()
        release.wait(5)
        ended.set()

    with ThreadPoolExecutor(1) as threads:
        task = asyncio.ensure_future(runner(handler, threads)(ENVELOPE, CONTEXT))
        await asyncio.to_thread(began.wait, 5)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0)
        assert not task.done()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()


@pytest.mark.anyio
async def test_a_cancelled_call_that_waits_for_a_thread_never_begins() -> None:
    """The partition was lost: its new owner runs the event, and this process must not begin it, however late."""
    begun: list[int] = []
    may_end = threading.Event()

    def handler(envelope: EventEnvelope, context: DeliveryContext) -> None:
        begun.append(context.offset)
        may_end.wait()

    with ThreadPoolExecutor(1) as threads:
        run = runner(handler, threads)
        first = asyncio.create_task(run(ENVELOPE, CONTEXT))
        try:
            await until(lambda: begun == [0])
            waiting = asyncio.create_task(run(ENVELOPE, replace(CONTEXT, offset=1)))
            await asyncio.sleep(0)
            waiting.cancel()
            await until(waiting.done)
            assert waiting.cancelled()
        finally:
            may_end.set()
            await first
    assert begun == [0]


@pytest.mark.anyio
async def test_what_a_plain_function_returns_is_awaited() -> None:
    """A decorator before an `async def` has run nothing of it yet."""
    seen: list[EventEnvelope] = []

    async def note(envelope: EventEnvelope, context: DeliveryContext) -> None:
        seen.append(envelope)

    def before(envelope: EventEnvelope, context: DeliveryContext) -> Awaitable[None]:
        return note(envelope, context)

    with ThreadPoolExecutor(1) as threads:
        await runner(before, threads)(ENVELOPE, CONTEXT)
    assert seen == [ENVELOPE]
