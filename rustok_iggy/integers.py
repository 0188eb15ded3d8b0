"""Integers of a width, for event fields: `amount: I64`. In Rust they are i64, u16 and so on.

JSON refuses a number out of the width's range; Postcard also writes each width its own way.
A plain `int` is an I64.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

WIDTH = "width"
"""Key of a width in `msgspec.Meta.extra`."""

I8: TypeAlias = Annotated[int, Meta(ge=-(2**7), le=2**7 - 1, extra={WIDTH: "i8"})]
I16: TypeAlias = Annotated[int, Meta(ge=-(2**15), le=2**15 - 1, extra={WIDTH: "i16"})]
I32: TypeAlias = Annotated[int, Meta(ge=-(2**31), le=2**31 - 1, extra={WIDTH: "i32"})]
I64: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1, extra={WIDTH: "i64"})]
U8: TypeAlias = Annotated[int, Meta(ge=0, le=2**8 - 1, extra={WIDTH: "u8"})]
U16: TypeAlias = Annotated[int, Meta(ge=0, le=2**16 - 1, extra={WIDTH: "u16"})]
U32: TypeAlias = Annotated[int, Meta(ge=0, le=2**32 - 1, extra={WIDTH: "u32"})]
U64: TypeAlias = Annotated[int, Meta(ge=0, extra={WIDTH: "u64"})]  # msgspec takes no bound above 2**63 - 1

RANGES = {
    **{f"i{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"u{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
}
"""Width → smallest and largest value."""
