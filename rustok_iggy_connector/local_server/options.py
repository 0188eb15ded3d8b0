"""Topic options: which keys there are, how their values read, what holds when a key is not given.

Key, kinds, defaults and limits are iggy-server's (core/common/src/types/options/mod.rs). 0.9.0 took `enforce_fsync` out
and put the two durability keys in; both generations are understood here, since every send is durable anyway. A value
may come as its own kind or as text ("128 MiB", "7 days"); it is stored and shown in its own kind. Zero means "as the
server likes" for expiry and sizes, and counts as not given.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from types import MappingProxyType
from typing import Final, NamedTuple, TypeAlias

from rustok_iggy_connector.local_server.refusal import Refusal
from rustok_iggy_connector.wire.codes import Status
from rustok_iggy_connector.wire.fields import Field, ValueKind

NEVER: Final = 2**64 - 1
"""An expiry that never comes, and a topic size without a limit."""

MIN_SEGMENT_BYTES: Final = 1 << 20
MAX_SEGMENT_BYTES: Final = 1 << 30
SEGMENT_STEP_BYTES: Final = 512
MAX_MESSAGES_REQUIRED_TO_SAVE: Final = 16 << 20
MAX_SIZE_OF_MESSAGES_REQUIRED_TO_SAVE: Final = 1 << 30
MAX_PREALLOCATED_BYTES: Final = 64 << 30
MAX_EXPIRY_TEXT_SECONDS: Final = 2**32 - 1


Value: TypeAlias = str | bool | int


class OptionSpec(NamedTuple):
    """One key of the catalog. `default` None: not shown unless given."""

    kind: ValueKind
    default: Value | None
    read: Callable[[Field], Value]
    updatable: bool = False
    zero_is_absent: bool = False


_BYTE_UNITS: Final = {
    "": 1,
    **{f"{letter}{tail}": 1000**power for power, letter in enumerate("kmgtpe", 1) for tail in ("", "b")},
    **{f"{letter}i{tail}": 1024**power for power, letter in enumerate("kmgtpe", 1) for tail in ("", "b")},
    "b": 1,
}
_MICROS: Final = {
    "usec us": 1,
    "msec ms": 1_000,
    "seconds second secs sec s": 1_000_000,
    "minutes minute mins min m": 60_000_000,
    "hours hour hrs hr h": 3_600_000_000,
    "days day d": 86_400_000_000,
    "weeks week wks wk w": 604_800_000_000,
    "months month M": 2_630_016_000_000,
    "years year yrs yr y": 31_557_600_000_000,
}
_MICROS_BY_UNIT: Final = {unit: micros for units, micros in _MICROS.items() for unit in units.split()}
_SIZE_TEXT: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)", re.ASCII)
_DURATION_TEXT: Final = re.compile(r"(\d+)\s*([A-Za-z]+)\s*", re.ASCII)
_NOTHING: Final = frozenset({"0", "unlimited", "Unlimited", "none", "None"})


def _text(option: Field) -> str:
    if option.value_kind != ValueKind.STRING:
        raise ValueError("neither of the key's kind nor text")
    return option.value.decode()


def _number(option: Field, kind: ValueKind, layout: str) -> int | None:
    if option.value_kind != kind:
        return None
    try:
        (number,) = struct.unpack(layout, option.value)
    except struct.error as error:
        raise ValueError("wrong length") from error
    return int(number)


def _whole(text: str, limit: int) -> int:
    if not re.fullmatch(r"\+?\d+", text, re.ASCII) or int(text) > limit:
        raise ValueError("not a number in range")
    return int(text)


def _size(text: str) -> int:
    if text in _NOTHING:
        return 0
    match = _SIZE_TEXT.fullmatch(text.strip().lower())
    if match is None or match[2] not in _BYTE_UNITS:
        raise ValueError("not a size")
    size = int(Decimal(match[1]) * _BYTE_UNITS[match[2]])
    if size > NEVER:
        raise ValueError("size out of range")
    return size


def _duration(text: str) -> int:
    parts = _DURATION_TEXT.findall(text)
    if not parts or _DURATION_TEXT.sub("", text).strip() or any(unit not in _MICROS_BY_UNIT for _, unit in parts):
        raise ValueError("not a duration")
    micros = sum(int(count) * _MICROS_BY_UNIT[unit] for count, unit in parts)
    if micros > MAX_EXPIRY_TEXT_SECONDS * 1_000_000:
        raise ValueError("duration out of range")
    return micros


def _read_expiry(option: Field) -> Value:
    number = _number(option, ValueKind.UINT64, "<Q")
    if number is not None:
        return number
    text = _text(option)
    if text in {"unlimited", "Unlimited", "none", "None", "never_expire"}:
        return NEVER
    return 0 if text in {"default", "Default", "server_default", "Server_default"} else _duration(text)


def _read_topic_size(option: Field) -> Value:
    number = _number(option, ValueKind.UINT64, "<Q")
    if number is not None:
        return number
    text = _text(option)
    if text == "unlimited":
        return NEVER
    return 0 if text == "server_default" else _size(text)


def _read_size(option: Field) -> int:
    number = _number(option, ValueKind.UINT64, "<Q")
    return _size(_text(option)) if number is None else number


def _read_segment_size(option: Field) -> Value:
    size = _read_size(option)
    if size and (not MIN_SEGMENT_BYTES <= size <= MAX_SEGMENT_BYTES or size % SEGMENT_STEP_BYTES):
        raise ValueError("segment size out of range")
    return size


def _read_save_size(option: Field) -> Value:
    size = _read_size(option)
    if size > MAX_SIZE_OF_MESSAGES_REQUIRED_TO_SAVE:
        raise ValueError("size out of range")
    return size


def _read_save_count(option: Field) -> Value:
    number = _number(option, ValueKind.UINT32, "<I")
    count = _whole(_text(option), 2**32 - 1) if number is None else number
    if not 0 < count <= MAX_MESSAGES_REQUIRED_TO_SAVE:
        raise ValueError("count out of range")
    return count


def _read_bool(option: Field) -> Value:
    names = {b"\x00": False, b"\x01": True} if option.value_kind == ValueKind.BOOL else {b"false": False, b"true": True}
    if option.value_kind not in {ValueKind.BOOL, ValueKind.STRING} or option.value not in names:
        raise ValueError("neither true nor false")
    return names[option.value]


def _read_compression(option: Field) -> Value:
    names = (
        {b"\x01": "none", b"\x02": "gzip"}
        if option.value_kind == ValueKind.UINT8
        else {b"none": "none", b"gzip": "gzip"}
    )
    if option.value_kind not in {ValueKind.UINT8, ValueKind.STRING} or option.value.lower() not in names:
        raise ValueError("unknown compression")
    return names[option.value.lower()]


def _read_durability(option: Field) -> Value:
    text = _text(option)
    if text not in {"replicated", "persisted"}:
        raise ValueError("unknown durability")
    return text


TOPIC_OPTIONS: Final = MappingProxyType(
    {
        "compression_algorithm": OptionSpec(ValueKind.STRING, "none", _read_compression, updatable=True),
        "message_expiry": OptionSpec(ValueKind.UINT64, NEVER, _read_expiry, updatable=True, zero_is_absent=True),
        "max_topic_size": OptionSpec(ValueKind.UINT64, NEVER, _read_topic_size, updatable=True, zero_is_absent=True),
        "segment_size": OptionSpec(ValueKind.UINT64, MAX_SEGMENT_BYTES, _read_segment_size, zero_is_absent=True),
        "durability": OptionSpec(ValueKind.STRING, "replicated", _read_durability),
        "consumer_offset_durability": OptionSpec(ValueKind.STRING, "replicated", _read_durability),
        "enforce_fsync": OptionSpec(ValueKind.BOOL, None, _read_bool),
        "messages_required_to_save": OptionSpec(ValueKind.UINT32, 1024, _read_save_count),
        "size_of_messages_required_to_save": OptionSpec(
            ValueKind.UINT64, 1 << 20, _read_save_size, zero_is_absent=True
        ),
        "preallocate_segments": OptionSpec(ValueKind.BOOL, False, _read_bool),
    }
)
"""Every key a topic may be created with."""


def encode_option(key: str, value: Value) -> Field:
    """The option in wire form, in its key's own kind."""
    kind = TOPIC_OPTIONS[key].kind
    if isinstance(value, str):
        return Field.text(key, value)
    if kind is ValueKind.BOOL:
        return Field.boolean(key, bool(value))
    return Field.u32(key, value) if kind is ValueKind.UINT32 else Field.u64(key, value)


def read_options(options: Iterable[Field], *, updating: bool = False) -> dict[str, Value]:
    """The values given, typed; what counts as not given is left out.

    Refuses an unknown key, and when `updating` one that cannot change later, with 4041; a bad value with 4042.
    """
    given: dict[str, Value] = {}
    for option in options:
        key = option.key.decode(errors="replace")
        spec = TOPIC_OPTIONS.get(key)
        if spec is None or (updating and not spec.updatable):
            raise Refusal(Status.UNSUPPORTED_OPTION_KEY)
        try:
            value = spec.read(option)
        except ValueError as error:
            raise Refusal(Status.INVALID_OPTION_VALUE) from error
        if value or not spec.zero_is_absent:
            given[key] = value
    return given


def refuse_options(options: Iterable[Field]) -> None:
    """Streams and users have no options yet: refuse any (4041)."""
    if any(True for _ in options):
        raise Refusal(Status.UNSUPPORTED_OPTION_KEY)


def explicit_options(given: Mapping[str, Value]) -> tuple[Field, ...]:
    """What the creator chose, in wire form, in the order of keys."""
    return tuple(encode_option(key, given[key]) for key in sorted(given))


def derived_options(given: Mapping[str, Value]) -> tuple[Field, ...]:
    """The defaults of what the creator did not choose, in wire form, in the order of keys."""
    return tuple(
        encode_option(key, spec.default)
        for key, spec in sorted(TOPIC_OPTIONS.items())
        if key not in given and spec.default is not None
    )


def patched_options(
    explicit: Iterable[Field], derived: Iterable[Field], sent: Iterable[Field]
) -> tuple[tuple[Field, ...], tuple[Field, ...]]:
    """Both blocks after an update: what was sent is explicit from now on, byte for byte."""
    patch = {option.key: option for option in sent}
    merged = {option.key: option for option in explicit} | patch
    return (
        tuple(merged[key] for key in sorted(merged)),
        tuple(option for option in derived if option.key not in patch),
    )
