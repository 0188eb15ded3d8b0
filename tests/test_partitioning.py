"""Tenant → partition, the same as every Iggy client computes from a key."""

import struct
from collections import Counter
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustok_iggy.partitioning import partition_for

PRIMES = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F, 0x165667B1)
MASK = 2**32 - 1


def rotate(value: int, by: int) -> int:
    return (value << by | value >> 32 - by) & MASK


def xxh32(data: bytes) -> int:
    """XXH32 with seed 0, written from its specification (github.com/Cyan4973/xxHash, doc/xxhash_spec.md)."""
    p1, p2, p3, p4, p5 = PRIMES
    lanes = [(p1 + p2) & MASK, p2, 0, -p1 & MASK]
    whole = len(data) // 16 * 16
    for start in range(0, whole, 16):
        for lane, word in enumerate(struct.unpack_from("<4I", data, start)):
            lanes[lane] = rotate((lanes[lane] + word * p2) & MASK, 13) * p1 & MASK
    rotated = (rotate(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True))
    value = (sum(rotated) if whole else p5) + len(data) & MASK
    for start in range(whole, len(data) - 3, 4):
        value = rotate(value + struct.unpack_from("<I", data, start)[0] * p3 & MASK, 17) * p4 & MASK
    for byte in data[len(data) // 4 * 4 :]:
        value = rotate(value + byte * p5 & MASK, 11) * p1 & MASK
    value = (value ^ value >> 15) * p2 & MASK
    value = (value ^ value >> 13) * p3 & MASK
    return value ^ value >> 16


def test_the_reference_is_xxh32() -> None:
    assert xxh32(b"") == 0x02CC5D05
    assert xxh32(b"Nobody inspects the spammish repetition") == 0xE2293B2F


@given(tenant=st.uuids(), partitions=st.integers(1, 1000))
def test_a_tenants_partition_is_xxh32_of_its_id_as_text(tenant: UUID, partitions: int) -> None:
    assert partition_for(tenant, partitions) == xxh32(str(tenant).encode()) % partitions


@pytest.mark.parametrize("partitions", [1, 8])
def test_tenants_spread_over_all_partitions(partitions: int) -> None:
    counts = Counter(partition_for(UUID(int=number), partitions) for number in range(8000))
    assert set(counts) == set(range(partitions))
    assert max(counts.values()) < 8000 / partitions * 1.2
