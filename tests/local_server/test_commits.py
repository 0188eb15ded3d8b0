"""Commits: jobs gather, run in order, are answered after the commit; what happens when one fails."""

from collections.abc import Callable, Iterator, Sequence

import pytest

from rustok_iggy_connector.local_server.changes import Change
from rustok_iggy_connector.local_server.commits import Commits, Job, Parts
from rustok_iggy_connector.local_server.log import PartitionLog
from rustok_iggy_connector.local_server.recent import RecentBatches
from rustok_iggy_connector.local_server.refusal import Refusal
from rustok_iggy_connector.local_server.storage import (
    Append,
    NewLog,
    Storage,
    StorageError,
    Stored,
    StoredBatch,
    StoredLog,
    Write,
)
from rustok_iggy_connector.wire.codes import Status
from tests.local_server.storage_samples import make_batch


class HeldStorage(Storage):
    """Commits end when the test says so, well or badly."""

    def __init__(self) -> None:
        self.commits: list[Sequence[Write]] = []
        self._done: Callable[[StorageError | None], None] | None = None

    def load(self) -> Stored:
        return Stored()

    def commit(self, writes: Sequence[Write], done: Callable[[StorageError | None], None]) -> None:
        assert self._done is None, "one commit at a time"
        self.commits.append(list(writes))
        self._done = done

    def end(self, error: StorageError | None = None) -> None:
        assert self._done is not None
        done, self._done = self._done, None
        done(error)

    def read(self, log_id: int, offset: int) -> Iterator[StoredBatch]:
        return iter(())

    def first_offset_since(self, log_id: int, timestamp: int, *, first: int, last: int) -> int | None:
        return None

    def room(self) -> tuple[int, int]:
        return 0, 0

    def close(self) -> None:
        pass


class Desk:
    """Commits with everything around them under the test's hand."""

    def __init__(self) -> None:
        self.storage = HeldStorage()
        self.log = PartitionLog(StoredLog(id=1), storage=self.storage, recent=RecentBatches(), segment_size=1 << 30)
        self.changes: list[Write] = []
        self.scheduled: list[Callable[[], None]] = []
        self.answers: list[tuple[str, Parts | int]] = []
        self.reported: list[StorageError] = []
        self.commits = Commits(
            storage=self.storage,
            logs={1: self.log},
            take_changes=self._take_changes,
            after_commit=lambda: None,
            schedule=self.scheduled.append,
            report=self.reported.append,
        )

    def _take_changes(self) -> list[Write]:
        taken, self.changes = self.changes, []
        return taken

    def send(self, name: str) -> None:
        def run() -> Parts:
            append = self.log.plan_append(make_batch(name.encode()), partition_id=0, now=1)
            self.commits.writes.append(append)
            return [str(append.batch.base_offset).encode()]

        self.submit(name, run, Status.CANNOT_APPEND_MESSAGE)

    def change(self, key: str) -> None:
        def run() -> Parts:
            self.changes.append(Change(table="t", key=key, row={}))
            return [b"changed"]

        self.submit(key, run)

    def submit(self, name: str, run: Callable[[], Parts], status: Status = Status.ERROR) -> None:
        def answer(outcome: Parts | Refusal) -> None:
            self.answers.append((name, outcome.status if isinstance(outcome, Refusal) else outcome))

        self.commits.submit(Job(run=run, answer=answer, status_on_failure=status))

    def turn(self) -> None:
        """What was scheduled runs."""
        calls, self.scheduled[:] = self.scheduled[:], []
        for call in calls:
            call()

    def written(self) -> list[list[str]]:
        return [[_name(write) for write in writes] for writes in self.storage.commits]


def _name(write: Write) -> str:
    if isinstance(write, Append):
        return f"append {write.batch.base_offset}"
    return write.key if isinstance(write, Change) else type(write).__name__


@pytest.fixture
def desk() -> Desk:
    return Desk()


def test_nothing_is_answered_or_visible_before_the_commit(desk: Desk) -> None:
    desk.send("a")
    desk.turn()
    assert desk.written() == [["append 0"]]
    assert (desk.answers, desk.log.next_offset) == ([], 0)
    desk.storage.end()
    assert (desk.answers, desk.log.next_offset) == ([("a", [b"0"])], 1)
    assert desk.commits.is_idle


def test_jobs_that_arrive_during_a_commit_go_down_together_in_order(desk: Desk) -> None:
    desk.send("a")
    desk.turn()
    for name in ("b", "c"):
        desk.send(name)
    desk.change("row")
    desk.turn()
    assert len(desk.storage.commits) == 1
    desk.storage.end()
    desk.turn()
    assert desk.written()[1:] == [["append 1", "append 2", "row"]]
    desk.storage.end()
    assert [name for name, _ in desk.answers] == ["a", "b", "c", "row"]


def test_a_refused_job_keeps_its_turn_and_does_not_spoil_the_others(desk: Desk) -> None:
    def refuse() -> Parts:
        raise Refusal(2010)

    desk.send("a")
    desk.submit("refused", refuse)
    desk.send("b")
    desk.turn()
    desk.storage.end()
    assert desk.answers == [("a", [b"0"]), ("refused", 2010), ("b", [b"1"])]


def test_jobs_that_write_nothing_need_no_commit(desk: Desk) -> None:
    desk.submit("nothing", lambda: [b"ok"])
    desk.turn()
    assert (desk.answers, desk.storage.commits) == ([("nothing", [b"ok"])], [])


def test_a_failed_commit_refuses_its_jobs_and_leaves_no_gap(desk: Desk) -> None:
    desk.send("lost")
    desk.submit("read", lambda: [b"ok"])
    desk.turn()
    error = StorageError("full", full=True)
    desk.storage.end(error)
    assert desk.answers == [("lost", Status.CANNOT_APPEND_MESSAGE), ("read", Status.ERROR)]
    assert (desk.reported, desk.log.next_offset) == ([error], 0)
    desk.send("again")
    desk.turn()
    desk.storage.end()
    assert desk.answers[-1] == ("again", [b"0"])
    assert desk.written() == [["append 0"], ["append 0"]]


def test_rows_of_a_failed_commit_ride_with_the_next(desk: Desk) -> None:
    desk.change("row")
    desk.turn()
    desk.storage.end(StorageError("full"))
    desk.send("a")
    desk.turn()
    desk.storage.end()
    desk.send("b")
    desk.turn()
    assert desk.written() == [["row"], ["row", "append 0"], ["append 1"]]


def test_rows_touched_without_a_job_are_written(desk: Desk) -> None:
    desk.changes.append(NewLog(log_id=5))
    desk.commits.flush_changes()
    desk.turn()
    desk.storage.end()
    assert desk.written() == [["NewLog"]]


def test_a_commit_has_a_bound_and_the_rest_follows(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rustok_iggy_connector.local_server.commits.GROUP_JOBS", 2)
    for name in "abc":
        desk.send(name)
    desk.turn()
    desk.storage.end()
    desk.turn()
    desk.storage.end()
    assert desk.written() == [["append 0", "append 1"], ["append 2"]]
    monkeypatch.setattr("rustok_iggy_connector.local_server.commits.GROUP_BYTES", 1)
    desk.send("d")
    desk.send("e")
    desk.turn()
    assert desk.written()[2:] == [["append 3"]]
