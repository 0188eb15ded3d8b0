"""What goes next, and what becomes of each event: checked against a plain model for random calls and outcomes."""

from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustok_iggy import publish_queue
from rustok_iggy.errors import PredecessorFailedError, TransportClosedError
from rustok_iggy.publish_queue import Batch, PartitionQueue, PublishFailure, PublishStatus, Submission
from rustok_iggy_connector import OutgoingMessage

TENANTS = [UUID(int=number) for number in range(1, 5)]
LOST = PublishFailure(PublishStatus.UNKNOWN, RuntimeError("lost"))
DOWN = PublishFailure(PublishStatus.FAILED, RuntimeError("down"))


def submission(*tenants: int, size: int = 1, deadline: float = 0.0) -> Submission:
    messages = [OutgoingMessage(id=uuid4(), payload=b"x" * size) for _ in tenants]
    return Submission(messages, [TENANTS[tenant] for tenant in tenants], deadline=deadline)


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


def test_an_expiry_fails_what_has_no_time_left_and_later_events_of_its_tenants() -> None:
    queue = PartitionQueue()
    old, young, later = submission(0, deadline=1), submission(1, 0, deadline=2), submission(0, 1, deadline=3)
    for call in (old, young, later):
        queue.add(call)
    batch = queue.take()
    queued = submission(0, 2, deadline=4)
    queue.add(queued)
    assert queue.fail(batch, DOWN, now=1) == [old]
    assert (batch.unsettled_events, batch.unsettled()) == (2, [(young, [0]), (later, [1])])
    for held_back, index in ((young, 1), (later, 0), (queued, 0)):
        error = held_back.failures[index].error
        assert isinstance(error, PredecessorFailedError)
        assert error.predecessor_id == old.messages[0].id

    assert queue.fail(batch, LOST, now=2) == [young, later], "the second event of tenant 1 is in the same request"
    assert [status_of(old, 0), status_of(young, 1)] == [PublishStatus.FAILED, PublishStatus.UNSENT], "settled once"
    assert [status_of(young, 0), status_of(later, 1)] == [PublishStatus.UNKNOWN] * 2
    assert queue.confirm(batch, 0) == []
    assert ids(queue.take().messages) == [queued.messages[1].id]


def test_the_offsets_of_what_is_left_count_all_that_was_sent() -> None:
    for repeats, offsets in ((False, [41, 43]), (True, [40, 41])):
        queue = PartitionQueue()
        old, young, youngest = submission(0, deadline=1), submission(1, 0, 2, deadline=2), submission(0, deadline=3)
        for call in (old, young, youngest):
            queue.add(call)
        batch = queue.take()
        assert queue.fail(batch, LOST, now=1) == [old, youngest]
        if repeats:
            batch.leave_out_settled()
            assert ids(batch.messages) == [young.messages[0].id, young.messages[2].id]
        assert queue.confirm(batch, 40) == [young]
        assert [(list(indexes), first) for indexes, first in young.confirmed] == [([0], offsets[0]), ([2], offsets[1])]


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
        st.sampled_from(["take", "confirm", "repeat", "fail"]),  # what becomes of the next batch
        st.tuples(st.sampled_from([LOST, DOWN]), st.integers(0, 4)),  # the time of some of it is over
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
        batch: Batch | None = None
        for step in [*steps, *["confirm"] * 200]:
            if isinstance(step, list):
                calls.append(submission(*step, deadline=len(calls)))
                queue.add(calls[-1])
                continue
            if batch is None:
                if not queue:
                    continue
                batch = queue.take()
                assert 1 <= len(batch.messages) <= most
            if isinstance(step, tuple):
                failure, place = step
                now = batch.parts[min(place, len(batch.parts) - 1)][0].deadline
                before = batch.unsettled()
                settled += queue.fail(batch, failure, now=now)
                over = {s.tenants[i] for s, indexes in before if s.deadline <= now for i in indexes}
                left = batch.unsettled()
                assert all(s.deadline > now and s.tenants[i] not in over for s, indexes in left for i in indexes)
                assert not {t for call in calls for i, t in enumerate(call.tenants) if i in call.pending} & over
            elif step == "repeat":
                batch.leave_out_settled()
            elif step == "fail":
                failing = {s.tenants[i] for s, indexes in batch.unsettled() for i in indexes}
                settled += queue.fail(batch, LOST)
                waiting = {t for call in calls for i, t in enumerate(call.tenants) if i in call.pending}
                assert not waiting & failing
                batch = None
            elif step == "confirm":
                settled += queue.confirm(batch, len(log))
                log += ids(batch.messages)
                batch = None
            if batch is not None and not batch.unsettled_events:
                batch = None
        assert not queue
    assert len(settled) == len({id(call) for call in settled}) == len(calls)
    assert all(call.unsettled == 0 for call in calls)
    published = [message.id for call in calls for message in call.messages]
    assert log == [event for event in published if event in set(log)], "call order"
    offsets = {
        call.messages[index].id: first + place
        for call in calls
        for indexes, first in call.confirmed
        for place, index in enumerate(indexes)
    }
    assert offsets.items() <= {event: offset for offset, event in enumerate(log)}.items()
    for call in calls:
        assert len(call.failures) + sum(len(indexes) for indexes, _ in call.confirmed) == len(call.messages)
