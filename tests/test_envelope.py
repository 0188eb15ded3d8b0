"""Envelopes and their ids."""

import multiprocessing
import threading
import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from rustok_iggy.envelope import EventEnvelope, UlidGenerator, new_event_id
from rustok_iggy.errors import UnknownEventTypeError
from rustok_iggy.events import OrderCompleted, UserRegistered
from tests.envelopes import TENANT, envelopes

EVENT = OrderCompleted(order_id=TENANT)
NANOSECONDS = 1_000_000
"""In a millisecond."""


def milliseconds(event_id: UUID) -> int:
    return event_id.int >> 80


class Clock:
    """Nanoseconds that stand still until told."""

    def __init__(self, start: int) -> None:
        self.now = start * NANOSECONDS

    def __call__(self) -> int:
        return self.now


def test_an_id_is_the_time_in_milliseconds_and_eighty_random_bits() -> None:
    generator = UlidGenerator(clock=Clock(1_700_000_000_000), entropy=lambda count: bytes(range(count)))
    assert generator() == UUID(bytes=(1_700_000_000_000).to_bytes(6, "big") + bytes(range(10)))


@given(steps=st.lists(st.integers(-5, 5), min_size=1, max_size=50))
def test_ids_rise_whatever_the_clock_does(steps: list[int]) -> None:
    clock = Clock(1000)
    generator = UlidGenerator(clock=clock)
    made = []
    for step in steps:
        clock.now += step * NANOSECONDS
        made.append(generator())
    assert made == sorted(set(made))
    assert [str(one) for one in made] == sorted(str(one) for one in made)


def test_ids_rise_over_the_end_of_the_random_bits() -> None:
    generator = UlidGenerator(clock=Clock(1000), entropy=lambda count: b"\xff" * count)
    first, second = generator(), generator()
    assert second.int == first.int + 1
    assert (milliseconds(first), milliseconds(second)) == (1000, 1001)


def test_randomness_is_read_once_a_millisecond() -> None:
    reads = []
    generator = UlidGenerator(clock=Clock(1000), entropy=lambda count: bytes([reads.append(count) or 1]) * count)
    assert len({generator() for _ in range(100)}) == 100
    assert reads == [10]


def test_threads_never_share_an_id() -> None:
    made: list[UUID] = []
    threads = [threading.Thread(target=lambda: made.extend([new_event_id() for _ in range(2000)])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 8000


def test_the_process_generator_follows_the_clock() -> None:
    assert abs(milliseconds(new_event_id()) - time.time_ns() // NANOSECONDS) < 10_000


def _ids_of_child(send: object) -> None:
    send.send([new_event_id().int for _ in range(100)])  # type: ignore[attr-defined]


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_does_not_count_on_where_its_parent_does(monkeypatch: pytest.MonkeyPatch) -> None:
    in_an_hour = time.time_ns() // NANOSECONDS + 3_600_000
    monkeypatch.setattr(new_event_id, "_last", in_an_hour << 80)  # ids only count up until then
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_ids_of_child, args=(send,))
    child.start()
    theirs = receive.recv()
    child.join(10)
    assert not {*theirs} & {new_event_id().int for _ in range(100)}


def test_a_root_event_correlates_with_itself() -> None:
    envelope = EventEnvelope.new(TENANT, EVENT)
    assert envelope.correlation_id == envelope.id
    assert envelope.causation_id is None
    assert (envelope.event_type, envelope.schema_version, envelope.retry_count) == ("order.completed", 1, 0)
    assert (envelope.tenant_id, envelope.actor_id, envelope.trace_id) == (TENANT, None, None)


def test_a_caused_event_stays_in_its_history() -> None:
    root = EventEnvelope.new(TENANT, EVENT, trace_id="t")
    second = EventEnvelope.new(TENANT, EVENT, caused_by=root)
    third = EventEnvelope.new(TENANT, EVENT, caused_by=second, trace_id="u")
    assert (second.correlation_id, second.causation_id, second.trace_id) == (root.id, root.id, "t")
    assert (third.correlation_id, third.causation_id, third.trace_id) == (root.id, second.id, "u")
    assert root.id < second.id < third.id


def test_time_and_ids_can_be_given() -> None:
    moment = datetime(2026, 2, 14, tzinfo=UTC)
    envelope = EventEnvelope.new(TENANT, EVENT, ids=lambda: UUID(int=5), clock=lambda: moment, actor_id=UUID(int=6))
    assert (envelope.id, envelope.timestamp, envelope.actor_id) == (UUID(int=5), moment, UUID(int=6))


def test_the_timestamp_is_now_in_utc() -> None:
    timestamp = EventEnvelope.new(TENANT, EVENT).timestamp
    assert timestamp.tzinfo is UTC
    assert abs(datetime.now(UTC) - timestamp) < timedelta(seconds=10)


def test_the_repr_shows_ids_and_type_only() -> None:
    shown = repr(EventEnvelope.new(TENANT, UserRegistered(user_id=TENANT, email="secret@example.org"), trace_id="hush"))
    assert "user.registered" in shown
    assert str(TENANT) in shown
    assert "secret" not in shown
    assert "hush" not in shown


@given(envelope=envelopes())
def test_an_envelope_cannot_be_changed(envelope: EventEnvelope) -> None:
    with pytest.raises(AttributeError):
        envelope.retry_count = 1  # type: ignore[misc]


def test_a_class_that_was_not_declared_is_refused() -> None:
    class Stray(Struct):
        pass

    class Derived(OrderCompleted, frozen=True):
        pass

    with pytest.raises(UnknownEventTypeError, match="declare it"):
        EventEnvelope.new(TENANT, Stray())
    with pytest.raises(UnknownEventTypeError, match="declare it"):
        EventEnvelope.new(TENANT, Derived(order_id=TENANT))
