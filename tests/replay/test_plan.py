"""Plans: what they count, how they are saved, which bounds they take."""

import asyncio
import json
from datetime import datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest

from rustok_iggy import EventEnvelope, ReplayError, ReplayPlan, UnknownEventTypeError
from rustok_iggy.replay.planning import Census
from rustok_iggy_connector import MemoryServer
from tests.consumer.hosts import Counted, Ignored, counted
from tests.replay.histories import SERIALIZER, TENANTS, Handled, opened, publish, store

pytestmark = pytest.mark.anyio


def is_even(envelope: EventEnvelope) -> bool:
    return isinstance(envelope.event, Counted) and envelope.event.number % 2 == 0


async def test_a_plan_counts_every_event_by_tenant_and_type() -> None:
    async with opened() as transport:
        await publish(transport, 50)
        await transport.publish(EventEnvelope.new(TENANTS[0], Ignored(number=1)))
        plan = await transport.plan_replay()
        assert plan.events == 51
        assert plan.per_tenant == {tenant: 11 if tenant == TENANTS[0] else 10 for tenant in TENANTS}
        assert plan.per_type == {"thing.counted": 50, "thing.ignored": 1}
        assert sum(each.messages for each in plan.partitions) == 51
        assert plan.seconds_at(5) == 51 / 5
        with pytest.raises(ReplayError, match="not above 0"):
            plan.seconds_at(0)


async def test_a_plan_names_what_is_wanted_and_counts_only_that() -> None:
    async with opened() as transport:
        await publish(transport, 50)
        plan = await transport.plan_replay(tenants=TENANTS[:2], event_types=[Counted], predicate=is_even)
        assert plan.per_tenant == dict.fromkeys(TENANTS[:2], 5)
        handled = Handled()
        await transport.run_replay(plan, handled)
        assert handled.numbers == {key: [0, 2, 4, 6, 8] for key in TENANTS[:2]}


async def test_bounds_by_offset_are_half_open() -> None:
    async with opened(partitions=1) as transport:
        await publish(transport, 10, tenants=TENANTS[:1])
        plan = await transport.plan_replay(start={0: 3}, end={0: 7})
        assert (plan.events, plan.partitions[0].start, plan.partitions[0].end) == (4, 3, 7)
        handled = Handled()
        await transport.run_replay(plan, handled)
        assert handled.numbers[TENANTS[0]] == [3, 4, 5, 6]
        assert (await transport.plan_replay(start={0: 7}, end={0: 3})).events == 0
        assert (await transport.plan_replay(end={0: 999})).events == 10


async def test_bounds_by_time_are_half_open() -> None:
    now = 1_800_000_000_000_000

    def tick() -> int:
        return now

    async with opened(MemoryServer(now=tick), partitions=1) as transport:
        for number in range(6):
            await transport.publish(counted(number))
            now += 1_000_000
        first = datetime.fromisoformat("2027-01-15T08:00:00+00:00")
        plan = await transport.plan_replay(start=first + timedelta(seconds=1), end=first + timedelta(seconds=4))
        assert (plan.partitions[0].start, plan.partitions[0].end) == (1, 4)
        later = await transport.plan_replay(start=first + timedelta(days=1))
        assert later.events == 0


async def test_events_published_later_are_not_in_the_plan() -> None:
    async with opened() as transport:
        await publish(transport, 20)
        plan = await transport.plan_replay()
        await publish(transport, 20)
        handled = Handled()
        await transport.run_replay(plan, handled)
        assert len(handled.seen) == plan.events == 20


@pytest.mark.parametrize(
    ("selection", "message"),
    [
        ({"start": datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001 - that is what is wrong with it
        ({"end": {0: -1}}, "neither of them negative"),
        ({"end": 7}, "offsets by partition"),
        ({"start": {5: 0}}, "partitions 0 to 1"),
        ({"topic": "dlq"}, "domain and system"),
        ({"predicate": "nowhere:nothing"}, "no such function"),
    ],
)
async def test_what_is_no_plan_is_refused(selection: dict[str, object], message: str) -> None:
    async with opened() as transport:
        await publish(transport, 4)
        with pytest.raises(ReplayError, match=message):
            await transport.plan_replay(**selection)


async def test_names_that_do_not_exist_are_refused() -> None:
    async with opened() as transport:
        with pytest.raises(UnknownEventTypeError):
            await transport.plan_replay(event_types=["no.such"])
        with pytest.raises(TypeError, match="takes no stop"):
            await transport.plan_replay(stop=3)


async def test_a_plan_is_a_file_without_payloads(tmp_path: Path) -> None:
    async with opened() as transport:
        await publish(transport, 20)
        plan = await transport.plan_replay(tenants=TENANTS[:3], event_types=["thing.counted"], predicate=is_even)
        plan.save(tmp_path / "plan.json")
        assert ReplayPlan.load(tmp_path / "plan.json") == plan
        assert ReplayPlan.load(tmp_path / "plan.json").fingerprint == plan.fingerprint
        text = (tmp_path / "plan.json").read_text(encoding="utf-8")
        assert '"number"' not in text
        written = json.loads(text)
        assert written["version"] == 1
        assert written["predicate"] == f"{__name__}:is_even"
        handled = Handled()
        await transport.run_replay(ReplayPlan.load(tmp_path / "plan.json"), handled)
        assert len(handled.seen) == plan.events


async def test_a_predicate_that_cannot_be_imported_cannot_be_saved(tmp_path: Path) -> None:
    async with opened() as transport:
        await publish(transport, 4)
        plan = await transport.plan_replay(predicate=lambda envelope: True)
        with pytest.raises(ReplayError, match="cannot be saved"):
            plan.save(tmp_path / "plan.json")
        assert list(tmp_path.iterdir()) == []


async def test_a_predicate_that_raises_is_an_error_with_its_position() -> None:
    def broken(envelope: EventEnvelope) -> bool:
        raise KeyError("secret")

    async with opened(partitions=1) as transport:
        await publish(transport, 4)
        with pytest.raises(ReplayError, match="raised KeyError") as raised:
            await transport.plan_replay(predicate=broken)
        assert raised.value.position == ("domain", 0, 0)
        assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version 2"),
        ({"colour": "red"}, "colour"),
        ({"predicate": 7}, "predicate"),
        ({"partitions": [{"partition_id": 0, "start": 5, "end": 4}]}, "no range"),
        ({"partitions": [{"partition_id": 0, "start": 0, "end": 4}] * 2}, "twice"),
        ({"partitions": [{"partition_id": 0, "start": 0, "end": 4, "copies": [[3, 9]]}]}, "copies"),
    ],
)
async def test_a_file_that_is_no_plan_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    async with opened() as transport:
        await publish(transport, 4)
        path = tmp_path / "plan.json"
        (await transport.plan_replay()).save(path)
        await asyncio.to_thread(
            path.write_text, json.dumps({**json.loads(path.read_text(encoding="utf-8")), **change}), encoding="utf-8"
        )
        with pytest.raises(ReplayError, match=message):
            ReplayPlan.load(path)


async def test_copies_are_pinned_in_the_plan_and_handed_over_once() -> None:
    async with opened(partitions=1) as transport:
        events = [counted(number) for number in range(6)]
        await store(transport, *events[:3], *events[1:3], events[3], events[0], *events[4:])
        plan = await transport.plan_replay()
        assert plan.partitions[0].copies == ((3, 5), (6, 7))
        assert plan.events == 6
        handled = Handled()
        await transport.run_replay(plan, handled)
        assert handled.numbers == {events[0].tenant_id: [0, 1, 2, 3, 4, 5]}


async def test_what_cannot_be_read_is_counted_unless_it_is_another_tenants() -> None:
    async with opened(partitions=1) as transport:
        await publish(transport, 3)
        await store(transport, b"no event")
        assert (await transport.plan_replay()).unreadable == 1
        assert (await transport.plan_replay(tenants=[TENANTS[0]])).unreadable == 1


def test_counts_are_bounded_and_say_how_many_are_not_among_them() -> None:
    census = Census(max_counts=3)
    census.begin_partition()
    for number in range(10):
        census.count(SERIALIZER.open(SERIALIZER.encode(counted(number, UUID(int=1 + number % 5)))), 10)
    assert (census.events, census.uncounted, len(list(census.counts()))) == (10, 4, 3)


def test_too_many_runs_of_copies_are_an_error() -> None:
    census = Census(max_copy_ranges=1)
    census.begin_partition()
    assert not census.is_copy(1, 0)
    assert census.is_copy(1, 1)
    assert census.is_copy(1, 2)
    assert not census.is_copy(2, 3)
    with pytest.raises(ReplayError, match="more than 1 runs"):
        census.is_copy(2, 4)
    census.begin_partition()
    assert not census.is_copy(uuid4().int, 0)
