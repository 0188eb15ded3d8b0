"""The `rk` header: eighteen bytes that say whose event it is when the payload does not."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustok_iggy.message import RK_HEADER, RkHeader, message_headers, read_rk_header
from rustok_iggy.serialization import SerializationFormat
from tests.envelopes import TENANT


def test_the_layout_is_version_format_tenant() -> None:
    assert message_headers(TENANT, format=SerializationFormat.JSON) == {"rk": b"\x01\x01" + TENANT.bytes}
    assert message_headers(TENANT, format=SerializationFormat.POSTCARD) == {"rk": b"\x01\x02" + TENANT.bytes}


@given(tenant=st.uuids(), format_name=st.sampled_from(SerializationFormat))
def test_what_is_written_is_read(tenant: UUID, format_name: SerializationFormat) -> None:
    headers = message_headers(tenant, format=format_name)
    assert read_rk_header(headers) == RkHeader(format=format_name, tenant_id=tenant)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"other": b"x"},
        {RK_HEADER: b""},
        {RK_HEADER: b"\x02\x01" + TENANT.bytes},
        {RK_HEADER: b"\x01\x03" + TENANT.bytes},
        {RK_HEADER: b"\x01\x01" + TENANT.bytes[:-1]},
        {RK_HEADER: b"\x01\x01" + TENANT.bytes + b"\x00"},
    ],
)
def test_no_header_another_layout_or_a_damaged_one_say_nothing(headers: dict[str, bytes]) -> None:
    assert read_rk_header(headers) is None


@given(value=st.binary(max_size=40))
def test_garbage_never_raises(value: bytes) -> None:
    found = read_rk_header({RK_HEADER: value})
    assert found is None or message_headers(found.tenant_id, format=found.format) == {RK_HEADER: value}
