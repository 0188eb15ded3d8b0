"""One event is one trace, from publish to handler, also as a dead letter, when redriven, and when replayed."""

import asyncio
import logging
from collections.abc import Iterator
from uuid import UUID

import pytest
from msgspec.structs import replace
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import SpanKind, StatusCode

from rustok_iggy import (
    EVERYTHING,
    DeliveryContext,
    EventEnvelope,
    IggyConfig,
    MemoryTransport,
    ParkTenant,
    Reject,
    Retry,
    RetryLater,
    ValidationError,
)
from rustok_iggy.tracing.spans import OpenTelemetryTracing, origin_of
from rustok_iggy_connector import InMemoryConnector, MemoryServer, get_logger
from tests.consumer.hosts import QUICK, TENANT, Counted, Recorder, catalog, counted
from tests.waiting import until

pytestmark = pytest.mark.anyio

log = get_logger("tests.tracing")


class Traced:
    """A provider whose spans can be looked at."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = self.provider.get_tracer("tests")
        self.tracing = OpenTelemetryTracing(self.provider)

    def transport(self, server: MemoryServer) -> MemoryTransport:
        config = IggyConfig(topology={"domain_partitions": 1}, consumer=QUICK)
        return MemoryTransport(config, catalog=catalog, connector=InMemoryConnector(server), tracing=self.tracing)

    def spans(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name == name]


@pytest.fixture
def traced() -> Iterator[Traced]:
    found = Traced()
    yield found
    found.provider.shutdown()


def trace_of(span: ReadableSpan) -> str:
    return trace.format_trace_id(span.context.trace_id)


async def test_an_event_is_handled_in_the_trace_it_was_published_in(traced: Traced) -> None:
    handler = Recorder()
    async with traced.transport(MemoryServer()) as host:
        host.subscribe(group="g")(handler)
        async with host.consuming():
            with traced.tracer.start_as_current_span("request") as request:
                confirmation = await host.publish(counted(1))
            await until(lambda: len(traced.spans("process domain")) == 1)
        (publish,), (process,) = traced.spans("publish domain"), traced.spans("process domain")
        assert publish.parent == request.get_span_context()
        assert process.parent.span_id == publish.context.span_id
        assert (publish.kind, process.kind) == (SpanKind.PRODUCER, SpanKind.CONSUMER)
        assert handler.seen[0][0].trace_id == trace_of(publish) == trace_of(process)
        assert process.attributes["messaging.message.id"] == str(confirmation.event_id)
        assert process.attributes["messaging.consumer.group.name"] == "g"
        assert publish.attributes["rustok.message.offset"] == confirmation.offset == 0


async def test_what_a_handler_publishes_stays_in_the_trace(traced: Traced) -> None:
    async with traced.transport(MemoryServer()) as host:

        @host.subscribe(group="g", event_types=[Counted])
        async def answer(envelope: EventEnvelope, context: object) -> None:
            if envelope.event.number == 1:
                await host.publish(EventEnvelope.new(TENANT, Counted(number=2), caused_by=envelope))

        async with host.consuming():
            await host.publish(counted(1))
            await until(lambda: len(traced.spans("process domain")) == 2)
        assert len({trace_of(span) for span in traced.exporter.get_finished_spans()}) == 1
        handled = {span.context.span_id for span in traced.spans("process domain")}
        assert traced.spans("publish domain")[1].parent.span_id in handled


async def test_a_batch_is_one_span_and_links_to_traces_its_events_come_from(traced: Traced) -> None:
    elsewhere = "0af7651916cd43dd8448eb211c80319c"
    events = [counted(1), replace(counted(2), trace_id=elsewhere), replace(counted(3), trace_id="no trace id")]
    handler = Recorder()
    async with traced.transport(MemoryServer()) as host:
        host.subscribe(group="g")(handler)
        async with host.consuming():
            await host.publish_batch(events)
            await until(lambda: len(traced.spans("process domain")) == 3)
    (batch,) = traced.spans("publish")
    assert batch.attributes["messaging.batch.message_count"] == 3
    assert [trace.format_trace_id(link.context.trace_id) for link in batch.links] == [elsewhere]
    assert [envelope.trace_id for envelope, _ in handler.seen] == [trace_of(batch), elsewhere, "no trace id"]
    processed = traced.spans("process domain")
    assert {span.parent.span_id for span in processed} == {batch.context.span_id}
    assert [trace.format_trace_id(link.context.trace_id) for span in processed for link in span.links] == [elsewhere]


async def test_a_message_without_a_header_goes_on_in_its_envelopes_trace(traced: Traced) -> None:
    """As RusToK writes them: the trace id, and no span."""
    server, seen = MemoryServer(), Recorder()
    foreign = replace(counted(1), trace_id="4bf92f3577b34da6a3ce929d0e0e4736")
    async with MemoryTransport(
        traced.transport(server).config, catalog=catalog, connector=InMemoryConnector(server)
    ) as rust:
        await rust.publish(foreign)
        await rust.publish(counted(2))
    async with traced.transport(server) as host:
        host.subscribe(group="g")(seen)
        async with host.consuming():
            await until(lambda: len(traced.spans("process domain")) == 2)
    first, second = traced.spans("process domain")
    assert trace_of(first) == foreign.trace_id
    assert first.parent == origin_of(foreign.trace_id, foreign.id)
    assert second.parent is None, "a trace of its own, not that of whoever started the consumer"


async def test_retry_letter_redrive_and_replay_stay_in_the_trace(traced: Traced) -> None:
    mended = False

    def fail(envelope: EventEnvelope) -> None:
        if not mended:
            raise LookupError("secret")

    handler = Recorder(fail)
    async with traced.transport(MemoryServer()) as host:
        host.subscribe(group="g", on_failure=ParkTenant(retry=Retry(attempts=2, delay=0.001)))(handler)
        async with host.consuming():
            await host.publish(counted(1))
            await until(lambda: host.statistics().consuming.letters == 1)
            mended = True
            await host.dead_letters.redrive(EVERYTHING, group="g", by="test")
            await until(lambda: host.statistics().consuming.redriven == 1)
        plan = await host.plan_replay(topic="domain")
        await host.run_replay(plan, Recorder())
    (publish,), attempts = traced.spans("publish domain"), traced.spans("process domain")
    assert [span.attributes["rustok.delivery.attempt"] for span in attempts] == [1, 2, 1, 1]
    assert {trace_of(span) for span in attempts} == {trace_of(publish)}
    assert {span.parent.span_id for span in attempts} == {publish.context.span_id}
    assert [span.status.status_code for span in attempts] == [StatusCode.ERROR] * 2 + [StatusCode.UNSET] * 2
    assert attempts[0].attributes["error.type"] == "LookupError"
    assert attempts[2].attributes["rustok.redrive.attempt"] == 1
    assert "rustok.replay.id" in attempts[3].attributes


async def test_no_payload_and_no_text_of_an_error_is_in_a_span(traced: Traced) -> None:
    def fail(envelope: EventEnvelope) -> None:
        raise LookupError("secret 31337")

    async with traced.transport(MemoryServer()) as host:
        host.subscribe(group="g", on_failure=ParkTenant(retry=Retry(attempts=1)))(Recorder(fail))
        async with host.consuming():
            await host.publish(counted(31337))
            await until(lambda: host.statistics().consuming.letters == 1)
    for span in traced.exporter.get_finished_spans():
        assert "31337" not in span.to_json()
        assert not span.events


@pytest.mark.parametrize(
    ("error", "signal"), [(Reject("no", park=False), "rejected"), (RetryLater(0.001), "retry_later")]
)
async def test_signals_of_a_handler_are_no_errors(traced: Traced, error: Exception, signal: str) -> None:
    raised = False

    def once(envelope: EventEnvelope) -> None:
        nonlocal raised
        if not raised:
            raised = True
            raise error

    async with traced.transport(MemoryServer()) as host:
        host.subscribe(group="g")(Recorder(once))
        async with host.consuming():
            await host.publish(counted(1))
            await until(lambda: len(traced.spans("process domain")) >= 1)
    span = traced.spans("process domain")[0]
    assert span.attributes["rustok.delivery.signal"] == signal
    assert span.status.status_code is StatusCode.UNSET


async def test_log_lines_of_a_handler_carry_its_trace(traced: Traced, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "tests.tracing")
    async with traced.transport(MemoryServer()) as host:

        @host.subscribe(group="g")
        def thread(envelope: EventEnvelope, context: object) -> None:
            log.info("in_a_thread")

        async with host.consuming():
            await host.publish(counted(1))
            await until(lambda: len(traced.spans("process domain")) == 1)
            log.info("outside")
    (span,) = traced.spans("process domain")
    inside, outside = (record for record in caplog.records if record.name == "tests.tracing")
    assert inside.facts == {"trace_id": trace_of(span), "span_id": trace.format_span_id(span.context.span_id)}
    assert outside.facts == {}


async def test_what_is_not_sampled_is_still_passed_on(traced: Traced) -> None:
    traced.tracing = OpenTelemetryTracing(TracerProvider(sampler=ALWAYS_OFF))
    handler = Recorder()
    async with traced.transport(MemoryServer()) as host:
        host.subscribe(group="g")(handler)
        async with host.consuming():
            await host.publish(counted(1))
            await until(lambda: handler.numbers == [1])
    assert handler.seen[0][0].trace_id is not None
    assert not traced.exporter.get_finished_spans()


async def test_what_is_no_envelope_is_refused_as_without_tracing(traced: Traced) -> None:
    async with traced.transport(MemoryServer()) as host:
        with pytest.raises(ValidationError):
            await host.publish("text")  # type: ignore[arg-type]
        with pytest.raises(ValidationError):
            await host.publish_batch(["text"])  # type: ignore[list-item]


@pytest.mark.parametrize("trace_id", [None, "", "0" * 32, "4bf92f35", "x" * 32, "4bf92f3577b34da6a3ce929d0e0e4736ff"])
def test_what_is_no_trace_id_names_no_trace(trace_id: str | None) -> None:
    assert origin_of(trace_id, UUID(int=5)) is None


async def test_a_hostile_header_is_no_parent(traced: Traced) -> None:
    with traced.tracing.handling(counted(1), _context(), {"traceparent": b"\xff00-zz", "tracestate": b"a=b"}):
        await asyncio.sleep(0)
    assert traced.spans("process t")[0].parent is None


def _context() -> DeliveryContext:
    return DeliveryContext(group="g", topic="t", partition_id=0, offset=0, stored_at=0)
