"""The file target: every event once, whatever happens to the run."""

import asyncio
import errno
import json
import os
from pathlib import Path

import pytest

from rustok_iggy import ReplayError, ReplayOptions, to_file
from tests.replay.histories import SERIALIZER, TENANTS, opened, publish

pytestmark = pytest.mark.anyio


def numbers_in(path: Path) -> list[tuple[int, int]]:
    envelopes = [SERIALIZER.decode(line) for line in path.read_bytes().splitlines()]
    return [(envelope.tenant_id.int, envelope.event.number) for envelope in envelopes]


async def test_a_line_is_an_envelope_and_the_order_is_that_of_storing(tmp_path: Path) -> None:
    async with opened(partitions=3) as transport:
        for _ in range(4):
            await publish(transport, 10)
        plan = await transport.plan_replay()
        await transport.run_replay(plan, to_file(tmp_path / "one"))
        await transport.run_replay(plan, to_file(str(tmp_path / "two")))
        assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
        written = numbers_in(tmp_path / "one")
        assert len(written) == plan.events
        for tenant in TENANTS:
            assert [number for key, number in written if key == tenant.int] == [0, 1] * 4


async def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("precious", encoding="utf-8")
    async with opened() as transport:
        await publish(transport, 5)
        plan = await transport.plan_replay()
        with pytest.raises(ReplayError, match="exists already"):
            await transport.run_replay(plan, to_file(tmp_path / "out"))
        with pytest.raises(ReplayError, match="cannot be opened"):
            await transport.run_replay(plan, to_file(tmp_path / "no" / "out"))
    assert (tmp_path / "out").read_text(encoding="utf-8") == "precious"


async def test_a_file_shorter_than_its_checkpoint_is_refused(tmp_path: Path) -> None:
    async with opened() as transport:
        await publish(transport, 5)
        plan, options = await transport.plan_replay(), ReplayOptions(checkpoint=tmp_path / "c", resume=True)
        await transport.run_replay(plan, to_file(tmp_path / "out"), options=options)
        (tmp_path / "out").write_bytes(b"short")
        with pytest.raises(ReplayError, match="was changed since"):
            await transport.run_replay(plan, to_file(tmp_path / "out"), options=options)


async def test_a_full_disk_leaves_the_checkpoint_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = ReplayOptions(checkpoint=tmp_path / "c", resume=True)
    async with opened() as transport:
        await publish(transport, 5)
        plan = await transport.plan_replay()

        synced = os.fsync

        def full(descriptor: int) -> None:
            if os.path.samestat(os.fstat(descriptor), (tmp_path / "out").stat()):
                raise OSError(errno.ENOSPC, "No space left on device")
            synced(descriptor)

        with monkeypatch.context() as patched:
            patched.setattr(os, "fsync", full)
            with pytest.raises(ReplayError, match="cannot be written"):
                await transport.run_replay(plan, to_file(tmp_path / "out"), options=options)
        assert json.loads((tmp_path / "c").read_bytes())["handled"] == 0
        progress = await transport.run_replay(plan, to_file(tmp_path / "out"), options=options)
        assert progress.handled == len(numbers_in(tmp_path / "out")) == 5


async def test_cancelling_and_resuming_writes_each_event_once(tmp_path: Path) -> None:
    options = ReplayOptions(checkpoint=tmp_path / "c", resume=True, rate=1000)
    async with opened() as transport:
        await publish(transport, 100)
        plan = await transport.plan_replay()
        await transport.run_replay(plan, to_file(tmp_path / "whole"))
        for _ in range(4):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await transport.run_replay(plan, to_file(tmp_path / "out"), options=options)
        await transport.run_replay(plan, to_file(tmp_path / "out"), options=options)
        assert (tmp_path / "out").read_bytes() == (tmp_path / "whole").read_bytes()
