from __future__ import annotations

import json
import struct
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from rustok_iggy.dead_letters.layout import (
    CUT_MARK,
    MAX_MESSAGE_CHARACTERS,
    MAX_METADATA_BYTES,
    JournalMessage,
    Original,
    decode_original,
    decode_record,
    encode_original,
    encode_record,
)
from rustok_iggy.dead_letters.records import Claim, Letter, Outcome, Settlement
from rustok_iggy.errors import DeadLetterError
from rustok_iggy_connector import MAX_PAYLOAD_BYTES
from tests.dead_letters.journal_records import (
    SOURCE,
    attempt,
    checkpoint,
    claim,
    epoch,
    event,
    failure,
    letter,
    release,
    request,
    request_end,
    settlement,
    tenant,
)

OWNER = epoch(7, "A")
RECORDS = [
    claim(OWNER, committed=4),
    release(OWNER, closes=3),
    letter(OWNER, 5),
    letter(OWNER, 5, of=None, event_id=None, event_type=None, schema_version=None),
    attempt(OWNER, 5, 1),
    settlement(OWNER, 5, Outcome.HANDLED),
    settlement(OWNER, 5, Outcome.FAILED),
    request(rate=2.5, abort_ratio=0.5, topic="domain", partitions=(1, 3)),
    request_end(OWNER),
    checkpoint(OWNER, committed=4),
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: type(record).__name__)
def test_every_kind_comes_back_as_it_was(record: Any) -> None:
    opened = decode_record(encode_record(record).payload)
    assert opened.record == record
    assert opened.body == b""


def test_the_bytes_of_a_record() -> None:
    message = encode_record(attempt(epoch(7, "A", group_id=2, topic=1_700_000_000_000_000), 5, 1))
    (length,) = struct.unpack_from("<I", message.payload)
    assert length == len(message.payload) - 4
    assert json.loads(message.payload[4:]) == {
        "kind": "attempt",
        "source": {"group": "billing", "topic": "domain", "partition": 3},
        "epoch": [2, 7, "A", 1_700_000_000_000_000],
        "offset": 5,
        "number": 1,
        "request": str(UUID(int=3001)),
    }
    assert message.headers == {"rk-kind": b"attempt", "rk-group": b"billing"}


def test_an_epoch_without_the_time_of_its_topic_comes_before_all_that_have_one() -> None:
    record = encode_record(claim(epoch(7, topic=1))).payload
    older = decode_record(_with_length(record[4:].replace(b'"A",1]', b'"A"]'))).record
    assert isinstance(older, Claim)
    assert older.epoch == epoch(7, topic=0)
    assert older.epoch.rank < epoch(1, topic=1).rank


def _with_length(head: bytes) -> bytes:
    return struct.pack("<I", len(head)) + head


def test_the_headers_of_a_letter_name_tenant_and_event() -> None:
    assert encode_record(letter(OWNER, 5)).headers == {
        "rk-kind": b"letter",
        "rk-group": b"billing",
        "rk-tenant": str(tenant(0)).encode(),
        "rk-event": str(event(5)).encode(),
    }
    unknown = encode_record(letter(OWNER, 5, of=None, event_id=None))
    assert set(unknown.headers) == {"rk-kind", "rk-group"}


def test_the_bytes_of_an_original() -> None:
    body = encode_original(Original(headers={"rk": b"\x01\x02", "a": b"z"}, payload=b"payload"))
    assert body == b"\x0a\x00\x00\x00" + b"\x02rk\x02\x01\x02" + b"\x01a\x01z" + b"payload"


names = st.text(min_size=1, max_size=60)


@given(headers=st.dictionaries(names, st.binary(min_size=1, max_size=255), max_size=5), payload=st.binary(max_size=300))
def test_a_letter_keeps_its_message_byte_for_byte(headers: dict[str, bytes], payload: bytes) -> None:
    original = Original(headers=headers, payload=payload)
    opened = decode_record(encode_record(letter(OWNER, 5), body=encode_original(original)).payload)
    assert decode_original(opened.body) == original


@given(message=st.text(max_size=200_000), stack=st.text(alphabet="a\x00\ud800é\n", max_size=200_000))
def test_whatever_was_raised_its_letter_is_written(message: str, stack: str) -> None:
    assert_fits(letter(OWNER, 5, failure=failure(message=message, stack=stack)))


@pytest.mark.parametrize("character", ["a", "\x00", "é", "\U0001f4a9", "\ud800", '"'])
def test_long_stacks_and_messages_are_cut(character: str) -> None:
    long = failure(message=character * 100_000, stack=character * 100_000 + "innermost")
    kept = assert_fits(letter(OWNER, 5, failure=long))
    assert kept.stack.startswith(CUT_MARK)
    assert kept.stack.endswith(character * 100 + "innermost" if character != "\ud800" else "innermost")
    assert_fits(replace(settlement(OWNER, 5, Outcome.FAILED), failure=long))


def test_a_short_stack_stays_whole_beside_a_long_message() -> None:
    kept = assert_fits(letter(OWNER, 5, failure=failure(message="m" * 90_000, stack="s" * 40_000)))
    assert kept.stack == "s" * 40_000
    assert kept.message == "m" * MAX_MESSAGE_CHARACTERS


def assert_fits(record: Letter | Settlement) -> Any:
    payload = encode_record(record).payload
    assert len(payload) <= 4 + MAX_METADATA_BYTES
    decoded = decode_record(payload).record
    assert isinstance(decoded, Letter | Settlement)
    return decoded.failure


def test_a_message_too_big_to_wrap_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(DeadLetterError, match=f"{MAX_PAYLOAD_BYTES}"):
        encode_record(letter(OWNER, 5), body=bytes(MAX_PAYLOAD_BYTES))


@pytest.mark.parametrize(
    "record",
    [
        letter(OWNER, 5, handler="h" * MAX_METADATA_BYTES),
        letter(OWNER, 5, handler="\ud800"),
        letter(OWNER, -1),
        letter(OWNER, 5, handler=""),
        letter(OWNER, 5, failure=failure(error_type="e" * 256)),
        claim(OWNER, source=replace(SOURCE, group="g" * 256)),
    ],
)
def test_what_cannot_be_written_is_an_error(record: Any) -> None:
    with pytest.raises(DeadLetterError):
        encode_record(record)


def test_a_header_that_no_server_takes_is_an_error() -> None:
    with pytest.raises(DeadLetterError):
        encode_original(Original(headers={"a": bytes(256)}, payload=b""))


BAD_PAYLOADS = {
    "empty": b"",
    "no length": b"\x01\x00\x00",
    "too long": struct.pack("<I", MAX_METADATA_BYTES + 1) + bytes(MAX_METADATA_BYTES + 1),
    "cut": struct.pack("<I", 10) + b"{}",
    "no JSON": struct.pack("<I", 3) + b"abc",
    "no text": struct.pack("<I", 3) + b'"\xff"',
    "deep": struct.pack("<I", 60_000) + b"[" * 60_000,
    "deep below an unknown field": struct.pack("<I", 60_020) + b'{"kind":"claim","x":' + b"[" * 60_000,
    "other kind": struct.pack("<I", 16) + b'{"kind":"claims"}'[:16],
    "unknown kind": struct.pack("<I", 17) + b'{"kind":"claims"}',
    "body where none belongs": encode_record(claim(OWNER)).payload + b"x",
}


@pytest.mark.parametrize("payload", BAD_PAYLOADS.values(), ids=BAD_PAYLOADS)
def test_anything_else_is_one_error(payload: bytes) -> None:
    with pytest.raises(DeadLetterError):
        decode_record(payload)


def padded(length: int) -> bytes:
    metadata = encode_record(claim(OWNER)).payload[4:]
    return struct.pack("<I", length) + metadata + b" " * (length - len(metadata))


def test_metadata_is_read_up_to_its_limit() -> None:
    assert decode_record(padded(MAX_METADATA_BYTES)).record == claim(OWNER)
    with pytest.raises(DeadLetterError, match=f"{MAX_METADATA_BYTES} are allowed"):
        decode_record(padded(MAX_METADATA_BYTES + 1))


INVALID = {
    "a letter that parks nobody it could name": (letter(OWNER, 5), {"tenant_id": None}),
    "a failure that did not fail": (settlement(OWNER, 5, Outcome.FAILED), {"outcome": "handled"}),
    "a handled letter with a failure": (settlement(OWNER, 5, Outcome.HANDLED), {"outcome": "failed"}),
    "an attempt 0": (attempt(OWNER, 5, 1), {"number": 0}),
    "a negative offset": (letter(OWNER, 5), {"offset": -1}),
    "a committed offset below none": (claim(OWNER), {"committed": -2}),
    "a request for nothing": (request(), {"selection": {}}),
    "a request for some of everything": (request(), {"selection": {"everything": True, "event_types": ["a"]}}),
    "a discard of what nobody saw": (request(), {"action": "discard"}),
    "a rate of nothing": (request(), {"rate": 0}),
    "more than all": (request(), {"abort_ratio": 1.5}),
    "an epoch without a member": (claim(OWNER), {"epoch": [1, 2]}),
}


@pytest.mark.parametrize(("record", "changes"), INVALID.values(), ids=INVALID)
def test_records_that_make_no_sense_are_refused(record: Any, changes: dict[str, object]) -> None:
    metadata = json.loads(encode_record(record).payload[4:])
    text = json.dumps({**metadata, **changes}).encode()
    with pytest.raises(DeadLetterError):
        decode_record(struct.pack("<I", len(text)) + text)


@given(st.binary(max_size=400))
def test_garbage_is_one_error(payload: bytes) -> None:
    refused(decode_record, payload)
    refused(decode_original, payload)


@given(record=st.sampled_from(RECORDS), data=st.data())
def test_damaged_records_are_one_error_or_other_records(record: Any, data: st.DataObject) -> None:
    payload = bytearray(encode_record(record, body=b"").payload)
    for _ in range(data.draw(st.integers(1, 4))):
        payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    refused(decode_record, bytes(payload))
    for end in (0, 3, 4, len(payload) // 2, len(payload) - 1):
        with pytest.raises(DeadLetterError):
            decode_record(encode_record(record).payload[:end])


def refused(decode: Any, payload: bytes) -> None:
    try:
        decode(payload)
    except DeadLetterError as error:
        assert_quotes_nothing(error)


def assert_quotes_nothing(error: DeadLetterError) -> None:
    assert error.__suppress_context__ or error.__context__ is None, "the cause may quote bytes"


def test_neither_reprs_nor_errors_show_what_an_event_said() -> None:
    secret = "hunter2"
    record = letter(OWNER, 5, failure=failure(message=secret, stack=secret))
    original = Original(headers={"h": secret.encode()}, payload=secret.encode())
    message = encode_record(record, body=encode_original(original))
    shown = [record, original, message, decode_record(message.payload)]
    assert isinstance(message, JournalMessage)
    assert not any(secret in repr(value) for value in shown)
    text = json.dumps({"kind": "claim", "source": secret}).encode()
    with pytest.raises(DeadLetterError) as caught:
        decode_record(struct.pack("<I", len(text)) + text)
    assert secret not in str(caught.value)
