"""Whenever a run is cut short, and whichever checkpoint is left: the runs together are the one that was not cut."""

import asyncio
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rustok_iggy import MemoryTransport, ReplayError, ReplayOptions, ReplayPlan, ReplayProgress, to_file
from rustok_iggy.replay.plan import PartitionRange
from rustok_iggy.replay.replay_run import Copies
from tests.consumer.hosts import counted
from tests.replay.histories import TENANTS, Handled, opened, store

COUNT = 20
BATCH = 3


class CutError(Exception):
    """The run ends here."""


class Reports:
    """Keeps every checkpoint that was ever on disk; ends the run at the given one."""

    def __init__(self, path: Path, *, cut_at: int) -> None:
        self._path = path
        self._left = cut_at
        self.checkpoints: list[bytes] = []

    def __call__(self, progress: ReplayProgress) -> None:
        self.checkpoints.append(self._path.read_bytes())
        self._left -= 1
        if self._left < 0 and not progress.finished:
            raise CutError


async def history(transport: MemoryTransport, *, copies: list[int]) -> dict[UUID, list[int]]:
    """Two partitions, with late copies of what was stored before."""
    stored: dict[UUID, list[int]] = {}
    for partition_id in (0, 1):
        tenants = TENANTS[partition_id::2]
        events = [counted(number, tenants[number % len(tenants)]) for number in range(COUNT // 2)]
        for index in range(0, COUNT // 2, BATCH):
            repeated = [events[each] for each in copies if each < index]
            await store(transport, *repeated, *events[index : index + BATCH], partition_id=partition_id)
        for each in events:
            stored.setdefault(each.tenant_id, []).append(each.event.number)
    return stored


async def run_with_cuts(
    transport: MemoryTransport, plan: ReplayPlan, target: object, directory: Path, cuts: list[tuple[int, int]]
) -> ReplayProgress:
    """Cut the run at each report, and go on from one of the checkpoints it had written, the last or an older one."""
    path = directory / "checkpoint"
    options = ReplayOptions(checkpoint=path, resume=True, interval=1e-9, max_concurrency=2)
    for cut_at, older in cuts:
        reports = Reports(path, cut_at=cut_at)
        try:
            return await transport.run_replay(plan, target, options=options, on_progress=reports)
        except CutError:
            path.write_bytes(reports.checkpoints[max(0, len(reports.checkpoints) - 1 - older)])
    return await transport.run_replay(plan, target, options=options)


@contextmanager
def unsynced_directory() -> Iterator[Path]:
    """Nobody cuts the power here, and two thousand syncs would take a slow disk as long as a test may."""
    with TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield Path(directory)


cuts_strategy = st.lists(st.tuples(st.integers(0, COUNT), st.integers(0, 5)), max_size=4)
copies_strategy = st.lists(st.integers(0, COUNT // 2 - 1), unique=True, max_size=3)


@settings(max_examples=20)
@given(cuts=cuts_strategy, copies=copies_strategy)
def test_a_file_is_the_same_to_the_byte_however_often_the_run_was_cut(
    cuts: list[tuple[int, int]], copies: list[int]
) -> None:
    async def scenario(directory: Path) -> None:
        async with opened() as transport:
            await history(transport, copies=copies)
            plan = await transport.plan_replay()
            assert plan.events == COUNT
            await transport.run_replay(plan, to_file(directory / "whole"))
            progress = await run_with_cuts(transport, plan, to_file(directory / "cut"), directory, cuts)
            assert progress.handled == COUNT
            assert (directory / "cut").read_bytes() == (directory / "whole").read_bytes()
            assert (directory / "whole").read_bytes().count(b"\n") == COUNT

    with unsynced_directory() as directory:
        asyncio.run(scenario(directory))


@settings(max_examples=20)
@given(cuts=cuts_strategy, copies=copies_strategy, slow=st.sampled_from(TENANTS))
def test_a_handler_gets_every_event_in_each_tenants_order_however_often_the_run_was_cut(
    cuts: list[tuple[int, int]], copies: list[int], slow: UUID
) -> None:
    async def scenario(directory: Path) -> None:
        async with opened() as transport:
            stored = await history(transport, copies=copies)
            plan = await transport.plan_replay()
            handled = Handled(lambda envelope, context: asyncio.sleep(0.001 if envelope.tenant_id == slow else 0))
            progress = await run_with_cuts(transport, plan, handled, directory, cuts)
            assert progress.handled == COUNT
            assert handled.firsts == stored
            if not cuts:
                assert handled.numbers == stored

    with unsynced_directory() as directory:
        asyncio.run(scenario(directory))


@given(
    start=st.integers(0, 12),
    length=st.integers(0, 12),
    chosen=st.sets(st.integers(0, 11), max_size=12),
)
def test_copies_are_told_apart_by_their_ranges(start: int, length: int, chosen: set[int]) -> None:
    end = start + length
    wanted = sorted(each for each in chosen if start <= each < end)
    ranges = tuple((each, each + 1) for each in wanted)
    copies = Copies(PartitionRange(partition_id=0, start=start, end=end, copies=ranges))
    assert [each for each in range(start, end) if each in copies] == wanted


@pytest.mark.anyio
async def test_a_checkpoint_outside_of_its_plan_is_refused(tmp_path: Path) -> None:
    async with opened() as transport:
        await history(transport, copies=[])
        plan, path = await transport.plan_replay(end={0: 5, 1: 5}), tmp_path / "checkpoint"
        options = ReplayOptions(checkpoint=path, resume=True)
        await transport.run_replay(plan, Handled(), options=options)
        path.write_bytes(path.read_bytes().replace(b'"0": 5', b'"0": 6'))
        with pytest.raises(ReplayError, match="outside of its plan"):
            await transport.run_replay(plan, Handled(), options=options)


@pytest.mark.anyio
async def test_a_file_is_cut_back_to_the_checkpoint_at_once(tmp_path: Path) -> None:
    """Otherwise it would hold, until the run is over, events that its checkpoint knows nothing of."""
    async with opened() as transport:
        await history(transport, copies=[])
        plan, path = await transport.plan_replay(), tmp_path / "checkpoint"
        options = ReplayOptions(checkpoint=path, resume=True, interval=1e-9)
        first, second = Reports(path, cut_at=10), Reports(path, cut_at=0)
        with pytest.raises(CutError):
            await transport.run_replay(plan, to_file(tmp_path / "out"), options=options, on_progress=first)
        path.write_bytes(first.checkpoints[3])
        with pytest.raises(CutError):
            await transport.run_replay(plan, to_file(tmp_path / "out"), options=options, on_progress=second)
        assert (tmp_path / "out").read_bytes().count(b"\n") == json.loads(path.read_bytes())["handled"] == 5
