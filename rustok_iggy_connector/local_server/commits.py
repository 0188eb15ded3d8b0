"""Commits: what is to be written gathers while the commit before is under way, then goes down as one.

A job runs when its commit begins, in the order of arrival, so each sees what those before it did to the catalog. Its
answer leaves after the commit. When a commit fails, all jobs of it are refused and the logs are as they were; catalog
rows are not taken back: memory is right, and the rows ride with the next commit that works. Nothing can be acknowledged
that builds on them and is not stored with them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

from msgspec import Struct

from rustok_iggy_connector.local_server.log import PartitionLog
from rustok_iggy_connector.local_server.refusal import Refusal
from rustok_iggy_connector.local_server.storage.contract import (
    Append,
    SetOffset,
    Storage,
    StorageError,
    TrimLog,
    Write,
)
from rustok_iggy_connector.wire.codes import Status
from rustok_iggy_connector.wire.primitives import Buffer

GROUP_BYTES: Final = 16 << 20
"""A commit takes no further job once its batches have this size: it then takes about 50 ms, and others wait for it."""

GROUP_JOBS: Final = 4096
"""Nor once it has this many jobs, for the same reason."""

Parts: TypeAlias = list[Buffer]
Run: TypeAlias = Callable[[], Parts]
Answer: TypeAlias = Callable[[Parts | Refusal], None]
Schedule: TypeAlias = Callable[[Callable[[], None]], object]


def outcome_of(run: Run) -> Parts | Refusal:
    """What it gives, or the refusal it raises."""
    try:
        return run()
    except Refusal as refusal:
        return refusal


class Job(Struct, frozen=True, kw_only=True):
    """`run` does the work and adds to `Commits.writes`; it may raise Refusal. `answer` gets the reply's parts or why
    not. `status_on_failure` is what to say when the storage cannot write.
    """

    run: Run
    answer: Answer
    status_on_failure: Status = Status.ERROR


@dataclass(frozen=True, slots=True)
class _Group:
    answers: list[tuple[Job, Parts | Refusal]]
    writes: list[Write]


class Commits:
    """One commit at a time. `take_changes` gives the catalog rows touched since it was last asked.

    `schedule` runs a call soon, after other requests that are already there have been received; `after_commit` is
    called when logs have changed; `report` is told of failures.
    """

    def __init__(
        self,
        *,
        storage: Storage,
        logs: dict[int, PartitionLog],
        take_changes: Callable[[], list[Write]],
        after_commit: Callable[[], None],
        schedule: Schedule,
        report: Callable[[StorageError], None],
    ) -> None:
        self.writes: list[Write] = []
        self._storage = storage
        self._logs = logs
        self._take_changes = take_changes
        self._after_commit = after_commit
        self._schedule = schedule
        self._report = report
        self._jobs: deque[Job] = deque()
        self._unwritten: list[Write] = []
        self._is_busy = False
        self._is_scheduled = False

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits and nothing is under way."""
        return not self._is_busy and not self._jobs and not self._is_scheduled

    def submit(self, job: Job) -> None:
        """Have the job done with the next commit."""
        self._jobs.append(job)
        self._wake()

    def flush_changes(self) -> None:
        """Have rows written that were touched without a job."""
        self._wake()

    def _wake(self) -> None:
        if not self._is_busy and not self._is_scheduled:
            self._is_scheduled = True
            self._schedule(self._commit)

    def _commit(self) -> None:
        self._is_scheduled = False
        self._is_busy = True
        group = self._gather()
        if group.writes:
            self._storage.commit(group.writes, partial(self._finish, group))
        else:
            self._finish(group, None)

    def _gather(self) -> _Group:
        group = _Group([], [*self._unwritten, *self._take_changes()])
        self._unwritten = []
        size = 0
        while self._jobs and size < GROUP_BYTES and len(group.answers) < GROUP_JOBS:
            job = self._jobs.popleft()
            group.answers.append((job, outcome_of(job.run)))
            group.writes.extend(self._take_changes())
            group.writes.extend(self.writes)
            size += sum(len(write.batch.data) for write in self.writes if isinstance(write, Append))
            self.writes.clear()
        return group

    def _finish(self, group: _Group, error: StorageError | None) -> None:
        self._is_busy = False
        if error is None:
            self._apply(group.writes)
        else:
            self._take_back(group.writes, error)
        for job, outcome in group.answers:
            if error is not None and not isinstance(outcome, Refusal):
                outcome = Refusal(job.status_on_failure)
            job.answer(outcome)
        if self._jobs:
            self._wake()

    def _apply(self, writes: list[Write]) -> None:
        if not writes:
            return
        for write in writes:
            if isinstance(write, Append | SetOffset | TrimLog):
                log = self._logs.get(write.log_id)
                if log is not None:
                    log.apply(write)
        self._after_commit()

    def _take_back(self, writes: list[Write], error: StorageError) -> None:
        self._report(error)
        for write in writes:
            if not isinstance(write, Append | SetOffset | TrimLog):
                self._unwritten.append(write)
            elif write.log_id in self._logs:
                self._logs[write.log_id].forget_plans()
