"""Batches: what is built parses back, what is stamped or sliced is still true, and no flipped bit goes unseen."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustok_iggy_connector.errors import LocalProtocolError, RemoteProtocolError
from rustok_iggy_connector.wire.batch import (
    BATCH_HEADER_BYTES,
    FRAME_HEADER_BYTES,
    MAX_TIMESTAMP_DELTA,
    Batch,
    BatchHeader,
    NewMessage,
    StoredMessage,
    build_batch,
    read_contents,
    split_batches,
)
from rustok_iggy_connector.wire.codes import Command, FrameKind
from rustok_iggy_connector.wire.commands.messages import PollMessagesReply, SendMessages
from tests.wire.recorded import frames_of

U64 = st.integers(0, 2**64 - 1)
NEW_MESSAGES = st.lists(
    st.builds(
        NewMessage,
        id=st.integers(0, 2**128 - 1),
        payload=st.binary(min_size=1, max_size=40),
        headers=st.binary(max_size=20),
        origin_timestamp=st.integers(1_000, 1_000 + MAX_TIMESTAMP_DELTA),
    ),
    min_size=1,
    max_size=8,
)


def recorded_batches() -> list[bytes]:
    sent = [
        bytes(SendMessages.decode(frame.body).batch)
        for frame in frames_of(FrameKind.REQUEST)
        if frame.command is Command.SEND_MESSAGES
    ]
    polled = [
        bytes(batch.data)
        for frame in frames_of(FrameKind.REPLY)
        if frame.command is Command.POLL_MESSAGES and frame.body
        for batch in PollMessagesReply.decode(frame.body).parsed()
    ]
    return sent + polled


def rebuilt(batch: Batch) -> bytes:
    """The batch made again from its messages, through every builder we have."""
    messages = list(batch.messages())
    fresh = build_batch(
        NewMessage(id=m.id, payload=m.payload, headers=m.headers, origin_timestamp=m.origin_timestamp) for m in messages
    )
    header = batch.header
    return Batch.parse(fresh).stamped(
        partition_id=header.partition_id, base_offset=header.base_offset, base_timestamp=header.base_timestamp
    )


def test_recorded_batches_hold_and_are_made_again_bit_for_bit() -> None:
    batches = [Batch.parse(data) for data in recorded_batches()]
    whole = [batch for batch in batches if batch.first_delta == 0]
    assert len(whole) > 20
    assert len(whole) < len(batches), "the recordings also hold slices"
    for batch in whole:
        # A slice keeps the origin timestamp of the batch it came from; only those can differ.
        if next(batch.messages()).origin_timestamp == batch.header.origin_timestamp:
            assert rebuilt(batch) == batch.data


@given(messages=NEW_MESSAGES)
def test_a_built_batch_parses_back_to_its_messages(messages: list[NewMessage]) -> None:
    batch = Batch.parse(build_batch(messages))
    assert [(m.id, m.payload, m.headers, m.origin_timestamp) for m in batch.messages()] == [
        (m.id, m.payload, m.headers, m.origin_timestamp) for m in messages
    ]
    assert [m.offset for m in batch.messages()] == list(range(len(messages)))
    assert batch.header.origin_timestamp == min(m.origin_timestamp for m in messages)


@given(messages=NEW_MESSAGES, partition=U64, offset=U64, timestamp=U64)
def test_a_stamped_batch_is_proven_anew_and_keeps_its_frames(
    messages: list[NewMessage], partition: int, offset: int, timestamp: int
) -> None:
    fresh = build_batch(messages)
    stamped = Batch.parse(fresh).stamped(partition_id=partition, base_offset=offset, base_timestamp=timestamp)
    assert stamped[BATCH_HEADER_BYTES:] == fresh[BATCH_HEADER_BYTES:]
    batch = Batch.parse(stamped)
    assert batch.header.partition_id == partition
    assert [m.offset for m in batch.messages()] == [offset + n for n in range(len(messages))]
    assert {m.timestamp for m in batch.messages()} == {timestamp}


@given(messages=NEW_MESSAGES, data=st.data())
def test_a_slice_holds_exactly_the_messages_asked_for(messages: list[NewMessage], data: st.DataObject) -> None:
    base = data.draw(st.integers(0, 100))
    batch = Batch.parse(Batch.parse(build_batch(messages)).stamped(partition_id=1, base_offset=base, base_timestamp=7))
    start = data.draw(st.integers(0, base + len(messages) + 2))
    limit = data.draw(st.integers(0, len(messages) + 1))
    expected = [m for m in batch.messages() if m.offset >= start][:limit]
    piece = batch.sliced(from_offset=start, max_messages=limit)
    assert (list(Batch.parse(piece).messages()) if piece else []) == expected
    assert bool(piece) == bool(expected)


@given(messages=NEW_MESSAGES, data=st.data())
def test_a_slice_of_a_slice_is_the_slice(messages: list[NewMessage], data: st.DataObject) -> None:
    batch = Batch.parse(build_batch(messages))
    first = data.draw(st.integers(0, len(messages) - 1))
    second = data.draw(st.integers(first, len(messages) - 1))
    outer = Batch.parse(batch.sliced(from_offset=first, max_messages=len(messages)))
    assert outer.first_offset == first
    assert outer.sliced(from_offset=second, max_messages=1) == batch.sliced(from_offset=second, max_messages=1)


@given(messages=NEW_MESSAGES, data=st.data())
def test_any_flipped_bit_is_seen(messages: list[NewMessage], data: st.DataObject) -> None:
    batch = bytearray(build_batch(messages))
    batch[data.draw(st.integers(0, len(batch) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(RemoteProtocolError):
        Batch.parse(batch)


@given(messages=NEW_MESSAGES, data=st.data())
def test_any_truncation_and_any_surplus_is_seen(messages: list[NewMessage], data: st.DataObject) -> None:
    batch = build_batch(messages)
    for wrong in (batch[: data.draw(st.integers(0, len(batch) - 1))], batch + b"\0"):
        for verify in (True, False):
            with pytest.raises(RemoteProtocolError):
                Batch.parse(wrong, verify=verify)


@given(batches=st.lists(NEW_MESSAGES, max_size=4), data=st.data())
def test_batches_in_a_row_are_split_and_a_torn_one_is_seen(
    batches: list[list[NewMessage]], data: st.DataObject
) -> None:
    built = [build_batch(messages) for messages in batches]
    joined = b"".join(built)
    assert [bytes(batch.data) for batch in split_batches(joined)] == built
    cut = data.draw(st.integers(0, len(joined)))
    if cut not in [sum(map(len, built[:n])) for n in range(len(built) + 1)]:
        with pytest.raises(RemoteProtocolError):
            list(split_batches(joined[:cut]))


@given(data=st.binary(max_size=BATCH_HEADER_BYTES + 3 * FRAME_HEADER_BYTES))
def test_garbage_is_never_a_batch(data: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        Batch.parse(data)


def test_a_count_that_cannot_be_is_refused_before_the_frames_are_walked() -> None:
    data = bytearray(build_batch([NewMessage(id=1, payload=b"x")]))
    data[48:52] = b"\xff\xff\xff\xff"
    with pytest.raises(RemoteProtocolError, match="cannot hold"):
        Batch.parse(data, verify=False)


@pytest.mark.parametrize("verify", [True, False])
def test_the_length_is_the_batchs_own(verify: bool) -> None:
    whole = build_batch([NewMessage(id=1, payload=b"x")])
    for length in (0, BATCH_HEADER_BYTES - 1, len(whole) - 1, len(whole) + 1, 2**64 - 1):
        wrong = replace(BatchHeader.decode(whole), length=length).encode() + whole[BATCH_HEADER_BYTES:]
        with pytest.raises(RemoteProtocolError, match="length"):
            Batch.parse(wrong, verify=verify)
        with pytest.raises(RemoteProtocolError):
            list(split_batches(wrong, verify=verify))


def test_a_batch_is_no_shorter_than_its_header() -> None:
    wrong = BatchHeader(origin_timestamp=0, length=BATCH_HEADER_BYTES - 1, checksum=0, count=0).encode()
    with pytest.raises(RemoteProtocolError, match="smaller"):
        BatchHeader.decode(wrong)


def test_reserved_bytes_of_a_frame_are_zero_also_when_checksums_are_not_asked_for() -> None:
    for position in range(40, FRAME_HEADER_BYTES):
        whole = bytearray(build_batch([NewMessage(id=1, payload=b"x")]))
        whole[BATCH_HEADER_BYTES + position] = 1
        with pytest.raises(RemoteProtocolError, match="reserved"):
            Batch.parse(whole, verify=False)


def test_the_frames_fill_the_batch() -> None:
    whole = build_batch([NewMessage(id=1, payload=b"x")])
    longer = replace(BatchHeader.decode(whole), length=len(whole) + 5).encode() + whole[BATCH_HEADER_BYTES:] + bytes(5)
    with pytest.raises(RemoteProtocolError, match="fill"):
        Batch.parse(longer, verify=False)


def test_offsets_inside_a_batch_are_consecutive() -> None:
    frames = [build_batch([NewMessage(id=n, payload=b"x")])[BATCH_HEADER_BYTES:] for n in (1, 2)]
    whole = build_batch([NewMessage(id=n, payload=b"x") for n in (1, 2)])
    twice_delta_zero = whole[:BATCH_HEADER_BYTES] + b"".join(frames)
    with pytest.raises(RemoteProtocolError, match="consecutive"):
        Batch.parse(twice_delta_zero, verify=False)


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [NewMessage(id=-1, payload=b"x")],
        [NewMessage(id=2**128, payload=b"x")],
        [NewMessage(id=1, payload=b"x", origin_timestamp=2**64)],
        [NewMessage(id=1, payload=b"x"), NewMessage(id=2, payload=b"x", origin_timestamp=MAX_TIMESTAMP_DELTA + 1)],
    ],
    ids=["no message", "negative id", "id too big", "timestamp too big", "timestamps too far apart"],
)
def test_what_cannot_be_a_batch_is_the_senders_error(messages: list[NewMessage]) -> None:
    with pytest.raises(LocalProtocolError):
        build_batch(messages)


def test_stamping_a_number_that_does_not_fit_is_the_senders_error() -> None:
    batch = Batch.parse(build_batch([NewMessage(id=1, payload=b"x")]))
    with pytest.raises(LocalProtocolError):
        batch.stamped(partition_id=2**64, base_offset=0, base_timestamp=0)


def test_payloads_stay_out_of_reprs() -> None:
    secret = b"very secret payload"
    batch = Batch.parse(build_batch([NewMessage(id=1, payload=secret, headers=secret)]))
    stored: StoredMessage = next(batch.messages())
    for value in (batch, stored, NewMessage(id=1, payload=secret)):
        assert "secret" not in repr(value)


def test_contents_are_what_the_messages_say() -> None:
    data = build_batch([NewMessage(id=n + 1, payload=b"p" * n, headers=b"h" * (3 - n)) for n in range(4)])
    whole = Batch.parse(Batch.parse(data).stamped(partition_id=1, base_offset=70, base_timestamp=5))
    batch = Batch.parse(whole.sliced(from_offset=71, max_messages=2))
    read = list(read_contents(b"".join((batch.data, whole.data))))
    assert [offset for offset, *_ in read] == [71, 72, 70, 71, 72, 73]
    assert read == [(m.offset, m.id, m.payload, m.timestamp, m.headers) for b in (batch, whole) for m in b.messages()]


@given(st.data())
def test_contents_are_refused_where_a_parse_is(draw: st.DataObject) -> None:
    """Whatever byte is another: read in one pass or parsed, a batch is refused by both or gives the same."""
    data = bytearray(build_batch([NewMessage(id=n + 1, payload=b"p" * 5, headers=b"h" * n) for n in range(3)]))
    data[draw.draw(st.integers(32, len(data) - 1))] = draw.draw(st.integers(0, 255))
    cut = bytes(data[: draw.draw(st.sampled_from((len(data), len(data) - 1, 300, 255)))])
    reserved = any(cut[52:256])  # of the header, which says nothing to who wants the messages
    try:
        parsed = [(m.offset, m.id, m.payload) for b in split_batches(cut, verify=False) for m in b.messages()]
    except RemoteProtocolError:
        if not reserved:
            with pytest.raises(RemoteProtocolError):
                list(read_contents(cut))
    else:
        assert [(offset, number, payload) for offset, number, payload, *_ in read_contents(cut)] == parsed
