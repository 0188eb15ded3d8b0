"""ReplayManager: plans replays and runs them, over a reader's session of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Unpack
from uuid import UUID, uuid4

from msgspec.structs import replace

from rustok_iggy.catalog import EventCatalog
from rustok_iggy.config import ConsumerConfig
from rustok_iggy.consumer.delivery import EnvelopeReader
from rustok_iggy.consumer.subscription import Handler
from rustok_iggy.envelope import utc_now
from rustok_iggy.errors import ReplayCancelledError, ReplayError
from rustok_iggy.replay.checkpoint import Checkpoint, TargetKind, load_checkpoint
from rustok_iggy.replay.file_target import replay_to_file
from rustok_iggy.replay.handler_target import replay_to_handler
from rustok_iggy.replay.log_reader import LogReader, Sleep
from rustok_iggy.replay.options import FileTarget, ReplayOptions
from rustok_iggy.replay.plan import ReplayPlan
from rustok_iggy.replay.planning import ReplaySelection, empty_plan, fill
from rustok_iggy.replay.progress import ReplayProgress
from rustok_iggy.replay.replay_run import OnProgress, ReplayRun
from rustok_iggy.serialization import EventSerializer
from rustok_iggy.topology import Topic
from rustok_iggy.tracing.contract import Tracing
from rustok_iggy_connector import IggyConnector, NotFoundError

REPLAYABLE = (Topic.DOMAIN, Topic.SYSTEM)
"""The dead-letter queue is a journal of records, not of events: redrive runs its letters again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayManager:
    """Runs history again. Reads without a name, so that no group's offset can move.

    `json` writes files; None when the catalogue has no JSON. `is_forbidden` says of a handler that it must not see an
    event again.
    """

    connector: IggyConnector
    stream: str
    catalog: EventCatalog
    reader: EnvelopeReader
    json: EventSerializer | None
    config: ConsumerConfig
    is_forbidden: Callable[[Handler], bool]
    tracing: Tracing | None = None
    clock: Callable[[], float] = time.monotonic
    sleep: Sleep = asyncio.sleep
    now: Callable[[], datetime] = utc_now
    ids: Callable[[], UUID] = uuid4

    async def plan(self, *, topic: str = Topic.DOMAIN, **selection: Unpack[ReplaySelection]) -> ReplayPlan:
        """Read a range once and say what a replay of it will hand over.

        Raises ReplayError (bounds that are no bounds, or were removed by retention), UnknownEventTypeError,
        NotFoundError (topic), connector errors.
        """
        if topic not in set(REPLAYABLE):
            raise ReplayError(f"topic {topic!r}: only {' and '.join(REPLAYABLE)} hold events to replay")
        plan = empty_plan(selection, catalog=self.catalog, stream=self.stream, topic=str(topic), created_at=self.now())
        described = await self.connector.admin.describe_topic(stream=self.stream, topic=topic)
        if described is None:
            raise NotFoundError(f"stream {self.stream} has no topic {topic}")
        async with self._log_reader(plan.topic) as log_reader:
            return await fill(plan, selection, log_reader=log_reader, described=described, reader=self.reader)

    async def run(
        self,
        plan: ReplayPlan,
        target: Handler | FileTarget,
        *,
        options: ReplayOptions | None = None,
        on_progress: OnProgress | None = None,
    ) -> ReplayProgress:
        """Hand a plan's events to a handler, or write them to a file; return the counts at the end.

        At least once with a handler (with a checkpoint, only what was under way comes again), exactly once in a file.
        `on_progress` is called every `options.interval` seconds and at the end. Cancelling leaves a valid checkpoint.
        Raises ReplayError with the position: a handler failed, an event could not be decoded, messages are gone or the
        log was begun again, the handler is subscribed with replay="forbidden", the checkpoint is another's;
        ReplayCancelledError when it was cancelled by a note beside its checkpoint, before this run or during it;
        connector errors.
        """
        self._check(plan, target)
        chosen = options or ReplayOptions()
        state, is_resumed = self._state(plan, target, chosen)
        async with self._log_reader(plan.topic) as log_reader:
            run = ReplayRun(
                plan=plan,
                options=chosen,
                reader=self.reader,
                log_reader=log_reader,
                clock=self.clock,
                state=state,
                is_resumed=is_resumed,
                on_progress=on_progress,
                tracing=self.tracing,
            )
            run.require_not_cancelled()
            await run.require_same_log()
            done = await self._hand_over(run, target)
        progress = run.report(done)
        if progress.handled + progress.unreadable != progress.planned:
            raise ReplayError(
                f"replay {done.replay_id} is done with {progress.handled + progress.unreadable} events where its plan"
                f" counted {progress.planned}: predicate or catalogue changed since"
            )
        return progress

    async def _hand_over(self, run: ReplayRun, target: Handler | FileTarget) -> Checkpoint:
        """Run to the end; of one that was cancelled, note that it has ended. Raises as run() does."""
        try:
            if isinstance(target, FileTarget):
                assert self.json is not None, "checked before"
                return await replay_to_file(run, target, self.json)
            return await replay_to_handler(run, target, self.config)
        except ReplayCancelledError:
            run.note_cancelled(self.now())
            raise

    def _check(self, plan: ReplayPlan, target: Handler | FileTarget) -> None:
        problems = list(plan.problems())
        if plan.stream != self.stream:
            problems.append(f"the plan is of stream {plan.stream}, this transport is on {self.stream}")
        if plan.topic not in set(REPLAYABLE):
            problems.append(f"topic {plan.topic!r}: only {' and '.join(REPLAYABLE)} hold events to replay")
        if isinstance(target, FileTarget):
            if self.json is None:
                problems.append("the catalogue cannot be written as JSON; replay to a handler")
        elif self.is_forbidden(target):
            name = getattr(target, "__qualname__", type(target).__qualname__)
            problems.append(f"handler {name} is subscribed with replay='forbidden'")
        if problems:
            raise ReplayError("; ".join(problems))

    def _state(self, plan: ReplayPlan, target: Handler | FileTarget, options: ReplayOptions) -> tuple[Checkpoint, bool]:
        """Return where to begin, and whether that is where an earlier run ended."""
        kind = TargetKind.FILE if isinstance(target, FileTarget) else TargetKind.HANDLER
        fresh = Checkpoint(
            replay_id=str(self.ids()),
            plan=plan.fingerprint,
            target=kind,
            next_offsets={each.partition_id: each.start for each in plan.partitions},
        )
        if options.checkpoint is None:
            return fresh, False
        path = Path(options.checkpoint)
        found = load_checkpoint(path, plan, kind) if options.resume or path.exists() else None
        if found is None:
            return fresh, False
        if not options.resume:
            raise ReplayError(f"there is a checkpoint {path} already: resume from it, or remove it")
        return replace(found, finished=False), True

    @asynccontextmanager
    async def _log_reader(self, topic: str) -> AsyncIterator[LogReader]:
        subscriber = await self.connector.subscribe(stream=self.stream, topic=topic)
        try:
            yield LogReader(subscriber, clock=self.clock, sleep=self.sleep)
        finally:
            await subscriber.leave()
