"""One partition's log: polls, stored offsets, segments, retention; and a model of it as a list."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from rustok_iggy_connector.local_server.log import LogWrite, PartitionLog, Polled
from rustok_iggy_connector.local_server.recent import RecentBatches
from rustok_iggy_connector.local_server.refusal import Refusal
from rustok_iggy_connector.local_server.storage import ConsumerKey, MemoryStorage, StoredLog, StoredSegment, TrimLog
from rustok_iggy_connector.wire.batch import Batch, StoredMessage, split_batches
from rustok_iggy_connector.wire.primitives import PollingStrategy, StrategyKind
from tests.local_server.storage_samples import make_batch

ALICE, GROUP = ConsumerKey(1, 7), ConsumerKey(2, 0)
HUGE = 1 << 30


def new_log(*, segment_size: int = HUGE, recent: int = 1 << 20) -> PartitionLog:
    storage = MemoryStorage()
    return PartitionLog(StoredLog(id=1), storage=storage, recent=RecentBatches(limit=recent), segment_size=segment_size)


def write(log: PartitionLog, planned: LogWrite | None) -> None:
    assert planned is not None
    log._storage.commit([planned], lambda error: None)
    log.apply(planned)


def send(log: PartitionLog, *payloads: bytes, now: int = 1000) -> int:
    planned = log.plan_append(make_batch(*payloads), partition_id=3, now=now)
    write(log, planned)
    return planned.batch.base_offset


def messages(polled: Polled | None) -> list[StoredMessage]:
    """Every checksum is proven on the way."""
    if polled is None:
        return []
    found = [message for batch in split_batches(b"".join(polled.parts)) for message in batch.messages()]
    assert (len(found), found[-1].offset) == (polled.count, polled.last_offset)
    return found


def payloads(log: PartitionLog, start: int, count: int = 100) -> list[bytes]:
    return [message.payload for message in messages(log.poll(start, count=count))]


def start_of(log: PartitionLog, kind: StrategyKind, value: int = 0, *, count: int = 10) -> int:
    return log.start_of(PollingStrategy(kind, value), count=count, consumer=ALICE)


def assert_refused(status: int, call: object) -> None:
    assert callable(call)
    with pytest.raises(Refusal) as caught:
        call()
    assert (caught.value.status, caught.value.committed) == (status, False)


def test_batches_get_consecutive_offsets_and_come_back_with_valid_checksums() -> None:
    log = new_log()
    assert [send(log, b"a"), send(log, b"b", b"c"), send(log, b"d", now=2000)] == [0, 1, 3]
    found = messages(log.poll(0, count=10))
    assert [(message.offset, message.payload) for message in found] == [(0, b"a"), (1, b"b"), (2, b"c"), (3, b"d")]
    assert [message.timestamp for message in found] == [1000, 1000, 1000, 2000]
    assert (log.current_offset, log.messages_count, log.segments_count) == (3, 4, 1)


def test_the_time_of_a_batch_never_goes_back() -> None:
    log = new_log()
    send(log, b"a", now=2000)
    send(log, b"b", now=1500)
    assert [message.timestamp for message in messages(log.poll(0, count=2))] == [2000, 2000]


def test_a_poll_inside_batches_is_sliced_at_both_ends() -> None:
    log = new_log()
    send(log, b"0", b"1", b"2", b"3")
    send(log, b"4", b"5", b"6")
    assert payloads(log, 2, 3) == [b"2", b"3", b"4"]
    assert payloads(log, 5, 1) == [b"5"]
    assert payloads(log, 1, 100) == [b"1", b"2", b"3", b"4", b"5", b"6"]


def test_a_poll_past_the_end_or_for_nothing_gives_nothing() -> None:
    log = new_log()
    assert log.poll(0, count=10) is None
    send(log, b"a")
    assert log.poll(1, count=10) is None
    assert log.poll(2**64 - 1, count=10) is None
    assert log.poll(0, count=0) is None


def test_a_poll_ends_with_the_batch_that_reaches_the_size() -> None:
    log = new_log()
    for _ in range(4):
        send(log, bytes(1000))
    assert [len(messages(log.poll(0, count=100, max_bytes=size))) for size in (1, 1500, 5000)] == [1, 2, 4]


def test_where_each_strategy_starts() -> None:
    log = new_log()
    for now in (100, 200, 300):
        send(log, b"x", b"y", now=now)
    assert start_of(log, StrategyKind.OFFSET, 4) == 4
    assert start_of(log, StrategyKind.FIRST) == 0
    assert [start_of(log, StrategyKind.LAST, count=count) for count in (1, 2, 6, 100)] == [5, 4, 0, 0]
    assert start_of(log, StrategyKind.NEXT) == 0
    write(log, log.plan_offset(ALICE, 3))
    assert start_of(log, StrategyKind.NEXT) == 4
    assert [start_of(log, StrategyKind.TIMESTAMP, at) for at in (0, 100, 101, 300, 301)] == [0, 0, 2, 4, 6]


def test_a_timestamp_is_found_also_when_the_batches_are_no_longer_in_memory() -> None:
    log = new_log(recent=1)
    for now in (100, 200, 300):
        send(log, b"x", b"y", now=now)
    assert [start_of(log, StrategyKind.TIMESTAMP, at) for at in (0, 100, 101, 300, 301)] == [0, 0, 2, 4, 6]
    assert payloads(log, 1, 3) == [b"y", b"x", b"y"]


def test_offsets_may_be_stored_up_to_the_last_message_and_go_back() -> None:
    log = new_log()
    assert_refused(4100, lambda: log.plan_offset(ALICE, 0))
    send(log, b"a", b"b")
    assert_refused(4100, lambda: log.plan_offset(ALICE, 2))
    for offset in (1, 0):
        write(log, log.plan_offset(ALICE, offset))
        assert log.offsets == {ALICE: offset}
    assert_refused(3021, lambda: log.plan_offset_removal(GROUP))
    write(log, log.plan_offset_removal(ALICE))
    assert log.offsets == {}


def test_what_was_planned_and_not_committed_has_not_happened() -> None:
    log = new_log()
    send(log, b"a")
    lost = [
        log.plan_append(make_batch(b"b"), partition_id=0, now=1),
        log.plan_append(make_batch(b"c"), partition_id=0, now=1),
    ]
    assert [plan.batch.base_offset for plan in lost] == [1, 2]
    assert payloads(log, 0) == [b"a"]
    log.forget_plans()
    assert send(log, b"d") == 1
    assert payloads(log, 0) == [b"a", b"d"]


def test_what_is_stored_and_not_yet_applied_is_not_visible() -> None:
    """The storage's thread may be done before this one has heard of it."""
    log = new_log(recent=1)
    send(log, b"a")
    send(log, b"b")
    planned = log.plan_append(make_batch(b"c"), partition_id=0, now=1)
    log._storage.commit([planned], lambda error: None)
    assert payloads(log, 0) == [b"a", b"b"]
    log.apply(planned)
    assert payloads(log, 0) == [b"a", b"b", b"c"]


def test_an_empty_batch_is_refused() -> None:
    empty = make_batch(b"x").sliced(from_offset=0, max_messages=1)[:256]
    header = bytearray(empty)
    header[32:40] = (256).to_bytes(8, "little")
    header[48:52] = bytes(4)
    assert_refused(3, lambda: new_log().plan_append(Batch.parse(bytes(header), verify=False), partition_id=0, now=1))


def full_segments(count: int, *, now_step: int = 0) -> PartitionLog:
    """Segments of one batch of 1000 bytes of payload each, the last one full too."""
    log = new_log(segment_size=1000)
    for place in range(count):
        send(log, bytes(1000), now=1000 + place * now_step)
    return log


def test_segments_close_when_they_are_full() -> None:
    log = new_log(segment_size=2500)
    counts = []
    for _ in range(5):
        send(log, bytes(1000))  # 1304 bytes as a batch
        counts.append(log.segments_count)
    assert counts == [1, 2, 2, 3, 3]


def test_retention_by_age_removes_closed_segments_whose_last_message_is_old() -> None:
    log = full_segments(4, now_step=100)
    assert log.plan_retention(now=1099, expiry=100, max_bytes=None) is None
    assert log.plan_retention(now=1200, expiry=100, max_bytes=None) == TrimLog(log_id=1, first_offset=2)
    write(log, log.plan_retention(now=1200, expiry=100, max_bytes=None))
    assert (log.first_offset, log.messages_count, log.current_offset) == (2, 2, 3)
    assert [message.offset for message in messages(log.poll(0, count=10))] == [2, 3]


def test_retention_may_take_everything_and_offsets_go_on() -> None:
    log = full_segments(2)
    write(log, log.plan_retention(now=10**9, expiry=1, max_bytes=None))
    assert (log.messages_count, log.size_bytes, log.current_offset, log.segments_count) == (0, 0, 1, 1)
    assert log.poll(0, count=10) is None
    assert send(log, b"next") == 2
    assert payloads(log, 0) == [b"next"]


def test_retention_by_size_counts_closed_segments_only() -> None:
    log = full_segments(3)
    send(log, b"in the open segment")
    size = log._segments[0].bytes_after
    assert log.plan_retention(now=0, expiry=None, max_bytes=3 * size) is None
    assert log.plan_retention(now=0, expiry=None, max_bytes=3 * size - 1) == TrimLog(log_id=1, first_offset=1)
    assert log.plan_retention(now=0, expiry=None, max_bytes=0) == TrimLog(log_id=1, first_offset=3)
    assert log.plan_retention(now=0, expiry=None, max_bytes=None) is None


def test_the_lowest_stored_offset_holds_segments_back() -> None:
    log = full_segments(4)
    write(log, log.plan_offset(GROUP, 2))
    write(log, log.plan_offset(ALICE, 1))
    assert log.plan_retention(now=10**9, expiry=1, max_bytes=None) == TrimLog(log_id=1, first_offset=2)
    assert log.plan_segments_removal(100) == TrimLog(log_id=1, first_offset=2)
    assert log.plan_segments_removal(1) == TrimLog(log_id=1, first_offset=1)
    write(log, log.plan_offset_removal(ALICE))
    assert log.plan_retention(now=10**9, expiry=1, max_bytes=None) == TrimLog(log_id=1, first_offset=3)


def test_a_log_goes_on_where_it_stood() -> None:
    storage = MemoryStorage()
    segments = (
        StoredSegment(first_offset=4, last_offset=7, bytes_before=900, bytes_after=2000, last_timestamp=50),
        StoredSegment(first_offset=8, last_offset=9, bytes_before=2000, bytes_after=2100, last_timestamp=70),
    )
    stored = StoredLog(id=1, next_offset=10, segments=segments, offsets={ALICE: 5})
    log = PartitionLog(stored, storage=storage, recent=RecentBatches(), segment_size=500)
    assert (log.first_offset, log.current_offset, log.messages_count, log.size_bytes) == (4, 9, 6, 1200)
    planned = log.plan_append(make_batch(b"x"), partition_id=0, now=60).batch
    assert (planned.base_offset, planned.segment, planned.bytes_before, planned.timestamp) == (10, 8, 2100, 70)


class LogModel(RuleBasedStateMachine):
    """A log is a list of payloads whose front may be missing."""

    @initialize(segment_size=st.sampled_from([400, 1500, HUGE]), recent=st.sampled_from([1, 1000, 1 << 20]))
    def begin(self, segment_size: int, recent: int) -> None:
        self.log = new_log(segment_size=segment_size, recent=recent)
        self.model: list[bytes] = []
        self.first = 0
        self.now = 1000
        self.times: list[int] = []

    @rule(sizes=st.lists(st.integers(1, 300), min_size=1, max_size=6), step=st.integers(-5, 50))
    def send(self, sizes: list[int], step: int) -> None:
        self.now += step
        made = [bytes([len(self.model) % 256]) * size for size in sizes]
        assert send(self.log, *made, now=self.now) == len(self.model)
        self.model += made
        self.times += [max(self.now, self.times[-1] if self.times else 0)] * len(made)

    @rule(sizes=st.lists(st.integers(1, 300), min_size=1, max_size=3))
    def send_that_fails(self, sizes: list[int]) -> None:
        self.log.plan_append(make_batch(*map(bytes, sizes)), partition_id=0, now=self.now)
        self.log.forget_plans()

    @rule(start=st.integers(0, 60), count=st.integers(1, 12))
    def poll(self, start: int, count: int) -> None:
        first = max(start, self.first)
        assert payloads(self.log, start, count) == self.model[first : first + count]

    @rule(timestamp=st.integers(990, 1500))
    def poll_from_a_time(self, timestamp: int) -> None:
        start = start_of(self.log, StrategyKind.TIMESTAMP, timestamp)
        expected = [body for body, at in zip(self.model, self.times, strict=True) if at >= timestamp]
        assert payloads(self.log, start, 1000) == expected[-len(self.model[self.first :]) or len(expected) :]

    @precondition(lambda self: self.model)
    @rule(consumer=st.sampled_from([ALICE, GROUP]), data=st.data())
    def store(self, consumer: ConsumerKey, data: st.DataObject) -> None:
        offset = data.draw(st.integers(0, len(self.model) - 1))
        if self.log.messages_count or self.log.current_offset:
            write(self.log, self.log.plan_offset(consumer, offset))

    @rule(expiry=st.sampled_from([0, 50]), max_bytes=st.sampled_from([None, 0, 2000]))
    def retain(self, expiry: int, max_bytes: int | None) -> None:
        planned = self.log.plan_retention(now=self.now, expiry=expiry, max_bytes=max_bytes)
        if planned is not None:
            assert planned.first_offset > self.first
            assert all(planned.first_offset - 1 <= stored for stored in self.log.offsets.values())
            self.first = planned.first_offset
            write(self.log, planned)

    @invariant()
    def counts_agree(self) -> None:
        if hasattr(self, "log"):
            assert (self.log.next_offset, self.log.first_offset) == (len(self.model), self.first)
            assert self.log.messages_count == len(self.model) - self.first


TestLogModel = LogModel.TestCase
