"""The reader never takes more than there is, the writer never more than fits, and values keep their rules."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustok_iggy_connector.errors import LocalProtocolError, RemoteProtocolError
from rustok_iggy_connector.wire.primitives import (
    Consumer,
    ConsumerKind,
    Identifier,
    Partitioning,
    PartitioningKind,
    PollingStrategy,
    Reader,
    StrategyKind,
    Writer,
    read_identifier,
    read_partition,
    write_identifier,
    write_partition,
)

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(lambda name: len(name.encode()) <= 255)
IDENTIFIERS = st.integers(0, 2**32 - 1) | NAMES


def written(write: Callable[[Writer], None]) -> bytes:
    writer = Writer()
    write(writer)
    return writer.getvalue()


@pytest.mark.parametrize(
    ("name", "largest"), [("u8", 2**8 - 1), ("u16", 2**16 - 1), ("u32", 2**32 - 1), ("u64", 2**64 - 1)]
)
def test_numbers_make_the_round_and_stop_at_their_width(name: str, largest: int) -> None:
    for value in (0, 1, largest):
        data = written(lambda writer, value=value: getattr(writer, name)(value))  # type: ignore[misc]
        assert getattr(Reader(data), name)() == value
        with pytest.raises(RemoteProtocolError):
            getattr(Reader(data[:-1]), name)()
    for value in (-1, largest + 1):
        with pytest.raises(LocalProtocolError):
            getattr(Writer(), name)(value)


@given(value=IDENTIFIERS)
def test_identifiers_make_the_round(value: Identifier) -> None:
    reader = Reader(written(lambda writer: write_identifier(writer, value)))
    assert read_identifier(reader) == value
    reader.finish()


def test_an_identifier_is_a_number_or_a_name_also_when_the_name_is_digits() -> None:
    assert written(lambda writer: write_identifier(writer, 7)) == bytes.fromhex("0104 07000000")
    assert written(lambda writer: write_identifier(writer, "7")) == bytes.fromhex("0201 37")


@pytest.mark.parametrize("data", ["0000", "0103000000", "010407000000ff", "0200", "0301ff", "0201ff", "02056162"])
def test_what_is_no_identifier_is_an_error(data: str) -> None:
    reader = Reader(bytes.fromhex(data))
    with pytest.raises(RemoteProtocolError):
        read_identifier(reader)
        reader.finish()


def test_names_are_one_to_255_bytes() -> None:
    for wrong in ("", "x" * 256, "ü" * 128, "\ud800"):
        with pytest.raises(LocalProtocolError):
            Writer().name(wrong)
    with pytest.raises(RemoteProtocolError):
        Reader(b"\0").name()


@given(value=st.none() | st.integers(0, 2**32 - 1))
def test_a_partition_choice_makes_the_round(value: int | None) -> None:
    assert read_partition(Reader(written(lambda writer: write_partition(writer, value)))) == value


def test_a_partition_without_its_flag_is_an_error() -> None:
    with pytest.raises(RemoteProtocolError):
        read_partition(Reader(bytes.fromhex("0001000000")))


@pytest.mark.parametrize(
    "value",
    [
        Consumer(ConsumerKind.SINGLE, 1),
        Consumer(ConsumerKind.GROUP, "billing"),
        *(PollingStrategy(kind, 2**64 - 1) for kind in StrategyKind),
        Partitioning(PartitioningKind.BALANCED),
        Partitioning.to_partition(2**32 - 1),
        Partitioning(PartitioningKind.KEY, key=b"\xff"),
    ],
    ids=repr,
)
def test_values_make_the_round(value: Consumer | PollingStrategy | Partitioning) -> None:
    reader = Reader(written(value.write))
    assert type(value).read(reader) == value
    reader.finish()


@pytest.mark.parametrize(
    ("cls", "data"),
    [
        (Consumer, "00010400000000"),
        (Consumer, "03010400000000"),
        (PollingStrategy, "000000000000000000"),
        (PollingStrategy, "060000000000000000"),
        (Partitioning, "0000"),
        (Partitioning, "010100"),
        (Partitioning, "020500000000ff"),
        (Partitioning, "0300"),
        (Partitioning, "0400"),
    ],
)
def test_unknown_kinds_and_wrong_lengths_are_errors(
    cls: type[Consumer | PollingStrategy | Partitioning], data: str
) -> None:
    with pytest.raises(RemoteProtocolError):
        cls.read(Reader(bytes.fromhex(data)))


@pytest.mark.parametrize("key", [b"", b"k" * 256])
def test_a_partition_key_is_one_to_255_bytes(key: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        Partitioning(PartitioningKind.KEY, key=key).write(Writer())


def test_a_count_is_held_against_the_bytes_that_are_left() -> None:
    assert Reader(b"\x02\0\0\0" + bytes(16)).count(element_bytes=8) == 2
    with pytest.raises(RemoteProtocolError, match="announced"):
        Reader(b"\x03\0\0\0" + bytes(16)).count(element_bytes=8)


def test_a_flag_is_zero_or_one() -> None:
    assert (Reader(b"\0").flag(), Reader(b"\x01").flag()) == (False, True)
    with pytest.raises(RemoteProtocolError):
        Reader(b"\x02").flag()
