"""A note beside its checkpoint cancels a replay: it ends cleanly, and does not go on until that is withdrawn."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from rustok_iggy import ReplayCancelledError, ReplayError, ReplayOptions, ReplayProgress, to_file
from rustok_iggy.replay.cancellation import (
    Cancellation,
    find_cancellation,
    note_of,
    request_cancellation,
    withdraw_cancellation,
)
from rustok_iggy.replay.checkpoint import Checkpoint
from tests.replay.histories import TENANTS, Handled, opened, publish

pytestmark = pytest.mark.anyio
COUNT = 20


def cancel(checkpoint: Path, *, replay_id: str | None = None) -> None:
    running = msgspec.json.decode(checkpoint.read_bytes(), type=Checkpoint).replay_id
    request_cancellation(checkpoint, replay_id=replay_id or running, by="ada", at=datetime.now(UTC))


def options(checkpoint: Path, *, resume: bool = False) -> ReplayOptions:
    return ReplayOptions(checkpoint=checkpoint, resume=resume, interval=1e-9, max_concurrency=1)


def state(checkpoint: Path) -> tuple[int, Cancellation | None]:
    found = msgspec.json.decode(checkpoint.read_bytes(), type=Checkpoint)
    return found.handled, find_cancellation(checkpoint, replay_id=found.replay_id)


async def test_what_a_handler_has_under_way_is_finished_and_nothing_more_begins(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    is_cancelled, has_looked = asyncio.Event(), asyncio.Event()

    def look(progress: ReplayProgress) -> None:  # called in one step with looking for the note, before it
        if is_cancelled.is_set():
            has_looked.set()

    async def slowly() -> None:
        if not is_cancelled.is_set() and len(handled.seen) == 5:
            cancel(checkpoint)
            is_cancelled.set()
            await has_looked.wait()

    async with opened() as transport:
        await publish(transport, COUNT)
        plan = await transport.plan_replay()
        handled = Handled(lambda envelope, context: slowly())
        with pytest.raises(ReplayCancelledError, match=r"was cancelled by ada at .*remove .*\.cancelled"):
            await transport.run_replay(plan, handled, options=options(checkpoint), on_progress=look)
        assert len(handled.seen) == 6, "the one under way was not cut short, and none came after it"
        done, note = state(checkpoint)
        assert note is not None
        assert note.ended_at is not None
        with pytest.raises(ReplayCancelledError):
            await transport.run_replay(plan, handled, options=options(checkpoint, resume=True))
        assert len(handled.seen) == 6
        withdraw_cancellation(checkpoint)
        progress = await transport.run_replay(plan, handled, options=options(checkpoint, resume=True))
        assert (progress.handled, progress.finished) == (COUNT, True)
        assert handled.firsts == {tenant: list(range(COUNT // len(TENANTS))) for tenant in TENANTS}
        assert done <= 6


async def test_a_file_ends_with_the_checkpoint_and_goes_on_there(tmp_path: Path) -> None:
    checkpoint, out = tmp_path / "checkpoint", tmp_path / "events.jsonl"

    def cancel_at_five(progress: ReplayProgress) -> None:
        if progress.handled == 5:
            cancel(checkpoint)

    async with opened() as transport:
        await publish(transport, COUNT)
        plan = await transport.plan_replay()
        with pytest.raises(ReplayCancelledError):
            await transport.run_replay(plan, to_file(out), options=options(checkpoint), on_progress=cancel_at_five)
        assert out.read_bytes().count(b"\n") == 5
        assert state(checkpoint)[0] == 5
        withdraw_cancellation(checkpoint)
        await transport.run_replay(plan, to_file(out), options=options(checkpoint, resume=True))
        assert out.read_bytes().count(b"\n") == COUNT


async def test_another_replays_note_is_not_its_own(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    async with opened() as transport:
        await publish(transport, COUNT)
        plan = await transport.plan_replay()
        request_cancellation(checkpoint, replay_id="an older one", by="ada", at=datetime.now(UTC))
        assert (await transport.run_replay(plan, Handled(), options=options(checkpoint))).finished


async def test_a_replay_that_is_at_its_end_stays_finished(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"

    def cancel_at_the_end(progress: ReplayProgress) -> None:
        if progress.finished:
            cancel(checkpoint)

    async with opened() as transport:
        await publish(transport, COUNT)
        plan = await transport.plan_replay()
        done = await transport.run_replay(plan, Handled(), options=options(checkpoint), on_progress=cancel_at_the_end)
        assert done.finished


async def test_a_note_that_cannot_be_read_ends_it_too(tmp_path: Path) -> None:
    """Somebody wanted something of it: going on would be the wrong guess."""
    checkpoint = tmp_path / "checkpoint"
    async with opened() as transport:
        await publish(transport, COUNT)
        plan = await transport.plan_replay()
        note_of(checkpoint).write_text("{")
        with pytest.raises(ReplayError, match="cancelled cannot be read"):
            await transport.run_replay(plan, Handled(), options=options(checkpoint))


def test_a_note_says_who_and_when_and_is_withdrawn_twice(tmp_path: Path) -> None:
    at = datetime(2026, 1, 2, tzinfo=UTC)
    made = request_cancellation(tmp_path / "c", replay_id="r", by="ada", at=at)
    assert find_cancellation(tmp_path / "c", replay_id="r") == made
    assert find_cancellation(tmp_path / "c", replay_id="other") is None
    for _ in range(2):
        withdraw_cancellation(tmp_path / "c")
        assert find_cancellation(tmp_path / "c", replay_id="r") is None


def test_what_the_disk_refuses_is_a_replay_error(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match="cannot be written"):
        request_cancellation(tmp_path / "none" / "c", replay_id="r", by="ada", at=datetime.now(UTC))
