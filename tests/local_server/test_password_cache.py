"""What is remembered of checked passwords, and that guesses displace none of it."""

from rustok_iggy_connector.local_server.password_cache import MAX_ENTRIES, PasswordCache


def test_each_answer_is_found_once_and_remembered() -> None:
    asked: list[str] = []

    def verify(password: str, stored: str) -> bool:
        asked.append(password)
        return password == stored

    cache = PasswordCache(key=b"k" * 32, verify=verify)
    assert [cache.verify(password, "right") for password in ("right", "wrong", "right", "wrong")] == [
        True,
        False,
        True,
        False,
    ]
    assert asked == ["right", "wrong"]
    assert not cache.knows("right", "changed")


def test_guesses_are_forgotten_and_displace_no_password_that_fits() -> None:
    cache = PasswordCache(key=b"k" * 32)
    cache.learn("right", "line", True)
    for number in range(MAX_ENTRIES + 1):
        cache.learn(f"guess {number}", "line", False)
    assert cache.knows("right", "line")
    assert cache.knows(f"guess {MAX_ENTRIES}", "line")
    assert not cache.knows("guess 0", "line")
    assert (cache.guesses("line"), cache.guesses("other")) == (MAX_ENTRIES, 0)
