"""Runs: order, failures, cancelling, limits, checkpoints, and what they leave alone."""

import asyncio
import json
import threading
import time
from pathlib import Path

import pytest
from msgspec import Struct

from rustok_iggy import (
    DeliveryContext,
    EventCatalog,
    EventEnvelope,
    IggyConfig,
    JsonSerializer,
    MemoryTransport,
    ReplayError,
    ReplayOptions,
    ReplayProgress,
    Retry,
    to_file,
)
from rustok_iggy_connector import MemoryServer, MessageSubscriber, ReceivedMessage
from tests.consumer.hosts import counted
from tests.replay.histories import SERIALIZER, TENANTS, Handled, opened, publish, store
from tests.waiting import until

pytestmark = pytest.mark.anyio


async def test_each_tenant_comes_in_order_and_tenants_side_by_side() -> None:
    running: set[object] = set()
    most = 0

    async def wait(envelope: EventEnvelope) -> None:
        nonlocal most
        assert envelope.tenant_id not in running, "two events of one tenant at once"
        running.add(envelope.tenant_id)
        most = max(most, len(running))
        await asyncio.sleep(0)
        running.discard(envelope.tenant_id)

    async with opened() as transport:
        await publish(transport, 200)
        handled = Handled(lambda envelope, context: wait(envelope))
        progress = await transport.run_replay(await transport.plan_replay(), handled)
        assert handled.numbers == {key: list(range(40)) for key in TENANTS}
        assert most > 1
        assert (progress.planned, progress.handled, progress.finished, progress.eta) == (200, 200, True, 0.0)


async def test_handlers_see_that_it_is_a_replay_and_which() -> None:
    async with opened() as transport:
        await publish(transport, 5)
        plan = await transport.plan_replay()
        first, second = Handled(), Handled()
        progress = await transport.run_replay(plan, first)
        await transport.run_replay(plan, second)
        (one,), (other,) = ({context.replay for _, context in each.seen} for each in (first, second))
        assert one == progress.replay_id
        assert one != other


async def test_plain_functions_run_in_threads() -> None:
    seen: list[int] = []

    def handle(envelope: EventEnvelope, context: DeliveryContext) -> None:
        seen.append(envelope.event.number)

    async with opened() as transport:
        await publish(transport, 20, tenants=TENANTS[:1])
        await transport.run_replay(await transport.plan_replay(), handle)
        assert seen == list(range(20))


async def test_a_failing_handler_stops_the_replay_at_its_position(tmp_path: Path) -> None:
    def fail(envelope: EventEnvelope, context: DeliveryContext) -> None:
        if envelope.event.number == 3:
            raise ValueError("secret")

    options = ReplayOptions(checkpoint=tmp_path / "checkpoint", retry=Retry(attempts=2, delay=0.001))
    async with opened(partitions=1) as transport:
        await publish(transport, 10, tenants=TENANTS[:1])
        plan, handled = await transport.plan_replay(), Handled(fail)
        with pytest.raises(ReplayError, match="offset 3 failed: its handler raised ValueError") as raised:
            await transport.run_replay(plan, handled, options=options)
        assert raised.value.position == ("domain", 0, 3)
        assert "secret" not in str(raised.value)
        assert isinstance(raised.value.__cause__, ValueError)
        assert handled.numbers[TENANTS[0]] == [0, 1, 2]
        written = json.loads((tmp_path / "checkpoint").read_text(encoding="utf-8"))
        assert (written["next_offsets"], written["handled"], written["finished"]) == ({"0": 3}, 3, False)


async def test_a_failure_that_passes_is_retried() -> None:
    attempts: list[int] = []

    def fail_once(envelope: EventEnvelope, context: DeliveryContext) -> None:
        attempts.append(context.attempt)
        if context.attempt == 1:
            raise ValueError

    async with opened() as transport:
        await publish(transport, 6)
        handled = Handled(fail_once)
        retry = Retry(attempts=2, delay=0.001)
        await transport.run_replay(await transport.plan_replay(), handled, options=ReplayOptions(retry=retry))
        assert len(handled.seen) == 6
        assert attempts.count(2) == 6


async def test_a_handler_that_hangs_fails_after_its_timeout() -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    async with opened(partitions=1) as transport:
        await publish(transport, 2)
        handled = Handled(lambda envelope, context: hang())
        with pytest.raises(ReplayError, match="TimeoutError"):
            await transport.run_replay(
                await transport.plan_replay(), handled, options=ReplayOptions(handler_timeout=0.02)
            )


async def test_a_handler_marked_forbidden_is_refused() -> None:
    class Host:
        async def pay(self, envelope: EventEnvelope, context: DeliveryContext) -> None: ...

    async with opened() as transport:
        host = Host()
        transport.subscribe(group="billing", replay="forbidden")(host.pay)
        plan = await transport.plan_replay()
        with pytest.raises(ReplayError, match=r"Host\.pay is subscribed with replay='forbidden'"):
            await transport.run_replay(plan, host.pay)
        await transport.run_replay(plan, Handled())


async def test_a_live_groups_offset_and_members_are_left_alone() -> None:
    async with opened() as transport:
        await publish(transport, 40)
        transport.subscribe(group="live")(Handled())
        async with transport.consuming():
            await until(lambda: transport.statistics().consuming.handled == 40)
        before = await transport.lag(group="live", topic="domain")
        await publish(transport, 10)
        await transport.run_replay(await transport.plan_replay(), Handled())
        after = await transport.lag(group="live", topic="domain")
        assert sum(after.values()) == sum(before.values()) + 10
        group = await transport._connector.admin.describe_group(stream="rustok", topic="domain", group="live")
        assert group is not None
        assert group.members == {}


async def test_cancelling_leaves_a_checkpoint_to_go_on_from(tmp_path: Path) -> None:
    options = ReplayOptions(checkpoint=tmp_path / "checkpoint", resume=True)
    gate = asyncio.Event()

    async def wait(envelope: EventEnvelope) -> None:
        if envelope.event.number >= 5:
            await gate.wait()

    async with opened() as transport:
        await publish(transport, 50)
        plan, handled = await transport.plan_replay(), Handled(lambda envelope, context: wait(envelope))
        running = asyncio.create_task(transport.run_replay(plan, handled, options=options))
        await until(lambda: len(handled.seen) == 25)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert len(handled.seen) == 25, "a cancelled handler counted"
        written = json.loads((tmp_path / "checkpoint").read_text(encoding="utf-8"))
        assert written["handled"] == 25
        gate.set()
        progress = await transport.run_replay(plan, handled, options=options)
        assert progress.replay_id == written["replay_id"]
        assert progress.handled == 50
        assert handled.numbers == {key: list(range(10)) for key in TENANTS}


async def test_cancelling_while_events_are_read_waits_for_no_handler(tmp_path: Path) -> None:
    options = ReplayOptions(checkpoint=tmp_path / "checkpoint", rate=2)
    async with opened() as transport:
        await publish(transport, 50)
        entered = asyncio.Event()

        async def hang() -> None:
            entered.set()
            await asyncio.Event().wait()

        handled = Handled(lambda envelope, context: hang())
        running = asyncio.create_task(transport.run_replay(await transport.plan_replay(), handled, options=options))
        await entered.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(running), 20)
        assert json.loads((tmp_path / "checkpoint").read_bytes())["handled"] == 0


async def test_a_thread_that_does_not_return_does_not_hold_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rustok_iggy.replay.handler_target.CANCELLED_HANDLERS_TIMEOUT", 0.05)
    entered, gate = threading.Event(), threading.Event()

    def hang(envelope: EventEnvelope, context: DeliveryContext) -> None:
        entered.set()
        gate.wait(60)

    async with opened(partitions=1) as transport:
        await publish(transport, 3, tenants=TENANTS[:1])
        plan, options = await transport.plan_replay(), ReplayOptions(checkpoint=tmp_path / "checkpoint")
        running = asyncio.create_task(transport.run_replay(plan, hang, options=options))
        try:
            await until(entered.is_set)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(running, 20)
            assert json.loads((tmp_path / "checkpoint").read_bytes())["handled"] == 0
        finally:
            gate.set()
            await until(lambda: all(task.get_name() != "end replay" for task in asyncio.all_tasks()))
        assert json.loads((tmp_path / "checkpoint").read_bytes())["handled"] == 0


async def test_older_versions_pass_through_the_upcasters() -> None:
    evolving = EventCatalog("evolving")

    class First(Struct, kw_only=True):
        number: int

    @evolving.event("thing.grown", version=2)
    class Grown(Struct, frozen=True, kw_only=True):
        number: int
        colour: str

    @evolving.upcaster("thing.grown", version=1, schema=First)
    def lift(old: First) -> Grown:
        return Grown(number=old.number, colour="grey")

    config = IggyConfig(topology={"domain_partitions": 1})
    async with MemoryTransport(config, catalog=evolving) as transport:
        new = EventEnvelope.new(TENANTS[0], Grown(number=1, colour="red"))
        old = JsonSerializer(evolving).encode(EventEnvelope.new(TENANTS[0], Grown(number=0, colour="red")))
        old = old.replace(b'"schema_version":2', b'"schema_version":1').replace(b',"colour":"red"', b"")
        await store(transport, old)
        await transport.publish(new)
        handled = Handled()
        await transport.run_replay(await transport.plan_replay(), handled)
        assert [envelope.event for envelope, _ in handled.seen] == [
            Grown(number=0, colour="grey"),
            Grown(number=1, colour="red"),
        ]


async def test_a_slow_tenant_holds_the_checkpoint_and_nobody_else(tmp_path: Path) -> None:
    options = ReplayOptions(checkpoint=tmp_path / "checkpoint", resume=True)
    gate = asyncio.Event()

    async def wait(envelope: EventEnvelope) -> None:
        if envelope.tenant_id == TENANTS[0]:
            await gate.wait()

    async with opened(partitions=1) as transport:
        await publish(transport, 50)
        plan, handled = await transport.plan_replay(), Handled(lambda envelope, context: wait(envelope))
        running = asyncio.create_task(transport.run_replay(plan, handled, options=options))
        await until(lambda: len(handled.seen) == 40)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        gate.set()
        progress = await transport.run_replay(plan, handled, options=options)
        assert progress.handled == 50, "what was above the watermark is counted once"
        assert handled.firsts == {key: list(range(10)) for key in TENANTS}


async def test_the_rate_is_kept() -> None:
    async with opened() as transport:
        await publish(transport, 21)
        plan, began = await transport.plan_replay(), time.monotonic()
        await transport.run_replay(plan, Handled(), options=ReplayOptions(rate=100))
        assert time.monotonic() - began >= 0.2


async def test_progress_is_reported_while_it_runs_and_at_the_end() -> None:
    seen: list[ReplayProgress] = []
    async with opened() as transport:
        await publish(transport, 40)
        await transport.run_replay(
            await transport.plan_replay(),
            Handled(lambda envelope, context: asyncio.sleep(0.01)),
            options=ReplayOptions(interval=0.01, max_concurrency=1),
            on_progress=seen.append,
        )
    assert len(seen) > 2
    assert [each.handled for each in seen] == sorted(each.handled for each in seen)
    assert not seen[-2].finished
    assert seen[-1].finished
    assert seen[-1].handled == 40
    assert any(each.eta for each in seen[:-1])


async def test_a_progress_callback_that_raises_ends_the_replay() -> None:
    def broken(progress: ReplayProgress) -> None:
        raise RuntimeError("the bar is gone")

    async with opened() as transport:
        await publish(transport, 20)
        with pytest.raises(RuntimeError, match="the bar is gone"):
            await transport.run_replay(
                await transport.plan_replay(),
                Handled(lambda envelope, context: asyncio.sleep(0.02)),
                options=ReplayOptions(interval=0.01, max_concurrency=1),
                on_progress=broken,
            )


async def test_what_cannot_be_decoded_stops_the_replay_or_is_counted(tmp_path: Path) -> None:
    async with opened(partitions=1) as transport:
        await store(
            transport, counted(0), SERIALIZER.encode(counted(1)).replace(b'"number":1', b'"number":"x"'), counted(2)
        )
        plan, handled = await transport.plan_replay(), Handled()
        with pytest.raises(ReplayError, match="offset 1 cannot be decoded") as raised:
            await transport.run_replay(plan, handled)
        assert raised.value.position == ("domain", 0, 1)
        assert [envelope.event.number for envelope, _ in handled.seen] == [0], "what came before it is finished"
        handled = Handled()
        options = ReplayOptions(undecodable="skip", checkpoint=tmp_path / "checkpoint")
        progress = await transport.run_replay(plan, handled, options=options)
        assert (progress.handled, progress.unreadable) == (2, 1)
        assert [envelope.event.number for envelope, _ in handled.seen] == [0, 2]


async def test_a_predicate_that_changed_since_the_plan_is_an_error() -> None:
    wanted = True
    async with opened() as transport:
        await publish(transport, 10)
        plan = await transport.plan_replay(predicate=lambda envelope: wanted or envelope.event.number == 0)
        wanted = False
        with pytest.raises(ReplayError, match="done with 5 events where its plan counted 10"):
            await transport.run_replay(plan, Handled())


class Shortened(MessageSubscriber):
    """A reader of a log that lost its beginning, or its end. The first two polls look whether it is the same log."""

    def __init__(self, inner: MessageSubscriber, *, first: int = 0, last: int = 10**9, after_polls: int = 0) -> None:
        self.inner, self.first, self.last, self.left = inner, first, last, after_polls

    def __getattr__(self, name: str) -> object:
        return getattr(self.inner, name)

    async def poll(self, partition_id: int, *, offset: int, max_messages: int) -> list[ReceivedMessage]:
        self.left -= 1
        begins = offset if self.left >= 0 else max(offset, self.first)
        found = await self.inner.poll(partition_id, offset=begins, max_messages=max_messages)
        return [each for each in found if each.offset <= self.last]

    assignment = committed = commit = peek = first_offset_since = lag = None

    async def leave(self) -> None:
        await self.inner.leave()


Shortened.__abstractmethods__ = frozenset()


@pytest.mark.parametrize(
    ("lost", "message", "handed_over"),
    [
        ({"first": 4}, "offsets 0 to 3 were removed by retention; 6 messages are left, from offset 4", 0),
        ({"first": 50}, "offsets 0 to 9 were removed by retention; 0 messages are left", 0),
        ({"first": 8, "after_polls": 3}, "offsets 5 to 7 were removed by retention; 2 messages are left", 5),
        ({"last": 6}, "the log ends before offset 7", 7),
    ],
)
async def test_messages_that_are_gone_are_an_error_that_says_what_is_left(
    lost: dict[str, int], message: str, handed_over: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rustok_iggy.replay.log_reader.BUFFERED_MESSAGES", 5)
    monkeypatch.setattr("rustok_iggy.replay.log_reader.PAUSE", 0)
    async with opened(MemoryServer(), partitions=1) as transport:
        if lost == {"first": 50}:
            await publish(transport, 60, tenants=TENANTS[:1])
        else:
            await publish(transport, 10, tenants=TENANTS[:1])
        plan, handled = await transport.plan_replay(end={0: 10}), Handled()
        subscribe = transport._connector.subscribe

        async def shortened(**names: str) -> MessageSubscriber:
            return Shortened(await subscribe(**names), **lost)

        monkeypatch.setattr(transport._connector, "subscribe", shortened)
        with pytest.raises(ReplayError, match=message):
            await transport.run_replay(plan, handled)
        assert len(handled.seen) == handed_over


async def test_a_cut_connection_is_mended() -> None:
    server = MemoryServer()
    cuts = 0

    def cut(envelope: EventEnvelope, context: DeliveryContext) -> None:
        nonlocal cuts
        if envelope.event.number % 20 == 0 and cuts < 3:
            cuts += 1
            server.hang_up()

    async with opened(server, partitions=1) as transport:
        await publish(transport, 2000, tenants=TENANTS[:1])
        handled = Handled(cut)
        await transport.run_replay(await transport.plan_replay(), handled)
        assert cuts == 3
        assert handled.numbers[TENANTS[0]] == list(range(2000))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 0}, "rate"),
        ({"interval": 0}, "interval"),
        ({"max_concurrency": 0}, "max_concurrency"),
        ({"handler_timeout": -1}, "handler_timeout"),
        ({"undecodable": "ignore"}, "none of stop, skip"),
        ({"resume": True}, "needs a checkpoint"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(ReplayError, match=message):
        ReplayOptions(**options)


async def test_a_checkpoint_belongs_to_one_plan_and_target_and_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    async with opened() as transport:
        await publish(transport, 10)
        plan = await transport.plan_replay()
        await transport.run_replay(plan, Handled(), options=ReplayOptions(checkpoint=path))
        with pytest.raises(ReplayError, match="resume from it, or remove it"):
            await transport.run_replay(plan, Handled(), options=ReplayOptions(checkpoint=path))
        again = ReplayOptions(checkpoint=path, resume=True)
        with pytest.raises(ReplayError, match="target is a handler"):
            await transport.run_replay(plan, to_file(tmp_path / "out"), options=again)
        with pytest.raises(ReplayError, match="another plan"):
            await transport.run_replay(await transport.plan_replay(end={0: 1}), Handled(), options=again)
        handled = Handled()
        assert (await transport.run_replay(plan, handled, options=again)).handled == 10
        assert handled.seen == [], "it was finished"
        path.write_bytes(b"{}")
        with pytest.raises(ReplayError, match="no checkpoint"):
            await transport.run_replay(plan, Handled(), options=again)
