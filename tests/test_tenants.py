"""Tenant identifiers: what is taken, in which form, and that nothing else gets through."""

from collections.abc import Callable
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustok_iggy.errors import ValidationError
from rustok_iggy.tenants import RESERVED_SLUGS, tenant_host, tenant_slug, tenant_uuid

HOSTILE = [
    "",
    " ",
    "../etc/passwd",
    "a/b",
    "a\\b",
    "a b",
    "a;drop table tenants",
    "a' or '1'='1",
    "<script>",
    "a\x00",
    "a\nb",
    "a%2fb",
    "${jndi}",
    "a_b",
    "ａ",
    "é",
    "\u212a",  # the Kelvin sign, k when lower-cased
    "-a",
]


@pytest.mark.parametrize("read", [tenant_slug, tenant_uuid, tenant_host])
@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_is_refused_and_not_quoted(read: Callable[[str], object], text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        read(text)
    assert not text.strip() or len(text) < 4 or text not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "slug"), [("acme", "acme"), ("  Acme-2 \n", "acme-2"), ("0", "0"), ("a" * 63, "a" * 63)]
)
def test_a_slug_is_trimmed_and_lower_cased(text: str, slug: str) -> None:
    assert tenant_slug(text) == slug


@pytest.mark.parametrize("slug", sorted(RESERVED_SLUGS))
def test_reserved_slugs_are_refused_in_any_case(slug: str) -> None:
    for text in (slug, slug.upper(), f" {slug} "):
        with pytest.raises(ValidationError, match="reserved"):
            tenant_slug(text)


def test_a_slug_has_at_most_63_characters() -> None:
    with pytest.raises(ValidationError):
        tenant_slug("a" * 64)


@pytest.mark.parametrize("write", [str, lambda value: value.hex, lambda value: f" {str(value).upper()} "])
@given(value=st.uuids(allow_nil=False))
def test_a_uuid_is_read_in_its_plain_forms(write: Callable[[UUID], str], value: UUID) -> None:
    assert tenant_uuid(write(value)) == value


@pytest.mark.parametrize(
    "text", ["{6b7e71b9-aaa7-5081-bbb2-5fcad986b10c}", "urn:uuid:6b7e71b9-aaa7-5081-bbb2-5fcad986b10c", "6b7e71b9"]
)
def test_other_forms_of_a_uuid_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        tenant_uuid(text)


def test_the_nil_uuid_is_refused() -> None:
    with pytest.raises(ValidationError, match="nil"):
        tenant_uuid(str(UUID(int=0)))


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("Shop.Example.org ", "shop.example.org"),
        ("localhost", "localhost"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("10.0.0.1", "10.0.0.1"),
        (".".join(["a" * 63] * 3 + ["a" * 61]), ".".join(["a" * 63] * 3 + ["a" * 61])),
    ],
)
def test_a_host_is_trimmed_and_lower_cased(text: str, host: str) -> None:
    assert tenant_host(text) == host


@pytest.mark.parametrize(
    "text",
    ["a..b", ".a", "a.", "a-.b", "a" * 64, "a:80", "[::1]", "user@a", ".".join(["a" * 63] * 4)],
)
def test_what_is_no_host_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        tenant_host(text)


@given(text=st.text(max_size=70))
def test_whatever_a_slug_is_read_from_it_is_safe_in_a_name(text: str) -> None:
    try:
        slug = tenant_slug(text)
    except ValidationError:
        return
    assert slug.isascii()
    assert set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert tenant_slug(slug) == slug
