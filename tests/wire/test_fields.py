"""Options and user headers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustok_iggy_connector.errors import LocalProtocolError, RemoteProtocolError
from rustok_iggy_connector.wire.codes import Command, FrameKind
from rustok_iggy_connector.wire.commands.messages import PollMessagesReply
from rustok_iggy_connector.wire.fields import (
    MAX_FIELDS_BYTES,
    MAX_OPTIONS,
    Field,
    ValueKind,
    decode_fields,
    decode_options,
    encode_fields,
)
from tests.wire.recorded import frames_of

PARTS = st.binary(min_size=1, max_size=255)
KINDS = st.integers(1, 255)
FIELDS = st.lists(st.builds(Field, key=PARTS, value=PARTS, value_kind=KINDS, key_kind=KINDS), max_size=5)


@given(fields=FIELDS)
def test_fields_make_the_round_also_of_kinds_nobody_knows(fields: list[Field]) -> None:
    assert decode_fields(encode_fields(fields)) == tuple(fields)


@given(fields=FIELDS, data=st.data())
def test_a_truncated_block_is_an_error_or_fewer_fields(fields: list[Field], data: st.DataObject) -> None:
    block = encode_fields(fields)
    cut = block[: data.draw(st.integers(0, len(block)))]
    try:
        kept = decode_fields(cut)
    except RemoteProtocolError:
        return
    assert kept == tuple(fields[: len(kept)])
    assert encode_fields(kept) == cut


def test_the_headers_that_the_published_client_sent_are_read() -> None:
    blocks = [
        message.headers
        for frame in frames_of(FrameKind.REPLY)
        if frame.command is Command.POLL_MESSAGES and frame.body
        for batch in PollMessagesReply.decode(frame.body).parsed()
        for message in batch.messages()
        if message.headers
    ]
    assert blocks
    for block in blocks:
        assert encode_fields(decode_fields(block)) == block
        assert all(field.key_kind == ValueKind.STRING for field in decode_fields(block))


def test_typed_values_have_the_bytes_of_their_kind() -> None:
    assert Field.u64("message_expiry", 1) == Field(b"message_expiry", b"\x01" + bytes(7), ValueKind.UINT64)
    assert Field.u32("messages_required_to_save", 1).value == b"\x01\0\0\0"
    assert Field.boolean("enforce_fsync", True) == Field(b"enforce_fsync", b"\x01", ValueKind.BOOL)
    assert Field.text("compression_algorithm", "none").value == b"none"
    with pytest.raises(LocalProtocolError):
        Field.u32("n", 2**32)


@pytest.mark.parametrize(
    "block",
    [
        b"\x02\x01\0\0\0a",
        b"\x00\x01\0\0\0a\x01\x01\0\0\0b",
        b"\x02\0\0\0\0\x01\x01\0\0\0b",
        b"\x02\x01\0\0\0a\x01\x00\x01\0\0" + bytes(256),
        b"\x02\x01\0\0\0a\x01\xff\xff\xff\xff",
    ],
    ids=["no value", "kind 0", "empty key", "value of 256 bytes", "wild length"],
)
def test_a_broken_block_is_an_error(block: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        decode_fields(block)


@pytest.mark.parametrize("wrong", [Field(b"", b"v"), Field(b"k", b""), Field(b"k" * 256, b"v"), Field(b"k", b"v", 0)])
def test_what_is_no_field_is_the_senders_error(wrong: Field) -> None:
    with pytest.raises(LocalProtocolError):
        encode_fields([wrong])


def test_a_block_is_bounded_both_ways() -> None:
    big = [Field(b"k" * 255, b"v" * 255)] * (MAX_FIELDS_BYTES // 520 + 1)
    with pytest.raises(LocalProtocolError):
        encode_fields(big)
    half = encode_fields(big[: len(big) // 2 + 1])
    with pytest.raises(RemoteProtocolError, match="allowed"):
        decode_fields(half + half)


def test_options_have_text_keys_none_twice_and_not_too_many() -> None:
    two = (Field.text("a", "1"), Field.text("b", "2"))
    assert decode_options(encode_fields(two)) == two
    for wrong in (
        [Field.text("a", "1"), Field.text("a", "2")],
        [Field(b"a", b"1", key_kind=ValueKind.RAW)],
        [Field(b"\xff", b"1")],
        [Field.u32(f"option-{n}", n) for n in range(MAX_OPTIONS + 1)],
    ):
        with pytest.raises(RemoteProtocolError):
            decode_options(encode_fields(wrong))


def test_values_stay_out_of_reprs() -> None:
    assert "SECRET" not in repr(Field.text("token", "SECRET"))
