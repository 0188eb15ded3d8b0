"""Topic options: every key, both forms of a value, limits, and the blocks that replies carry."""

import contextlib
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustok_iggy_connector.local_server.options import (
    NEVER,
    TOPIC_OPTIONS,
    Value,
    derived_options,
    encode_option,
    explicit_options,
    patched_options,
    read_options,
)
from rustok_iggy_connector.local_server.refusal import Refusal
from rustok_iggy_connector.wire.fields import Field, ValueKind

MINUTE = 60_000_000


def status_of(option: Field, *, updating: bool = False) -> int:
    with pytest.raises(Refusal) as caught:
        read_options([option], updating=updating)
    assert not caught.value.committed
    return caught.value.status


@pytest.mark.parametrize(
    ("option", "value"),
    [
        (Field.u64("message_expiry", 5), 5),
        (Field.text("message_expiry", "1h 30m"), 90 * MINUTE),
        (Field.text("message_expiry", "7 days"), 7 * 1440 * MINUTE),
        (Field.text("message_expiry", "250ms"), 250_000),
        (Field.text("message_expiry", "never_expire"), NEVER),
        (Field.u64("max_topic_size", NEVER), NEVER),
        (Field.text("max_topic_size", "unlimited"), NEVER),
        (Field.text("max_topic_size", "2 GB"), 2_000_000_000),
        (Field.text("segment_size", "128 MiB"), 128 << 20),
        (Field.text("segment_size", "1.5mib"), 3 << 19),
        (Field.u64("segment_size", 1 << 30), 1 << 30),
        (Field.text("durability", "persisted"), "persisted"),
        (Field.text("consumer_offset_durability", "replicated"), "replicated"),
        (Field.boolean("enforce_fsync", True), True),
        (Field.text("enforce_fsync", "false"), False),
        (Field.text("compression_algorithm", "GZIP"), "gzip"),
        (Field(b"compression_algorithm", b"\x01", ValueKind.UINT8), "none"),
        (Field.u32("messages_required_to_save", 1), 1),
        (Field.text("messages_required_to_save", "4096"), 4096),
        (Field.text("size_of_messages_required_to_save", "64KiB"), 65_536),
        (Field.boolean("preallocate_segments", False), False),
    ],
    ids=lambda value: f"{value.key.decode()}={value.value!r}" if isinstance(value, Field) else "",
)
def test_values_read_as_their_own_kind_or_as_text(option: Field, value: Value) -> None:
    assert read_options([option]) == {option.key.decode(): value}


@pytest.mark.parametrize(
    "option",
    [
        Field.u64("message_expiry", 0),
        Field.text("message_expiry", "server_default"),
        Field.u64("max_topic_size", 0),
        Field.text("max_topic_size", "none"),
        Field.u64("segment_size", 0),
        Field.text("size_of_messages_required_to_save", "0"),
    ],
    ids=lambda option: f"{option.key.decode()}={option.value!r}",
)
def test_zero_leaves_the_choice_to_the_server(option: Field) -> None:
    assert read_options([option]) == {}


@pytest.mark.parametrize(
    "option",
    [
        Field.u32("message_expiry", 5),
        Field(b"message_expiry", b"\x01\x02", ValueKind.UINT64),
        Field.text("message_expiry", "soon"),
        Field.text("message_expiry", "3 fortnights"),
        Field.text("message_expiry", "200 years"),
        Field.text("max_topic_size", "a lot"),
        Field.text("max_topic_size", "99999999999 EiB"),
        Field.u64("segment_size", (1 << 20) - 512),
        Field.u64("segment_size", (1 << 30) + 512),
        Field.u64("segment_size", (1 << 20) + 1),
        Field.text("durability", "best effort"),
        Field.boolean("durability", True),
        Field(b"durability", b"\xff", ValueKind.STRING),
        Field.text("enforce_fsync", "yes"),
        Field(b"enforce_fsync", b"\x02", ValueKind.BOOL),
        Field.u32("messages_required_to_save", 0),
        Field.u32("messages_required_to_save", (16 << 20) + 1),
        Field.text("messages_required_to_save", "-1"),
        Field.u64("size_of_messages_required_to_save", (1 << 30) + 1),
        Field.text("compression_algorithm", "brotli"),
        Field(b"compression_algorithm", b"\x03", ValueKind.UINT8),
    ],
    ids=lambda option: f"{option.key.decode()}={option.value!r}",
)
def test_bad_values_are_refused(option: Field) -> None:
    assert status_of(option) == 4042


@pytest.mark.parametrize("key", [b"partitions_count", b"replication_factor", b"\xff"])
def test_unknown_keys_are_refused(key: bytes) -> None:
    assert status_of(Field(key, b"1", ValueKind.STRING)) == 4041


@pytest.mark.parametrize("key", sorted(TOPIC_OPTIONS))
def test_only_expiry_size_and_compression_change_later(key: str) -> None:
    option = encode_option(key, TOPIC_OPTIONS[key].default or True)
    if key in {"message_expiry", "max_topic_size", "compression_algorithm"}:
        assert read_options([option], updating=True)
    else:
        assert status_of(option, updating=True) == 4041


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "message_expiry": st.integers(1, NEVER),
            "max_topic_size": st.integers(1, NEVER),
            "segment_size": st.integers(2048, 1 << 21).map(lambda blocks: blocks * 512),
            "durability": st.sampled_from(["replicated", "persisted"]),
            "enforce_fsync": st.booleans(),
            "messages_required_to_save": st.integers(1, 16 << 20),
            "preallocate_segments": st.booleans(),
        },
    )
)
def test_what_was_given_reads_back_and_the_rest_is_derived(given_options: dict[str, Value]) -> None:
    explicit = explicit_options(given_options)
    derived = derived_options(given_options)
    assert read_options(explicit) == given_options
    keys = {option.key for option in (*explicit, *derived)}
    assert len(keys) == len(explicit) + len(derived)
    assert keys >= {key.encode() for key in TOPIC_OPTIONS} - {b"enforce_fsync"}


def test_an_update_moves_derived_options_to_the_explicit_ones_as_they_were_sent() -> None:
    explicit, derived = explicit_options({"segment_size": 1 << 20}), derived_options({"segment_size": 1 << 20})
    sent = Field.text("message_expiry", "5 s")
    patched, rest = patched_options(explicit, derived, [sent])
    assert patched == (sent, *explicit)
    assert len(rest) == len(derived) - 1


@given(st.binary(min_size=1, max_size=20), st.integers(0, 20), st.sampled_from(sorted(TOPIC_OPTIONS)))
def test_no_bytes_cause_anything_but_a_value_or_a_refusal(value: bytes, kind: int, key: str) -> None:
    with contextlib.suppress(Refusal):
        read_options([Field(key.encode(), value, kind)])


def test_options_survive_json() -> None:
    options = derived_options({})
    text = json.dumps(msgspec.to_builtins(options))
    assert msgspec.convert(json.loads(text), tuple[Field, ...]) == options
