"""EventBus and EventDispatcher: order, bounds, errors, closing, and numbers that add up."""

import asyncio
import logging
from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from rustok_iggy import (
    BackpressureError,
    ConfigError,
    DispatcherConfig,
    EventBus,
    EventDispatcher,
    EventEnvelope,
    EventHandler,
    ReliabilityLevel,
    TransportClosedError,
    ValidationError,
)
from tests.cancelling import at_each_wait
from tests.consumer.hosts import Counted, Ignored, counted
from tests.waiting import until

pytestmark = pytest.mark.anyio

TENANTS = tuple(UUID(int=number) for number in range(1, 5))


class Noting(EventHandler):
    """Notes what it handles. `before` may raise, or return what to wait for."""

    def __init__(self, before: Callable[[EventEnvelope], object] = lambda envelope: None) -> None:
        self.before = before
        self.seen: list[tuple[UUID, int]] = []
        self.errors: list[tuple[int, Exception]] = []
        self.calls = 0

    def handles(self, event: Struct) -> bool:
        return isinstance(event, Counted)

    async def handle(self, envelope: EventEnvelope) -> None:
        self.calls += 1
        waiting = self.before(envelope)
        if asyncio.iscoroutine(waiting):
            await waiting
        self.seen.append((envelope.tenant_id, envelope.event.number))

    async def on_error(self, envelope: EventEnvelope, error: Exception) -> None:
        self.errors.append((envelope.event.number, error))

    def of(self, tenant: UUID) -> list[int]:
        return [number for key, number in self.seen if key == tenant]


def dispatcher(bus: EventBus, *handlers: EventHandler, **config: object) -> EventDispatcher:
    made = EventDispatcher(bus, DispatcherConfig(**config))
    for handler in handlers:
        made.register(handler)
    return made


def balances(made: EventDispatcher) -> bool:
    stats = made.stats
    return stats.taken == stats.done + stats.abandoned + stats.queued


async def test_each_tenant_comes_in_order_and_tenants_side_by_side() -> None:
    running: set[UUID] = set()
    most = 0

    async def wait(envelope: EventEnvelope) -> None:
        nonlocal most
        assert envelope.tenant_id not in running
        running.add(envelope.tenant_id)
        most = max(most, len(running))
        await asyncio.sleep(0)
        running.discard(envelope.tenant_id)

    bus, handler = EventBus(), Noting(wait)
    async with dispatcher(bus, handler, max_concurrent=3) as running_dispatcher:
        for number in range(100):
            bus.publish_envelope(counted(number // 4, TENANTS[number % 4]))
    assert all(handler.of(tenant) == list(range(25)) for tenant in TENANTS)
    assert most == 3
    assert running_dispatcher.stats.done == running_dispatcher.stats.handled == 100
    assert balances(running_dispatcher)


async def test_an_event_that_comes_in_the_step_after_the_last_one_ended_is_handled_too() -> None:
    bus = EventBus()

    def publish_more(envelope: EventEnvelope) -> None:
        if envelope.event.number < 3:
            asyncio.get_running_loop().call_soon(bus.publish_envelope, counted(envelope.event.number + 1))

    handler = Noting(publish_more)
    async with dispatcher(bus, handler, max_concurrent=1):
        bus.publish_envelope(counted(0))
        await until(lambda: len(handler.seen) == 4)


async def test_every_handler_that_wants_an_event_gets_it() -> None:
    class Everything(Noting):
        def handles(self, event: Struct) -> bool:
            return True

    bus, one, other = EventBus(), Noting(), Everything()
    assert one.name.endswith("Noting")
    async with dispatcher(bus, one, other) as made:
        envelope = bus.publish(TENANTS[0], Counted(number=1))
        bus.publish(TENANTS[0], Ignored(number=2), actor_id=UUID(int=9))
    assert envelope.tenant_id == TENANTS[0]
    assert one.seen == [(TENANTS[0], 1)]
    assert other.seen == [(TENANTS[0], 1), (TENANTS[0], 2)]
    assert (made.stats.handled, made.stats.done) == (3, 2)


class NoException(BaseException):
    """As pytest's own outcomes are."""


@pytest.mark.parametrize("error", [NoException, GeneratorExit])
async def test_what_is_no_exception_is_a_failure_as_well(error: type[BaseException]) -> None:
    """Let out, it would hold its tenant for ever."""

    def fail(envelope: EventEnvelope) -> None:
        if envelope.event.number == 0:
            raise error

    bus, failing = EventBus(), Noting(fail)
    async with dispatcher(bus, failing) as made:
        for number in range(2):
            bus.publish(TENANTS[0], Counted(number=number))
    assert failing.of(TENANTS[0]) == [1]
    assert (made.stats.failed, made.stats.done, made.stats.abandoned) == (1, 2, 0)


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt])
def test_what_ends_the_process_is_let_out_and_holds_nobody_in_a_host_that_goes_on(error: type[BaseException]) -> None:
    def leave(envelope: EventEnvelope) -> None:
        if envelope.event.number == 0:
            raise error

    bus, leaving, other = EventBus(), Noting(leave), Noting()
    made = dispatcher(bus, leaving, other, max_concurrent=1, retry_count=2)

    async def publish() -> None:
        await made.__aenter__()
        for number in range(2):
            bus.publish(TENANTS[0], Counted(number=number))
        bus.publish(TENANTS[1], Counted(number=2))
        await until(lambda: False)

    with asyncio.Runner() as runner:
        publishing = runner.get_loop().create_task(publish())
        with pytest.raises(error):
            runner.get_loop().run_until_complete(publishing)
        publishing.cancel()
        runner.run(made.aclose())
    assert leaving.seen == other.seen == [(TENANTS[1], 2), (TENANTS[0], 1)]
    assert leaving.errors == []
    assert (made.stats.failed, made.stats.retried, made.stats.done, made.stats.abandoned) == (1, 0, 3, 0)


async def test_an_error_goes_to_on_error_and_ends_nothing_else() -> None:
    def fail(envelope: EventEnvelope) -> None:
        if envelope.event.number == 1:
            raise ValueError

    bus, failing, other = EventBus(), Noting(fail), Noting()
    async with dispatcher(bus, failing, other) as made:
        for number in range(3):
            bus.publish(TENANTS[0], Counted(number=number))
    assert failing.of(TENANTS[0]) == [0, 2]
    assert [(number, type(error)) for number, error in failing.errors] == [(1, ValueError)]
    assert other.of(TENANTS[0]) == [0, 1, 2]
    assert (made.stats.failed, made.stats.handled, made.stats.done) == (1, 5, 3)


async def test_fail_fast_gives_the_event_to_no_further_handler() -> None:
    def fail(envelope: EventEnvelope) -> None:
        raise ValueError

    bus, failing, other = EventBus(), Noting(fail), Noting()
    async with dispatcher(bus, failing, other, fail_fast=True):
        bus.publish(TENANTS[0], Counted(number=0))
    assert len(failing.errors) == 1
    assert other.seen == []


async def test_a_failed_handler_alone_is_tried_again_before_its_tenant_goes_on() -> None:
    def fail_twice(envelope: EventEnvelope) -> None:
        if envelope.event.number == 0 and failing.calls < 3:
            raise ValueError

    bus, failing, other = EventBus(), Noting(fail_twice), Noting()
    async with dispatcher(bus, other, failing, retry_count=2, retry_delay_ms=1) as made:
        bus.publish(TENANTS[0], Counted(number=0))
        bus.publish(TENANTS[0], Counted(number=1))
    assert failing.of(TENANTS[0]) == other.of(TENANTS[0]) == [0, 1]
    assert failing.errors == []
    assert (made.stats.retried, made.stats.failed) == (2, 0)


async def test_an_error_handler_that_fails_ends_nothing_either(caplog: pytest.LogCaptureFixture) -> None:
    class Hopeless(Noting):
        async def on_error(self, envelope: EventEnvelope, error: Exception) -> None:
            raise RuntimeError("also broken")

    def fail(envelope: EventEnvelope) -> None:
        if envelope.event.number == 0:
            raise ValueError

    bus, handler = EventBus(), Hopeless(fail)
    async with dispatcher(bus, handler):
        bus.publish(TENANTS[0], Counted(number=0))
        bus.publish(TENANTS[0], Counted(number=1))
    assert handler.of(TENANTS[0]) == [1]


async def test_a_handler_that_asks_badly_whether_it_wants_an_event_has_failed() -> None:
    class Broken(Noting):
        def handles(self, event: Struct) -> bool:
            raise KeyError

    bus, handler = EventBus(), Broken()
    async with dispatcher(bus, handler) as made:
        bus.publish(TENANTS[0], Counted(number=0))
    assert len(handler.errors) == 1
    assert made.stats.failed == 1


async def test_a_cancellation_that_a_handler_lets_escape_is_a_failure() -> None:
    def cancel(envelope: EventEnvelope) -> None:
        if envelope.event.number == 0:
            raise asyncio.CancelledError

    bus, handler = EventBus(), Noting(cancel)
    async with dispatcher(bus, handler, max_concurrent=1):
        bus.publish(TENANTS[0], Counted(number=0))
        bus.publish(TENANTS[0], Counted(number=1))
    assert [number for number, _ in handler.errors] == [0]
    assert handler.of(TENANTS[0]) == [1]


async def test_a_full_queue_refuses_for_all_dispatchers() -> None:
    gate = asyncio.Event()
    bus, slow, quick = EventBus(), Noting(lambda envelope: gate.wait()), Noting()
    async with dispatcher(bus, quick) as roomy, dispatcher(bus, slow, max_queue_depth=10) as full:
        for number in range(9):
            bus.publish(TENANTS[0], Counted(number=number))
        assert full.state == "critical"
        with pytest.raises(BackpressureError) as raised:
            bus.publish(TENANTS[0], Counted(number=9))
        assert raised.value.retryable
        assert raised.value.depth == 9
        gate.set()
        await until(lambda: full.depth == 0)
        bus.publish(TENANTS[0], Counted(number=10))
    assert quick.of(TENANTS[0]) == slow.of(TENANTS[0]) == [*range(9), 10]
    assert (full.stats.rejected, roomy.stats.rejected) == (1, 0)
    assert (bus.stats.published, bus.stats.rejected, bus.stats.unheard) == (10, 1, 0)
    assert balances(roomy)
    assert balances(full)


async def test_closing_finishes_what_is_queued_within_its_deadline() -> None:
    bus, handler = EventBus(), Noting(lambda envelope: asyncio.sleep(0.001))
    made = dispatcher(bus, handler)
    async with made:
        for number in range(20):
            bus.publish(TENANTS[0], Counted(number=number))
    assert handler.of(TENANTS[0]) == list(range(20))
    assert bus.publish(TENANTS[0], Counted(number=20))
    assert bus.stats.unheard == 1
    await made.aclose()
    with pytest.raises(TransportClosedError):
        await made.__aenter__()


async def test_what_the_deadline_leaves_is_cancelled_abandoned_and_said(caplog: pytest.LogCaptureFixture) -> None:
    bus, handler = EventBus(), Noting(lambda envelope: asyncio.Event().wait())
    made = dispatcher(bus, handler, max_concurrent=2)
    async with made:
        for number in range(10):
            bus.publish(TENANTS[number % 4], Counted(number=number))
        await until(lambda: handler.calls == 2)
        with caplog.at_level(logging.ERROR):
            await made.aclose(timeout=0.02)
    assert handler.seen == []
    assert (made.stats.abandoned, made.stats.handled, made.stats.queued) == (10, 0, 0)
    assert "events_abandoned" in caplog.text
    assert balances(made)


async def test_a_handler_that_swallows_its_cancellation_has_not_handled_its_event() -> None:
    async def stubborn() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    bus, handler = EventBus(), Noting(lambda envelope: stubborn())
    made = dispatcher(bus, handler)
    async with made:
        for number in range(3):
            bus.publish(TENANTS[0], Counted(number=number))
        await until(lambda: handler.calls == 1)
        await made.aclose(timeout=0.02)
    assert handler.calls == 1, "nothing begins once it is given up"
    assert (made.stats.handled, made.stats.done, made.stats.abandoned) == (0, 0, 3)


async def test_cancelling_the_close_gives_the_rest_up_at_once() -> None:
    bus, handler = EventBus(), Noting(lambda envelope: asyncio.Event().wait())
    made = dispatcher(bus, handler)

    async def host() -> None:
        async with made:
            bus.publish(TENANTS[0], Counted(number=0))
            await until(lambda: handler.calls == 1)

    task = asyncio.create_task(host())
    await until(lambda: handler.calls == 1)
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert made.stats.abandoned == 1


async def test_wherever_its_close_is_cancelled_what_is_left_is_counted() -> None:
    for cancellation in at_each_wait():
        bus, handler = EventBus(), Noting(lambda envelope: asyncio.Event().wait())
        made = dispatcher(bus, handler)
        await made.__aenter__()
        bus.publish(TENANTS[0], Counted(number=0))
        await until(lambda calls=handler: calls.calls == 1)  # type: ignore[misc]
        await cancellation(made.aclose(timeout=0.01))
        assert (made.stats.abandoned, made.stats.queued) == (1, 0), cancellation.place


async def test_what_is_no_event_is_refused_before_anybody_gets_it() -> None:
    bus, handler = EventBus(), Noting()
    async with dispatcher(bus, handler):
        with pytest.raises(ValidationError):
            bus.publish(UUID(int=0), Counted(number=0))
    assert handler.seen == []
    assert bus.stats.published == 0
    assert bus.reliability_level is ReliabilityLevel.IN_MEMORY


def test_defaults_are_those_of_rustok() -> None:
    config = DispatcherConfig()
    assert (config.fail_fast, config.max_concurrent, config.retry_count) == (False, 10, 0)
    assert (config.retry_delay_ms, config.max_queue_depth) == (100, 10_000)


def test_wrong_settings_are_reported_together() -> None:
    with pytest.raises(ConfigError) as raised:
        DispatcherConfig(max_concurrent=0, max_queue_depth=0, retry_count=-1, retry_delay_ms=-1)
    assert len(raised.value.problems) == 4


@given(
    events=st.lists(st.tuples(st.sampled_from(TENANTS), st.sampled_from(["ok", "fail", "slow"])), max_size=30),
    concurrent=st.integers(1, 4),
    retries=st.integers(0, 2),
)
def test_numbers_add_up_and_order_holds_whatever_handlers_do(
    events: list[tuple[UUID, str]], concurrent: int, retries: int
) -> None:
    def behave(envelope: EventEnvelope) -> object:
        kind = events[envelope.event.number][1]
        if kind == "fail":
            raise ValueError
        return asyncio.sleep(0) if kind == "slow" else None

    async def scenario() -> None:
        bus, handler = EventBus(), Noting(behave)
        config = {"max_concurrent": concurrent, "retry_count": retries, "retry_delay_ms": 0}
        async with dispatcher(bus, handler, **config) as made:
            for number, (tenant, _) in enumerate(events):
                bus.publish(tenant, Counted(number=number))
                assert balances(made)
        stats = made.stats
        assert stats.done == stats.taken == bus.stats.published == len(events)
        assert (stats.handled, stats.failed) == (len(handler.seen), len(handler.errors))
        assert stats.retried == stats.failed * retries
        assert stats.handled + stats.failed == len(events)
        for tenant in TENANTS:
            assert handler.of(tenant) == sorted(handler.of(tenant))

    asyncio.run(scenario())
