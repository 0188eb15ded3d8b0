"""One run of a plan: what comes next, how far it is, and the checkpoint. Targets (handler_target.py, file_target.py)
take from it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from rustok_iggy.consumer.delivery import EnvelopeReader
from rustok_iggy.errors import ReplayCancelledError, ReplayError
from rustok_iggy.replay.cancellation import find_cancellation, note_end, note_of
from rustok_iggy.replay.checkpoint import Checkpoint
from rustok_iggy.replay.log_reader import LogReader, RangeReader, merged
from rustok_iggy.replay.options import ReplayOptions, Undecodable
from rustok_iggy.replay.plan import PartitionRange, ReplayPlan
from rustok_iggy.replay.progress import Meter, RatePace, ReplayProgress
from rustok_iggy.replay.selection import UNREADABLE, DecodedEnvelope, Selection
from rustok_iggy.tracing.contract import Tracing
from rustok_iggy_connector import Position, ReceivedMessage

OnProgress = Callable[[ReplayProgress], None]


class Found(NamedTuple):
    """The next message of the plan; `decoded` None: not wanted, a copy, or not to be read."""

    partition_id: int
    message: ReceivedMessage
    decoded: DecodedEnvelope | None
    is_unreadable: bool = False


@dataclass(slots=True, kw_only=True)
class ReplayRun:
    """What targets share. They keep `state` true: everything below its offsets is done."""

    plan: ReplayPlan
    options: ReplayOptions
    reader: EnvelopeReader
    log_reader: LogReader
    clock: Callable[[], float]
    state: Checkpoint
    is_resumed: bool
    on_progress: OnProgress | None = None
    tracing: Tracing | None = None
    pace: RatePace = field(init=False)
    _meter: Meter = field(init=False)
    _report_at: float = field(init=False)

    def __post_init__(self) -> None:
        now, state = self.clock(), self.state
        self.pace = RatePace(self.options.rate)
        self._meter = Meter(
            replay_id=state.replay_id,
            planned=self.plan.events + self.plan.unreadable,
            before=state.handled + state.unreadable,
            now=now,
        )
        self._report_at = now + self.options.interval

    async def found(self) -> AsyncGenerator[Found, None]:
        """Yield every message from where the state stands to the end of the plan, in the plan's order.

        Raises ReplayError: some are gone (nothing is yielded when they are gone at the beginning), or one cannot be
        decoded; connector errors.
        """
        chosen, skips = Selection(self.plan, self.reader), self.options.undecodable == Undecodable.SKIP
        copies = {each.partition_id: Copies(each) for each in self.plan.partitions}
        async with aclosing(merged(self._readers())) as messages:
            async for partition_id, message in messages:
                if message.offset in copies[partition_id]:
                    yield Found(partition_id, message, None)
                    continue
                try:
                    opened = chosen.choose(partition_id, message)
                    decoded = opened if opened is None or isinstance(opened, DecodedEnvelope) else None
                    if opened is not None and decoded is None:
                        decoded = DecodedEnvelope(opened.decode())
                except UNREADABLE as error:
                    if not skips:
                        raise self.stopped(partition_id, message.offset, f"cannot be decoded: {error}") from error
                    yield Found(partition_id, message, None, is_unreadable=True)
                    continue
                yield Found(partition_id, message, decoded)

    async def require_same_log(self) -> None:
        """Raises ReplayError when what is left was planned on a log that was begun again since, connector errors."""
        for reader in self._readers():
            await reader.require_same_log()

    def stopped(self, partition_id: int, offset: int, why: str) -> ReplayError:
        """Return the error of a replay that stops at an event."""
        position = Position(self.plan.topic, partition_id, offset)
        return ReplayError(
            f"replay {self.state.replay_id} stopped: the event at topic {position.topic}, partition {partition_id},"
            f" offset {offset} {why}",
            position=position,
        )

    @property
    def is_report_due(self) -> bool:
        """Whether it is time for a checkpoint and a call of `on_progress`."""
        return self.clock() >= self._report_at

    def report(self, state: Checkpoint) -> ReplayProgress:
        """Note how far it is: first on disk, then to whoever asked.

        Raises ReplayError, ReplayCancelledError (not at the end), and what `on_progress` raises. Waits for the disk:
        one sync an interval costs less than a thread whose write may come late.
        """
        self._report_at = self.clock() + self.options.interval
        self.save(state)
        progress = self._meter.progress(
            handled=state.handled, unreadable=state.unreadable, now=self.clock(), finished=state.finished
        )
        if self.on_progress is not None:
            self.on_progress(progress)
        if not state.finished:
            self.require_not_cancelled()
        return progress

    def require_not_cancelled(self) -> None:
        """Raises ReplayCancelledError when somebody has cancelled this replay, ReplayError."""
        if self.options.checkpoint is None:
            return
        checkpoint, replay_id = Path(self.options.checkpoint), self.state.replay_id
        note = find_cancellation(checkpoint, replay_id=replay_id)
        if note is not None:
            raise ReplayCancelledError(
                f"replay {replay_id} was cancelled by {note.requested_by} at {note.requested_at:%Y-%m-%d %H:%M:%S%z}:"
                f" remove {note_of(checkpoint)} to let it go on"
            )

    def note_cancelled(self, at: datetime) -> None:
        """Tell who cancelled it that it has ended. Raises ReplayError."""
        assert self.options.checkpoint is not None, "a run without one cannot be cancelled so"
        note_end(Path(self.options.checkpoint), replay_id=self.state.replay_id, at=at)

    def save(self, state: Checkpoint) -> None:
        """Note on disk how far it is. Raises ReplayError."""
        self.state = state
        if self.options.checkpoint is not None:
            state.save(Path(self.options.checkpoint))

    def _readers(self) -> list[RangeReader]:
        wanted = [each for each in self.plan.partitions if self.state.next_offsets[each.partition_id] < each.end]
        return [
            RangeReader(
                self.log_reader,
                topic=self.plan.topic,
                partition_id=each.partition_id,
                start=self.state.next_offsets[each.partition_id],
                end=each.end,
                partitions=len(wanted),
                known=each.known,
            )
            for each in wanted
        ]


class Copies:
    """Whether an offset is one of a partition's copies; asked in ascending order."""

    def __init__(self, found: PartitionRange) -> None:
        self._ranges: Iterator[tuple[int, int]] = iter(found.copies)
        self._start, self._end = next(self._ranges, (found.end, found.end))
        self._none = found.end

    def __contains__(self, offset: int) -> bool:
        while offset >= self._end and self._end < self._none:
            self._start, self._end = next(self._ranges, (self._none, self._none))
        return self._start <= offset < self._end
