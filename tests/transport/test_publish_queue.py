"""What goes next, and what becomes of each event: checked against a plain model for random calls and outcomes."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustok_iggy import publish_queue
from rustok_iggy.errors import PredecessorFailedError, TransportClosedError
from rustok_iggy.publish_queue import PartitionQueue, PublishFailure, PublishStatus, Submission
from rustok_iggy_connector import OutgoingMessage

TENANTS = [UUID(int=number) for number in range(1, 5)]
LOST = PublishFailure(PublishStatus.UNKNOWN, RuntimeError("lost"))


def submission(*tenants: int, size: int = 1) -> Submission:
    messages = [OutgoingMessage(id=uuid4(), payload=b"x" * size) for _ in tenants]
    return Submission(messages, [TENANTS[tenant] for tenant in tenants], deadline=0.0)


def ids(messages: object) -> list[UUID]:
    return [message.id for message in messages]  # type: ignore[attr-defined]


def status_of(subject: Submission, index: int) -> PublishStatus:
    if index in subject.failures:
        return subject.failures[index].status
    assert any(index in indexes for indexes, _ in subject.confirmed)
    return PublishStatus.CONFIRMED


def test_waiting_calls_go_as_one_batch_in_call_order() -> None:
    queue = PartitionQueue()
    first, second = submission(0), submission(1, 2)
    queue.add(first)
    queue.add(second)
    batch = queue.take()
    assert ids(batch.messages) == ids([*first.messages, *second.messages])
    assert not queue
    assert queue.confirm(batch, 40) == [first, second]
    assert first.confirmed == [(range(1), 40)]
    assert second.confirmed == [(range(2), 41)]


def test_a_batch_is_bounded_by_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_queue, "MAX_BATCH_MESSAGES", 3)
    queue = PartitionQueue()
    big = submission(*[0] * 7)
    queue.add(big)
    sizes = []
    while queue:
        batch = queue.take()
        sizes.append(len(batch.messages))
        settled = queue.confirm(batch, 100 * len(sizes))
        assert settled == ([] if queue else [big])
    assert sizes == [3, 3, 1]
    assert [offset for _, offset in big.confirmed] == [100, 200, 300]


def test_a_batch_is_bounded_by_bytes_but_takes_at_least_one_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_queue, "MAX_BATCH_BYTES", 10)
    queue = PartitionQueue()
    for size in (4, 4, 4, 25, 1):
        queue.add(submission(0, size=size))
    taken = []
    while queue:
        batch = queue.take()
        taken.append([len(message.payload) for message in batch.messages])
        queue.confirm(batch, 0)
    assert taken == [[4, 4], [4], [25], [1]]


def test_a_failed_batch_holds_back_its_tenants_and_no_others() -> None:
    queue = PartitionQueue()
    failing = submission(0, 1)
    queue.add(failing)
    batch = queue.take()
    mixed, innocent, held_back = submission(1, 2, 1, 3), submission(3), submission(0)
    for later in (mixed, innocent, held_back):
        queue.add(later)
    assert queue.fail(batch, LOST) == [failing, held_back]
    assert [status_of(failing, index) for index in range(2)] == [PublishStatus.UNKNOWN] * 2
    error = held_back.failures[0].error
    assert isinstance(error, PredecessorFailedError)
    assert error.predecessor_id == failing.messages[0].id

    rest = queue.take()
    assert ids(rest.messages) == [mixed.messages[1].id, mixed.messages[3].id, innocent.messages[0].id]
    assert queue.confirm(rest, 7) == [mixed, innocent]
    assert [status_of(mixed, index).value for index in range(4)] == ["unsent", "confirmed", "unsent", "confirmed"]


def test_a_failed_part_of_a_call_holds_back_the_rest_of_that_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publish_queue, "MAX_BATCH_MESSAGES", 2)
    queue = PartitionQueue()
    call = submission(0, 0, 0, 1)
    queue.add(call)
    queue.fail(queue.take(), LOST)
    queue.confirm(queue.take(), 5)
    assert [status_of(call, index).value for index in range(4)] == ["unknown", "unknown", "unsent", "confirmed"]
    assert call.unsettled == 0


def test_abandoning_settles_all_that_waits() -> None:
    queue = PartitionQueue()
    calls = [submission(0), submission(1, 2)]
    for call in calls:
        queue.add(call)
    assert queue.abandon(TransportClosedError("closed")) == calls
    assert not queue
    assert all(failure.status is PublishStatus.UNSENT for call in calls for failure in call.failures.values())


steps = st.lists(
    st.one_of(
        st.lists(st.integers(0, 3), min_size=1, max_size=6),  # a call with events of these tenants
        st.sampled_from(["confirm", "fail"]),  # what becomes of the next batch
    ),
    max_size=30,
)


@given(steps=steps, most=st.integers(1, 5))
def test_every_event_is_settled_once_and_nothing_overtakes(steps: list[object], most: int) -> None:
    """For random calls and outcomes: what reached the log, per tenant, is in call order, and has no hole but those
    that a failure explains."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(publish_queue, "MAX_BATCH_MESSAGES", most)
        queue = PartitionQueue()
        calls: list[Submission] = []
        log: list[UUID] = []
        settled: list[Submission] = []
        for step in [*steps, *["confirm"] * 200]:
            if isinstance(step, list):
                calls.append(submission(*step))
                queue.add(calls[-1])
            elif queue:
                batch = queue.take()
                assert 1 <= len(batch.messages) <= most
                if step == "fail":
                    settled += queue.fail(batch, LOST)
                    waiting = {t for call in calls for i, t in enumerate(call.tenants) if i in call.pending}
                    assert not waiting & {s.tenants[i] for s, indexes in batch.parts for i in indexes}
                else:
                    settled += queue.confirm(batch, len(log))
                    log += ids(batch.messages)
        assert not queue
    assert len(settled) == len(calls)
    assert all(call.unsettled == 0 for call in calls)
    published = [message.id for call in calls for message in call.messages]
    assert log == [event for event in published if event in set(log)], "call order"
    offsets = {
        call.messages[index].id: first + place
        for call in calls
        for indexes, first in call.confirmed
        for place, index in enumerate(indexes)
    }
    assert {event: offset for offset, event in enumerate(log)} == offsets
    for call in calls:
        assert len(call.failures) + sum(len(indexes) for indexes, _ in call.confirmed) == len(call.messages)
