"""Password hashes: what fits, what does not, and that old lines stay valid."""

import hashlib

import pytest

from rustok_iggy_connector.local_server.passwords import COST, NOBODY, SALT_BYTES, hash_password, verify_password

SALT = bytes(range(SALT_BYTES))


def test_only_the_password_itself_fits() -> None:
    line = hash_password("correct horse", salt=SALT)
    assert verify_password("correct horse", line)
    assert not verify_password("correct horsf", line)
    assert not verify_password("", line)
    assert "horse" not in line


def test_another_salt_gives_another_line() -> None:
    assert hash_password("same", salt=SALT) != hash_password("same", salt=SALT[::-1])


def test_a_line_made_with_other_costs_still_verifies() -> None:
    digest = hashlib.scrypt(b"old", salt=SALT, n=1024, r=4, p=2, dklen=32)
    line = f"scrypt$1024$4$2${SALT.hex()}${digest.hex()}"
    assert verify_password("old", line)
    assert not verify_password("new", line)


def test_no_password_fits_nobody_and_checking_costs_as_much_as_for_somebody() -> None:
    assert not verify_password("", NOBODY)
    assert NOBODY.split("$")[:4] == hash_password("x", salt=SALT).split("$")[:4]
    assert f"${COST}$" in NOBODY


@pytest.mark.parametrize("line", ["", "plain", "md5$1$1$1$00$00", "scrypt$x$8$1$00$00"])
def test_what_is_no_such_line_raises_value_error(line: str) -> None:
    with pytest.raises(ValueError):
        verify_password("x", line)
