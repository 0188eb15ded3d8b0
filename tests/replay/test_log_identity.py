"""A plan is run on the log that it was made of, and on no other: told by what stood at both ends of its ranges."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from rustok_iggy import ReplayError, ReplayOptions, ReplayPlan, ReplayProgress, to_file
from rustok_iggy.replay.log_identity import KnownMessage
from rustok_iggy.replay.log_reader import LogReader, RangeReader
from rustok_iggy_connector import ReceivedMessage
from tests.replay.histories import TENANTS, Handled, opened, publish

pytestmark = pytest.mark.anyio


def stored(offset: int, *, id: int = 7, timestamp: int = 1_800_000_000_000_000) -> ReceivedMessage:
    return ReceivedMessage(offset=offset, id=id, payload=b"event", timestamp=timestamp, read_headers=dict)


@pytest.mark.parametrize(
    ("message", "is_another"),
    [
        (stored(3), False),
        (stored(3, id=8), True),
        (stored(3, timestamp=1_800_000_000_000_001), True),
        (stored(4, id=8), False),  # retention removed what is known
    ],
)
def test_a_message_is_known_by_its_id_and_the_time_of_storing(message: ReceivedMessage, is_another: bool) -> None:
    assert KnownMessage.of(stored(3)).is_another(message) is is_another


def test_a_time_that_no_calendar_has_is_known_again() -> None:
    assert not KnownMessage.of(stored(3, timestamp=2**63)).is_another(stored(3, timestamp=2**63))


async def plan_of_ten(directory: Path) -> ReplayPlan:
    """Plan ten events of one partition, and leave their log."""
    async with opened(partitions=1) as transport:
        await publish(transport, 10)
        (await transport.plan_replay()).save(directory / "plan.json")
    return ReplayPlan.load(directory / "plan.json")


async def test_a_log_that_was_begun_again_and_is_longer_now_is_refused(tmp_path: Path) -> None:
    plan, handled = await plan_of_ten(tmp_path), Handled()
    async with opened(partitions=1) as transport:
        await publish(transport, 20)
        with pytest.raises(ReplayError, match=r"was begun again since the plan was made.*make a new plan") as raised:
            await transport.run_replay(plan, handled)
        assert raised.value.position == ("domain", 0, 0)
        with pytest.raises(ReplayError, match="begun again"):
            await transport.run_replay(plan, to_file(tmp_path / "events"))
        await transport.run_replay(await transport.plan_replay(), handled)
    assert len(handled.seen) == 20, "the new plan's events, and none of the old one's"
    assert not (tmp_path / "events").exists()


async def test_the_same_log_is_known_again_however_long_it_has_become() -> None:
    handled = Handled()
    async with opened() as transport:
        await publish(transport, 10)
        plan = await transport.plan_replay(start={0: 1})
        await publish(transport, 50)
        await transport.run_replay(plan, handled)
    assert len(handled.seen) == plan.events


async def test_an_empty_range_is_known_by_nothing() -> None:
    async with opened(partitions=1) as transport:
        plan = await transport.plan_replay()
        assert plan.partitions[0].known == ()
        await publish(transport, 3)
        assert (await transport.run_replay(plan, Handled())).finished


class CutError(Exception):
    """The run ends here."""


async def test_going_on_in_another_log_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    out, options = tmp_path / "events", ReplayOptions(checkpoint=tmp_path / "checkpoint", resume=True, interval=1e-9)

    def cut(progress: ReplayProgress) -> None:
        if progress.handled == 4:
            raise CutError

    async with opened(partitions=1) as transport:
        await publish(transport, 10)
        plan = await transport.plan_replay()
        with pytest.raises(CutError):
            await transport.run_replay(plan, to_file(out), options=options, on_progress=cut)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    async with opened(partitions=1) as transport:
        await publish(transport, 20)
        with pytest.raises(ReplayError, match="begun again"):
            await transport.run_replay(plan, to_file(out), options=options)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


class Log(LogReader):
    """A log that is a list."""

    def __init__(self, messages: Sequence[ReceivedMessage]) -> None:
        self.messages = messages

    async def poll(self, partition_id: int, *, offset: int, max_messages: int) -> Sequence[ReceivedMessage]:
        return [each for each in self.messages if each.offset >= offset][:max_messages]


async def test_a_log_that_is_begun_again_while_it_is_read_is_refused_at_the_end_of_the_range() -> None:
    log = Log([stored(offset) for offset in range(10)])
    known = [KnownMessage.of(stored(0)), KnownMessage.of(stored(4))]
    reader = RangeReader(log, topic="domain", partition_id=0, start=0, end=5, partitions=10**6, known=known)
    await reader.require_same_log()
    assert [(await reader.next()).offset for _ in range(3)] == [0, 1, 2]
    log.messages = [stored(offset, timestamp=1_900_000_000_000_000) for offset in range(10)]
    with pytest.raises(ReplayError, match="offset 4 was stored at 2027-01-15T08:00:00"):
        while await reader.next() is not None:
            pass


PLAN_WITHOUT = {
    "version": 1,
    "stream": "rustok",
    "topic": "domain",
    "created_at": "2026-11-20T09:30:00Z",
    "partitions": [{"partition_id": 0, "start": 0, "end": 4, "copies": [[2, 3]]}],
    "tenants": None,
    "event_types": None,
    "predicate": None,
    "events": 3,
    "event_bytes": 900,
    "unreadable": 0,
    "uncounted": 0,
    "counts": [{"tenant_id": str(TENANTS[0]), "event_type": "thing.counted", "events": 3}],
}
"""As plans were saved before they knew their log, and the fingerprint that checkpoints of it hold."""
FINGERPRINT = "5a7abb90622f19eb29a7cdfc2a0ead2824547e40d15fb75bb8f20b5dcdc61a06"


async def test_an_older_plan_is_run_as_before_and_keeps_its_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text(json.dumps(PLAN_WITHOUT), encoding="utf-8")
    plan, handled = ReplayPlan.load(tmp_path / "plan.json"), Handled()
    assert plan.fingerprint == FINGERPRINT
    async with opened(partitions=1) as transport:
        await publish(transport, 5, tenants=TENANTS[:1])
        await transport.run_replay(plan, handled)
    assert handled.numbers == {TENANTS[0]: [0, 1, 3]}
